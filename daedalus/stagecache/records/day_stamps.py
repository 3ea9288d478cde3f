"""SQLite tables of the fast path: per day, a digest of what it reads and the stat of each file that it left.

A day that reads the same, and whose files have the same stat, is not walked again: no graph is built for it.
Any day that differs is looked up by key and digest as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from daedalus.base.file_stat import Stat, stat_of
from daedalus.stagecache.records.traces import Traces, as_text, of_text


class KeptFile(NamedTuple):
    """A file that an action left, by its stat; `day` is "" for an action of no day."""

    name: str  # of the action
    day: str
    path: str
    size: int  # -1: the file does not exist
    mtime: int
    ctime: int
    inode: int


_FILES = "select name, day, path, size, mtime, ctime, inode from standing_files"


class DayStamps:
    """The stamps of the days of one output root."""

    def __init__(self, traces: Traces, root: str) -> None:
        self._traces, self._root = traces, root

    def asked(self) -> dict[str, str]:
        """For each day, the digest of what it read when it was last done."""
        return dict(self._traces.rows("select day, asks from standing_days where root = ?", [self._root]))

    def summaries(self) -> dict[str, dict]:
        """The summary of each day, also of feed days that were only read; "" is that of actions of no day."""
        rows = self._traces.rows("select day, summary from standing_days where root = ?", [self._root])
        values = of_text(f"[{','.join(summary for _, summary in rows)}]")
        return dict(zip((day for day, _ in rows), values, strict=True))

    @cached_property
    def rows(self) -> list[tuple]:
        """All files as plain tuples with the fields of `KeptFile`: there are about 25 a day, and callers read all."""
        return self._traces.rows(f"{_FILES} where root = ?", [self._root])

    def files(self, days: Iterable[str] | None = None) -> list[KeptFile]:
        """The files of some days, or of all."""
        if days is None:
            return list(map(KeptFile._make, self.rows))
        sql = f"{_FILES} where root = ? and day = ?"
        return [KeptFile._make(row) for day in days for row in self._traces.rows(sql, [self._root, day])]

    def touched(self, stat: Callable[[str], Stat] = stat_of) -> set[str]:
        """Days with a file whose stat differs from the recorded one."""
        # Of the names and days of all files, which are a third of the text, only those that differ are read.
        rows = self._traces.rows("select path, size, mtime, ctime, inode from standing_files where root = ?",
                                 [self._root])  # fmt: skip
        changed = {row[0] for row in rows if stat(row[0]) != row[1:]}
        return {row[1] for row in self.rows if row[2] in changed} if changed else set()

    def relinked(self, files: Iterable[tuple[str, Stat, Stat]]) -> None:
        """Replaces the `stat` that files (path, stat before, stat now) were left with, where it is that of before."""
        changed = [(now[2], path, *before) for path, before, now in files]
        with self._traces.writing() as db:
            db.executemany("update standing_files set ctime = ? where path = ? and size = ? and mtime = ? "
                           "and ctime = ? and inode = ?", changed)  # fmt: skip
        self.__dict__.pop("rows", None)

    def record(
        self, walked: Iterable[str], days: Mapping[str, tuple[str, dict]], files: Iterable[KeptFile],
        *, forget: Iterable[str],
    ) -> None:  # fmt: skip
        """Records `days` as (digest of what was read, summary), and `files`, which replace those of the same action.

        Days that were `walked` and are not in `days` failed: their rows are deleted. For days in `forget` the files
        are deleted too.
        """
        root = self._root
        rows = [(root, day, asks, as_text(summary)) for day, (asks, summary) in days.items()]
        kept = [(root, *file) for file in files]
        names = {(root, day, name) for _, name, day, *_ in kept}
        with self._traces.writing() as db:
            gone = [(root, day) for day in {*walked, *forget}]
            db.executemany("delete from standing_days where root = ? and day = ?", gone)
            gone = [(root, day) for day in forget]
            db.executemany("delete from standing_files where root = ? and day = ?", gone)
            db.executemany("delete from standing_files where root = ? and day = ? and name = ?", sorted(names))
            db.executemany("insert or replace into standing_days values (?, ?, ?, ?)", rows)
            db.executemany("insert or replace into standing_files values (?, ?, ?, ?, ?, ?, ?, ?)", kept)
        self.__dict__.pop("rows", None)
