"""Each kind of aggregation, added to a finished bench world, in turn with the same windows in DuckDB, in two ways."""

from __future__ import annotations

import json
import shutil
import sqlite3
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import yaml

from daedalus.config.steps import PARTITION
from daedalus.stagecache.action_name import step_of
from measuring import kinds_by_hand
from measuring.kinds_by_hand import DAYS, KINDS, WAYS
from measuring.process import measure
from measuring.worlds import PROJECT, World

_NAME = "measured"
_OTHER_DAYS = 2  # that DuckDB computes, as all cost the same


@dataclass(frozen=True)
class Case:
    """What is measured: a kind over the values of a column, of the events that a key's value has in common."""

    agg: str
    column: str = "current_like_count"
    key: str = "user_id"
    event: str = "reco_artwork_view"

    def __str__(self) -> str:
        return f"{self.agg} by {self.key}"


CASES = (*(Case(agg) for agg in KINDS), Case("count", "artwork_id", "artwork_id"))


@dataclass
class Took:
    """What each turn took a day: the steps of the aggregation in seconds, and processor seconds of the whole run that
    adds it and of DuckDB, by way; and rows of which a way has other values."""

    steps: list[float] = field(default_factory=list)
    run: list[float] = field(default_factory=list)
    duckdb: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    differing: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, Any]:
        found: dict[str, Any] = {"steps": statistics.median(self.steps), "run": statistics.median(self.run)}
        for way, theirs in self.duckdb.items():
            found[way] = statistics.median(theirs)
            for name, ours in (("steps", self.steps), ("run", self.run)):
                found[f"{way}_of_{name}"] = statistics.median(x / y for x, y in zip(theirs, ours, strict=True))
        return {name: round(value, 3) for name, value in found.items()} | {"differing": dict(self.differing)}


def kinds(world: World, repeat: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Figures by case; `world` has a fresh skeleton."""
    found = {}
    say(f"  {'seconds a day':<26}{'steps':>7}{'run':>7}" + "".join(f"{way:>9}{'times':>7}{'run':>6}" for way in WAYS))
    for case in CASES:
        took = Took()
        for _ in range(repeat):
            _turn(world, case, took)
        found[str(case)] = one = took.figures()
        ways = (f"{one[way]:>9.3f}{one[f'{way}_of_steps']:>7.1f}{one[f'{way}_of_run']:>6.1f}" for way in WAYS)
        differ = f"  {one['differing']} rows differ" if took.differing.total() else ""
        say(f"  {case!s:<26}{one['steps']:>7.3f}{one['run']:>7.3f}{''.join(ways)}{differ}")
    return found


def _turn(world: World, case: Case, took: Took) -> None:
    with _added(world, case):
        began = time.time()
        took.run.append(world.run().cpu / world.days)
        took.steps.append(_seconds_of_steps(world, began) / world.days)
        for way in WAYS:
            out = world.root / "by_hand" / "kinds"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir(parents=True)
            took.duckdb[way].append(_by_hand(world, case, way, out))
            if differing := _differing(world, out):
                took.differing[way] += differing


def _by_hand(world: World, case: Case, way: str, out: Path) -> float:
    """Processor seconds a day."""
    days = min(_OTHER_DAYS, world.days)
    given = {"days": str(days), "way": way, **vars(case)}
    options = [text for name, value in given.items() for text in (f"--{name}", value)]
    run = measure(sys.executable, kinds_by_hand.__file__, ".", str(out.resolve()), *options,
                  cwd=world.root, environment={"PYTHONPATH": str(PROJECT / "scripts")})  # fmt: skip
    return float(json.loads(run.out)["cpu"]) / days


@contextmanager
def _added(world: World, case: Case) -> Iterator[None]:
    """While the aggregation is in the config; then it is taken out, and what was made of it is forgotten."""
    before = world.aggregations.read_text(), world.runtime.read_text()
    one = {"name": _NAME, "events": [case.event], "column": case.column, "agg": case.agg,
           "windows": [f"{n}d" for n in DAYS]} | ({} if case.key == "user_id" else {"key": case.key})  # fmt: skip
    whole = yaml.safe_load(before[0])
    world.aggregations.write_text(yaml.safe_dump({"aggregations": [*whole["aggregations"], one]}, sort_keys=False))
    columns = yaml.safe_load(before[1])["output_columns"]
    world.edit(output_columns=[*columns, *(f"{_NAME}_{n}d" for n in DAYS)])
    kept = world.root / "kept_cache"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(world.root / "cache", kept)
    try:
        yield
    finally:
        for path, text in zip((world.aggregations, world.runtime), before, strict=True):
            path.write_text(text)
        shutil.rmtree(world.root / "cache")
        kept.rename(world.root / "cache")
        world.run()


def _seconds_of_steps(world: World, began: float) -> float:
    """Seconds of the steps that ran since a moment but the one that makes partitions.

    Each action counts as the median of its step: the first ones load libraries and code, and DuckDB's turn leaves its
    imports out, too.
    """
    sql = "select name, seconds from traces where made > ? and name not like ?"
    with sqlite3.connect(world.root / "cache/traces.db") as db:
        found: dict[str, list[float]] = defaultdict(list)
        for name, seconds in db.execute(sql, (began, f"{PARTITION}%")):
            found[step_of(name)].append(seconds)
    return sum(len(each) * statistics.median(each) for each in found.values())


def _differing(world: World, out: Path) -> int:
    """Rows of DuckDB's days whose windows are others than ours, floats beyond a billionth of them."""
    differing = 0
    for theirs in sorted(out.glob("*.parquet")):
        ours = ", ".join(f"{_NAME}_{n}d AS d{n}" for n in DAYS)
        parts = f"{world.output / theirs.stem}/*.parquet"
        one = duckdb.execute(f"SELECT {ours} FROM read_parquet('{parts}', hive_partitioning = false)").fetchall()
        other = duckdb.execute(f"SELECT * FROM read_parquet('{theirs}')").fetchall()
        differing += sum(not all(map(_same, *rows)) for rows in zip(one, other, strict=True))
    return differing


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-9 * max(abs(one), abs(other), 1.0)
    return one == other
