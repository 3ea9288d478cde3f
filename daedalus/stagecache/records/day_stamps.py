"""SQLite tables of the fast path: per day, a digest of what it reads and the stat of each file that it left.

A day that reads the same, and whose files have the same stat, is not walked again: no graph is built for it.
Any day that differs is looked up by key and digest as usual.

Digests are kept by the code that took them down, so that checkouts of different code which share a cache need not look
everything up in turn. They share the files: code that leaves another file in the place of one takes the stamps of all
other code with it.
"""

from __future__ import annotations

import sqlite3
import time
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


_FILES = "select name, day, path, size, mtime, ctime, inode from day_files"
_CODES = 4  # how much other code keeps its stamps: each edit of the package is other code


class DayStamps:
    """The stamps of the days of one output root; `code` is always a `code_stamp`."""

    def __init__(self, traces: Traces, root: str) -> None:
        self._traces, self._root = traces, root

    def asked(self, code: str) -> dict[str, str]:
        """For each day, the digest of what it read when it was last done by this code."""
        sql = "select day, asks from day_stamps where root = ? and code = ?"
        return dict(self._traces.rows(sql, [self._root, code]))

    def summaries(self, code: str) -> dict[str, dict]:
        """The summary of each day, also of feed days that were only read; "" is that of actions of no day."""
        sql = "select day, summary from day_stamps where root = ? and code = ?"
        rows = self._traces.rows(sql, [self._root, code])
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
        rows = self._traces.rows("select path, size, mtime, ctime, inode from day_files where root = ?",
                                 [self._root])  # fmt: skip
        changed = {row[0] for row in rows if stat(row[0]) != row[1:]}
        return {row[1] for row in self.rows if row[2] in changed} if changed else set()

    def relinked(self, files: Iterable[tuple[str, Stat, Stat]]) -> None:
        """Replaces the `stat` that files (path, stat before, stat now) were left with, where it is that of before."""
        changed = [(now[2], path, *before) for path, before, now in files]
        with self._traces.writing() as db:
            db.executemany("update day_files set ctime = ? where path = ? and size = ? and mtime = ? "
                           "and ctime = ? and inode = ?", changed)  # fmt: skip
        self.__dict__.pop("rows", None)

    def record(
        self, code: str, walked: Iterable[str], days: Mapping[str, tuple[str, dict]], files: Iterable[KeptFile],
        *, forget: Iterable[str],
    ) -> None:  # fmt: skip
        """Records `days` as (digest of what was read, summary), and `files`, which replace those of the same action.

        Days that were `walked` and are not in `days` failed: their rows are deleted. For days in `forget` the files
        are deleted too. Where a day's file is, or may be, no longer what other code left, the rows of that are deleted;
        those of no day are left out: the qid map grows with each new day, and views are among what a day reads.
        """
        root, forgotten = self._root, set(forget)
        rows = [(root, code, day, asks, as_text(summary)) for day, (asks, summary) in days.items()]
        kept = [(root, *file) for file in files]
        names = {(root, day, name) for _, name, day, *_ in kept}
        with self._traces.writing() as db:
            others = self._other_code(db, code)
            if others and not forgotten and self._has_kept(db, kept, names):
                others = others[_CODES:]
            for table in ("day_stamps", "stamping_code"):
                db.executemany(f"delete from {table} where root = ? and code = ?", [(root, other) for other in others])
            gone = [(root, code, day) for day in {*walked, *forgotten}]
            db.executemany("delete from day_stamps where root = ? and code = ? and day = ?", gone)
            db.executemany("delete from day_files where root = ? and day = ?", [(root, day) for day in forgotten])
            db.executemany("delete from day_files where root = ? and day = ? and name = ?", sorted(names))
            db.executemany("insert or replace into day_stamps values (?, ?, ?, ?, ?)", rows)
            db.execute("insert or replace into stamping_code values (?, ?, ?)", [root, code, time.time()])
            db.executemany("insert or replace into day_files values (?, ?, ?, ?, ?, ?, ?, ?)", kept)
        self.__dict__.pop("rows", None)

    def _other_code(self, db: sqlite3.Connection, code: str) -> list[str]:
        """Other code with stamps of this root, that which took some down last first."""
        sql = "select code from stamping_code where root = ? and code <> ? order by made desc"
        return [other for (other,) in db.execute(sql, [self._root, code])]

    def _has_kept(self, db: sqlite3.Connection, kept: Iterable[tuple], names: Iterable[tuple[str, str, str]]) -> bool:
        """Whether what actions (root, day, name) of a day left before is among what they left now."""
        now, of_days = set(kept), [action for action in names if action[1]]
        sql = f"{_FILES} where root = ? and day = ? and name = ?"
        return all((self._root, *row) in now for action in of_days for row in db.execute(sql, action))
