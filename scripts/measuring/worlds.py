"""Worlds to measure in: a folder each with feed, catalog, pool and config, and runs over its target days."""

from __future__ import annotations

import atexit
import copy
import datetime as dt
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from measuring.process import Measured, measure

PROJECT = Path(__file__).resolve().parent.parent.parent
FIRST = dt.date(2026, 5, 1)  # of the bench world's target days; peers take whole months
HISTORY = 8  # feed days before the first target day
_DAY = dt.timedelta(days=1)
_STEP = "substr(name, 1, instr(name || '@', '@') - 1)"  # of a trace, in SQL


def put_away(folder: Path) -> None:
    """Moves a folder out of the way; it is removed when the benchmark ends.

    ext4 passes over files that were removed in the last minutes, one by one, whenever it makes a file, so a run right
    after the removal of thousands would pay for them: a twentieth of a cold run of small days.
    """
    if folder.exists():
        away = tempfile.mkdtemp(prefix=".away-", dir=folder.parent)
        folder.rename(Path(away) / folder.name)
        atexit.register(shutil.rmtree, away, ignore_errors=True)


class World:
    """Inputs under root/data, as the default config reads them, and the target days `first` to `last`."""

    def __init__(self, root: Path, first: dt.date, days: int) -> None:
        self.first, self.days, self.last = first, days, first + (days - 1) * _DAY
        self._at(root)

    def _at(self, root: Path) -> None:
        self.root, training = root, root / "config/training"
        self.runtime, self.aggregations = training / "runtime.yaml", training / "aggregations.yaml"
        self.output, self.enriched = root / "data/training_output", root / "data/training_enriched"

    def edit(self, **values: object) -> None:
        self.runtime.write_text(yaml.safe_dump({**yaml.safe_load(self.runtime.read_text()), **values}, sort_keys=False))

    def forget(self) -> None:
        for folder in (self.root / "cache", self.output, self.enriched):
            put_away(folder)

    def daeda(self, *arguments: str) -> Measured:
        return measure(str(PROJECT / ".venv/bin/daeda"), *arguments, cwd=self.root)

    def range(self, days: int | None = None) -> tuple[str, str]:
        """The option for the first of the target days, or all."""
        return "--range", f"{self.first}..{self.first + ((days or self.days) - 1) * _DAY}"

    def run(self, days: int | None = None) -> Measured:
        """The skeleton."""
        return self.daeda("skeleton", "--json", "--progress", "none", *self.range(days))

    def enrich(self) -> Measured:
        """Both stages."""
        return self.daeda("enrich", "--json", "--progress", "none", *self.range())

    @contextmanager
    def for_peers(self) -> Iterator[None]:
        """While another program reads the config; it knows months only."""
        before = self.runtime.read_text()
        self.edit(feed_start=f"{self.first:%Y%m}", feed_end=f"{self.last:%Y%m}")
        try:
            yield
        finally:
            self.runtime.write_text(before)

    def steps(self) -> list[tuple[str, int, float, int]]:
        """(step, how many ran, seconds in all, bytes in all) of every trace there is."""
        with sqlite3.connect(self.root / "cache/traces.db") as db:
            return db.execute(
                f"select {_STEP}, count(*), sum(seconds), sum(bytes) from traces group by 1 order by 3 desc"
            ).fetchall()

    def ran_since(self, moment: float) -> dict[str, int]:
        """How many of each step ran since then, in seconds since 1970.

        A trace that was carried over to another key, since nothing in it can have changed, took what it once took.
        """
        before = "select 1 from traces old where old.name = new.name and old.seconds = new.seconds and old.made < :then"
        sql = f"select {_STEP}, count(*) from traces new where made > :then and not exists ({before}) group by 1"
        with sqlite3.connect(self.root / "cache/traces.db") as db:
            return dict(db.execute(sql, {"then": moment}).fetchall())


class BenchWorld(World):
    """The bench world, as scripts/world.py makes it."""

    def __init__(self, root: Path, days: int, memory_limit: str, heavy: int, **sizes: int) -> None:
        super().__init__(root, FIRST, days)
        self.memory_limit, self.rows = memory_limit, sizes["rows"]
        _make(root, start=FIRST - HISTORY * _DAY, end=self.last, heavy=heavy, half_hours=48, **sizes)
        self.reset_config()

    def copied(self, root: Path) -> BenchWorld:
        """The same world elsewhere, without what was made of it."""
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.root, root, ignore=shutil.ignore_patterns("cache", "training_*", ".away-*"))
        other = copy.copy(self)
        other._at(root)
        return other

    def reset_config(self) -> None:
        shutil.rmtree(self.root / "config", ignore_errors=True)
        shutil.copytree(PROJECT / "config", self.root / "config")
        limits = {"threads": os.cpu_count(), "memory_limit": self.memory_limit, "temp_directory": "cache/tmp"}
        self.edit(feed_start=str(FIRST), feed_end=str(self.last), compute={"engine": "duckdb", "duckdb_config": limits})


def demo(root: Path, days: int | None) -> World:
    """The world of `daeda demo`: 120 days of 1,200 rows, under the default config."""
    _make(root)
    shutil.rmtree(root / "config", ignore_errors=True)
    shutil.copytree(PROJECT / "config", root / "config")
    return World(root, dt.date(2026, 2, 1), min(days or 120, 120))


def cofacts(root: Path, source: Path, days: int | None) -> World:
    """A copy of the real input, with the paths of its config changed to the copy's."""
    for name in ("feed", "catalog", "embeddings"):
        if not (root / "data" / name).exists():
            shutil.copytree(source / name, root / "data" / name)
    shutil.rmtree(root / "config", ignore_errors=True)
    shutil.copytree(source / "config", root / "config", copy_function=shutil.copyfile)
    feed = yaml.safe_load((root / "config/catalog.yaml").read_text())["feed"]["path"]
    for path in (root / "config").rglob("*.yaml"):
        path.write_text(path.read_text().replace(feed.removesuffix("feed"), "data/"))
    return World(root, dt.date(2018, 10, 1), min(days or 123, 123))


def _make(root: Path, **options: object) -> None:
    """Makes a world by scripts/world.py, unless the same is there."""
    script, maker = PROJECT / "scripts/world.py", PROJECT / "daedalus/demo/world.py"
    stamp = json.dumps([{name: str(value) for name, value in options.items()}, script.read_text(), maker.read_text()])
    if (root / "made").exists() and (root / "made").read_text() == stamp:
        return
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    arguments = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    subprocess.run([sys.executable, str(script), str(root), *arguments], check=True)
    (root / "made").write_text(stamp)
