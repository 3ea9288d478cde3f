"""A small sample world under the default config, run warm once and copied for each test that edits it."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import importlib
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from shaped import check_printed

from daedalus.base.errors import Interrupted
from daedalus.cli.main import main
from daedalus.pipelines.training import run_skeleton_stage, run_training_pipeline
from daedalus.stagecache.walk.progress import Progress
from daedalus.tables.held import HELD, Held
from daedalus.workspace.settings import Settings

PROJECT = Path(__file__).parent.parent.parent
FIRST, LAST = dt.date(2026, 2, 1), dt.date(2026, 2, 14)
RANGE = f"{FIRST}..{LAST}"
DAYS = [FIRST + dt.timedelta(days=i) for i in range((LAST - FIRST).days + 1)]


def make(root: Path, *options: str) -> None:
    """Data by scripts/world.py, and the default config without its embeddings."""
    arguments = options or (
        "--start",
        "2026-01-22",
        "--end",
        str(LAST),
        "--rows",
        "250",
        "--users",
        "30",
        "--artworks",
        "200",
    )
    subprocess.run([sys.executable, PROJECT / "scripts/world.py", root, *arguments], check=True)
    shutil.copytree(PROJECT / "config", root / "config")
    edit(root / "config/training/runtime.yaml", feed_start="202602", feed_end="202602", embeddings=None)


def edit(path: Path, **values: object) -> None:
    """Sets keys of a YAML file; a double underscore goes one level down."""
    whole = yaml.safe_load(path.read_text())
    for key, value in values.items():
        *above, last = key.split("__")
        inner = whole
        for part in above:
            inner = inner[part]
        inner[last] = value
    path.write_text(yaml.safe_dump(whole, sort_keys=False))


def groups_of(rows: int, patch: pytest.MonkeyPatch) -> None:
    """Row groups of so few rows in all modules, so that small worlds have many."""
    files = [path for path in (PROJECT / "daedalus").rglob("*.py") if "ROWS_PER_GROUP" in path.read_text()]
    names = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in files]
    for module in list(map(importlib.import_module, names)):  # all before any: what is imported later keeps the number
        patch.setattr(module, "ROWS_PER_GROUP", rows, raising=False)


def copied(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: Iterable[str] = ()) -> Path:
    """A copy of a world, as the working directory; `without` folders of these names."""
    root = tmp_path / "world"
    shutil.copytree(template, root, ignore=shutil.ignore_patterns(*without))
    monkeypatch.chdir(root)
    return root


def answered(*arguments: str) -> subprocess.CompletedProcess:
    """What the command line answers, without a process of its own: that takes longer than most commands."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
            main([*arguments])
        texts = [stream.seek(0) or stream.read() for stream in (out, err)]
    if "--json" in arguments:
        check_printed(texts[0], arguments)
    return subprocess.CompletedProcess(arguments, stop.value.code or 0, *texts)


def interrupted(days: int, range: str | None = None, settings: Settings | None = None, **options) -> set[str]:
    """A run that is interrupted as so many days have begun their last step: how many days have ended by some moment
    depends on the disk, as many are made durable at once. Returns the days that were done."""
    begun, done = [], set()

    class Stops(Progress):
        def started(self, name: str) -> None:
            if name.startswith("chunk@"):
                if len(begun) == days:
                    raise KeyboardInterrupt
                begun.append(name)

        def day_done(self, day: str, outcomes: list) -> None:
            done.add(day)

    with pytest.raises(Interrupted):
        run_skeleton_stage(settings or Settings(), range, progress=Stops(), **options)
    return done


