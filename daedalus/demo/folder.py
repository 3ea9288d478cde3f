"""The folder of a demo: a mark that it is one, the default configuration, and a sample world.

Each is made aside and moved into its place, so that a demo that was interrupted goes on with what is there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import msgspec

from daedalus.base.durable import write_file
from daedalus.base.errors import DaedalusError, at_least

MARK = ".daeda-demo"
FIRST, DAYS, ROWS = date(2026, 2, 1), 120, 1200  # target days, as the default configuration has them; feed rows a day
BEFORE = timedelta(12)  # of feed, before the first target day: more than its windows reach
_LEAST_ROWS = 50  # with fewer, days are empty
_CONFIG = Path(__file__).parent / "config"
_MAKING = ".making"


class Demo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How large a demo is: what its mark holds."""

    days: int = DAYS
    rows: int = ROWS

    @property
    def last(self) -> date:
        """The last target day."""
        return FIRST + timedelta(self.days - 1)

    @property
    def range(self) -> str:
        """The target days, as a command takes them."""
        return f"{FIRST:%Y%m}..{self.last:%Y%m}" if self.days == DAYS else f"{FIRST}..{self.last}"

    @property
    def options(self) -> str:
        """The options that make such a demo."""
        return f"--days {self.days} --rows {self.rows}"


def prepared(folder: Path, days: int | None, rows: int | None, say: Callable[[str], None]) -> Demo:
    """The demo of a folder, made or made whole there; sizes of None are those that it has, or the default ones.

    Raises DaedalusError (exit 2), with nothing written, for a folder with anything else in it, and for other sizes.
    """
    at_least(1, days, "--days")
    at_least(_LEAST_ROWS, rows, "--rows")
    if days is not None and days > DAYS:
        raise DaedalusError("more days than the demo has", where="--days", found=days, expected=f"at most {DAYS}")
    demo = _marked(folder)
    if demo is None:
        demo = Demo(days or DAYS, rows or ROWS)
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / MARK, msgspec.json.encode(demo))
    elif (wanted := Demo(days or demo.days, rows or demo.rows)) != demo:
        raise DaedalusError("the demo in this folder has another size", where=str(folder), found=demo.options,
                            expected=wanted.options,
                            hint="name another folder, remove this one, or leave the sizes out")  # fmt: skip
    with (folder / MARK).open() as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)  # another `daeda demo` may be making it
        _make_whole(folder, demo, say)
    return demo


def _marked(folder: Path) -> Demo | None:
    """The demo that a folder's mark tells of; None for an empty folder, or none."""
    try:
        return msgspec.json.decode((folder / MARK).read_bytes(), type=Demo)
    except (FileNotFoundError, NotADirectoryError):
        there = os.path.lexists(folder)
        if not there or (folder.is_dir() and not any(folder.iterdir())):
            return None
        found = "other files" if folder.is_dir() else "no folder"
    except msgspec.DecodeError as error:
        found = f"{MARK}: {error}"
    raise DaedalusError("this is not a folder of daeda demo", where=str(folder), found=found,
                        expected="a folder that it made, an empty one, or none",
                        hint="daeda demo FOLDER, with another folder")  # fmt: skip


def _make_whole(folder: Path, demo: Demo, say: Callable[[str], None]) -> None:
    """Makes what the folder does not have."""
    aside = folder / _MAKING
    shutil.rmtree(aside, ignore_errors=True)
    if not (folder / "config").exists():
        _copy_config(aside / "config")
        (aside / "config").rename(folder / "config")
    if not (folder / "data").exists():
        feed = (demo.last - FIRST + BEFORE).days + 1
        say(f"# writes config and data: {feed} feed days of {demo.rows:,} rows, six catalog views, a Lance pool")
        from daedalus.demo.world import World

        World(aside, 7, users=400, artworks=3000, start=FIRST - BEFORE, end=demo.last, half_hours=6).write(demo.rows)
        (aside / "data").rename(folder / "data")
    shutil.rmtree(aside, ignore_errors=True)


def _copy_config(to: Path) -> None:
    """Copies contents alone: what is installed may be read-only."""
    for file in _CONFIG.rglob("*"):
        if file.is_file():
            copy = to / file.relative_to(_CONFIG)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
