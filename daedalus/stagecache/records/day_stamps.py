"""What stood when a walk last ended: for each day what it asked for and the files that answer it, by `stat`.

A day that asks for the same, and whose files nobody touched, is not walked again: no graph is built for it.
This is no second truth. Whatever is not exactly as it was left is looked up by key and digest, as ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from daedalus.base.file_stat import Stat, stat_of
from daedalus.stagecache.records.traces import Traces


class KeptFile(NamedTuple):
    """A file that an action of a day left; `day` is "" for what belongs to no day."""

    name: str  # of the action
    day: str
    path: str
    size: int  # -1: there is none
    mtime: int
    ctime: int
    inode: int


_FILES = "select name, day, path, size, mtime, ctime, inode from standing_files"


class DayStamps:
    """The record of one output root."""

    def __init__(self, traces: Traces, root: str) -> None:
        self._traces, self._root = traces, root

    def asked(self) -> dict[str, str]:
        """What each day asked for when it was last done."""
        return dict(self._traces.rows("select day, asks from standing_days where root = ?", [self._root]))

    def summaries(self) -> dict[str, dict]:
        """What is to be told of each day, also of those that were only read; "" has what belongs to no day."""
        rows = self._traces.rows("select day, summary from standing_days where root = ?", [self._root])
        values = json.loads(f"[{','.join(summary for _, summary in rows)}]")
        return dict(zip((day for day, _ in rows), values, strict=True))

    @cached_property
    def rows(self) -> list[tuple]:
        """All files, as `KeptFile` has them but raw: there are 25 a day, and whoever asks goes through them all."""
        return self._traces.rows(f"{_FILES} where root = ?", [self._root])

    def files(self, days: Iterable[str] | None = None) -> list[KeptFile]:
        """The files of some days, or of all."""
        if days is None:
            return list(map(KeptFile._make, self.rows))
        sql = f"{_FILES} where root = ? and day = ?"
        return [KeptFile._make(row) for day in days for row in self._traces.rows(sql, [self._root, day])]

    def touched(self, stat: Callable[[str], Stat] = stat_of) -> set[str]:
        """Days with a file that is not as it was left, by what `stat` says of it."""
        return {row[1] for row in self.rows if stat(row[2]) != row[3:]}

    def record(
        self, walked: Iterable[str], days: Mapping[str, tuple[str, dict]], files: Iterable[KeptFile],
        *, forget: Iterable[str],
    ) -> None:  # fmt: skip
        """Takes down days, as (what was asked, summary), and files, by action.

        Days that were `walked` and are not among `days` did not end well; `forget` are those of which
        nothing that is known holds.
        """
        root = self._root
        rows = [(root, day, asks, json.dumps(summary)) for day, (asks, summary) in days.items()]
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