class Small:
    """A copy of the world; the working directory must be its root while it is used."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runtime = root / "config/training/runtime.yaml"
        self.catalog = root / "config/catalog.yaml"
        self.aggregations = root / "config/training/aggregations.yaml"
        self.output = root / "data/training_output"

    def run(
        self, range: str | None = RANGE, *, resume: bool = False, force: bool = False, plan: bool = False, **settings
    ):
        return run_skeleton_stage(Settings(**settings), range, resume=resume, force=force, plan=plan)

    def cli(self, *arguments: str, package: Path = PROJECT) -> subprocess.CompletedProcess:
        """What the command line answers: in this process, unless other code than ours is to run."""
        if package != PROJECT:
            return self.process(*arguments, package=package)
        with contextlib.chdir(self.root):
            return answered(*arguments)

    def process(self, *arguments: str, package: Path = PROJECT) -> subprocess.CompletedProcess:
        """The command line in a process of its own, with `package` as the code that it runs."""
        environment = {**os.environ, "PYTHONPATH": str(package)}
        command = [sys.executable, "-m", "daedalus", *arguments]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)

    def screen(self, *arguments: str, columns: int = 80) -> str:
        """What the command line prints on a terminal of that many columns."""
        terminal, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        command = [sys.executable, "-m", "daedalus", *arguments]
        with subprocess.Popen(command, cwd=self.root, env=environment, stdin=inside, stdout=inside) as process:
            os.close(inside)
            shown = b""
            with contextlib.suppress(OSError):  # Linux says so when the other end is closed
                while part := os.read(terminal, 65536):
                    shown += part
            process.wait()
        os.close(terminal)
        return shown.decode().replace("\r\n", "\n")

    def json(self, *arguments: str, package: Path = PROJECT) -> dict:
        done = self.cli(*arguments, "--json", package=package)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def feed_file(self, day: dt.date | str, part: int = 1) -> Path:
        return self.root / f"data/feed/dt={day}/part-{part}.parquet"

    def edit_aggregations(self, change) -> None:
        whole = yaml.safe_load(self.aggregations.read_text())
        change(whole["aggregations"])
        self.aggregations.write_text(yaml.safe_dump(whole, sort_keys=False))

    def stamps(self) -> dict[str, tuple[int, int]]:
        """(inode, mtime) of every output file."""
        found = {path: path.stat() for path in sorted(self.output.rglob("*.parquet"))}
        return {str(path.relative_to(self.output)): (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}

    def bytes(self, root: Path | None = None) -> dict[str, bytes]:
        root = root or self.output
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.parquet"))}

    def changed_days(self, before: dict[str, tuple[int, int]]) -> list[str]:
        after = self.stamps()
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        return sorted(name[3:13] for name in changed if name.startswith("dt="))


EMBEDDINGS = {
    "image_embedding": {"of": "artwork_id"},
    "like_artwork_avg_embeds": {"mean_of": "like_artwork_ids_7d", "max_items": 5},
    "published_embeds": {"mean_of": "user_recent_published_artworks"},
}
ENRICHED = DAYS[:3]  # the days that have enriched partitions


def with_embeddings(world: Small) -> None:
    """Gives the world columns of vectors, and enriches its first days."""
    edit(world.runtime, embeddings={"columns": EMBEDDINGS}, feed_end=str(ENRICHED[-1]), feed_start=str(FIRST))
    run_training_pipeline(Settings(), f"{FIRST}..{ENRICHED[-1]}")


@contextlib.contextmanager
def by_sql() -> Iterator[None]:
    """Nothing fits and nothing is held, so that all steps run as SQL."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Held, "limit", lambda self, memory, workers: None)
        patch.setattr(HELD, "each", -1)
        patch.setattr(HELD, "_most", 0)
        yield


def rewrite(path: Path, change) -> None:
    """Reads a parquet file, applies `change` to its table, and writes it back."""
    table = pq.ParquetFile(path).read()
    pq.write_table(change(table), path)


def damage_pages(path: Path) -> None:
    """Overwrites the pages of a parquet file, and leaves its footer."""
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    path.write_bytes(whole[:4] + b"\xff" * (len(whole) - footer - 4) + whole[-footer:])


def nothing_ran(report) -> bool:
    return report.steps["computed"] == report.steps["unchanged"] == report.partitions["written"] == 0
