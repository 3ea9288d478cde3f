"""Lineages that several machines share: who may hand out the next numbers of a map.

A lineage is the name of one history of a map; the invariant is in daedalus/sharing/maps.py. A map here is a
state of its lineage: its rows are the first so many of that history. `shared`, which the map's own state
keeps, says that others may know the lineage. It is set *before* a record names it, so that a lost answer
cannot make it private again.

- A fresh output (no map, no partitions) takes up the record's lineage and rows.
- A map of the record's lineage is brought up to the record.
- New numbers are swapped into the record before they are used. Whoever lost the race takes up the winner's
  rows and numbers again below them. Whoever cannot swap takes a new, private lineage: no other machine
  will ever look under it.
- Somebody's answer for a day is taken only once the map here holds all rows that it was numbered with.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daedalus.skeleton.ports import Scratch, SharedMap

_PIECES = 32  # that a record has at most when a run ends


class SharedLineage:
    """The record of one output during one run. `append(file, rows to leave out)` puts rows below the map here."""

    def __init__(self, record: SharedMap, scratch: Scratch, append: Callable[[Path, int], None]) -> None:
        self.reads, self.writes = record.reads, record.writes
        self._record, self._scratch, self._append = record, scratch, append
        self._state: Any = None  # the newest that is known, if the map here is at it

    def offered(self) -> str | None:
        """The record's lineage, or None if there is none. Raises OSError when that cannot be known."""
        state = self._record.read()
        return state.lineage if state else None

    def begin(self, lineage: str, rows: int, whole: Path | None) -> bool | None:
        """Begins the record with the map here; None when it is not known whether that was done."""
        try:
            self._state = self._record.create(lineage, whole, rows)
        except FileExistsError:  # somebody was first, or it was this process, and the answer was lost
            return self.catch_up(lineage, rows)
        except PermissionError:
            return False
        except OSError as error:
            if _disk_is_full(error):
                raise
            return None
        return True

    def catch_up(self, lineage: str, rows: int) -> bool:
        """Brings a map of `rows` rows up to the record; whether it now is the record's state, and newer than known."""
        known, self._state = self._state, None
        folder = self._scratch.path()
        try:
            state = self._record.read()
            if state is None or state.lineage != lineage or state.rows < rows:
                return False
            folder.mkdir()
            for path, skip in self._record.fetch(state, rows, folder):
                self._append(path, skip)
        except (OSError, ValueError) as error:
            if _disk_is_full(error):
                raise
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._state = state
        return known is None or state.rows > known.rows

    def claim(self, piece: Path, rows: int) -> bool:
        """Gets new rows into the record; whether they may be used."""
        if self._state is None:
            return False
        try:
            self._state = self._record.add(self._state, piece, rows)
        except OSError as error:
            if _disk_is_full(error):
                raise
            return False
        return True

    def settle(self, whole: Path, rows: int) -> None:
        """Puts many pieces into one."""
        if self._state is not None and self._state.rows == rows and len(self._state.pieces) > _PIECES:
            try:
                self._state = self._record.replace(self._state, whole, rows)
            except OSError:
                self._state = None


def _disk_is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
