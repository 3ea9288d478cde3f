"""Lineages that several machines share: who may hand out the next numbers of a map.

A lineage is the name of one history of a map; the invariant is in daedalus/sharing/qid_history.py. A map here is a
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

import shutil
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from daedalus.base.errors import is_full
from daedalus.base.ports import Scratch
from daedalus.output.map_home import SharedMap
from daedalus.parquet.writer import write_plain
from daedalus.stagecache.action import Again, CannotUse

_PIECES = 32  # that a record has at most when a run ends


class Numbered(Protocol):
    """A map on this machine, as `QidMap` is one. All but `exclusive` are called while it is held."""

    current: str  # its lineage

    def file(self) -> Path | None: ...

    def exclusive(self) -> AbstractContextManager[None]: ...

    def is_current(self) -> bool: ...

    def state(self) -> dict[str, Any]: ...

    def remember(self, lineage: str, content: str, shared: bool | None = None) -> str: ...

    def content(self) -> str: ...

    def rows(self) -> int: ...

    def fresh(self) -> bool: ...

    def put_below(self, added: Any) -> None: ...

    def commit(self, grown: Path) -> None: ...


class SharedNumbers:
    """The part that a map takes in the history that `record` holds, during one run."""

    def __init__(self, record: SharedMap, scratch: Scratch, here: Numbered) -> None:
        self._record, self._scratch, self._map = record, scratch, here
        self._newest: Any = None  # the record's state, if the map here is at it

    def offered(self) -> str | None:
        """The lineage that a fresh output would take up."""
        try:
            state = self._record.read() if self._record.reads else None
        except OSError:
            return None
        return state.lineage if state else None

    def join(self) -> None:
        """Takes up the lineage of the record, or offers the one of the map here."""
        here = self._map
        try:
            state = self._record.read()
        except OSError:
            return
        if state is None:
            if self._record.writes:
                self._begin()
        elif state.lineage == here.current or (self._record.reads and here.fresh()):
            here.current = here.remember(state.lineage, here.content(), shared=True)
            self._catch_up()

    def _begin(self) -> None:
        """Makes a record of the map here; under another name if one vanished, which may have gone further than this."""
        here = self._map
        lineage = uuid.uuid4().hex if here.state()["shared"] else here.current
        here.current = here.remember(lineage, here.content(), shared=True)
        try:
            self._newest = self._record.create(lineage, here.file(), here.rows())
        except FileExistsError:  # somebody was first, or it was this process, and the answer was lost
            if not self._catch_up() and self.offered() not in (None, lineage):
                here.remember(lineage, here.content(), shared=False)
        except PermissionError:
            here.remember(lineage, here.content(), shared=False)
        except OSError as error:  # nobody knows whether it was done
            _raise_if_full(error)

    def receive(self, counts: Mapping[str, int]) -> None:
        """Makes sure that the map has what another machine numbered a day with. Raises CannotUse."""
        needed, here = counts.get("map_rows"), self._map
        with here.exclusive():
            if needed is None or not here.is_current():
                raise CannotUse
            if needed > here.rows():
                self._catch_up()
            if needed > here.rows():
                raise CannotUse

    def claim(self, added: Any) -> None:
        """Gets new rows into the record. Raises Again where it cannot: the numbers must be assigned again."""
        here, piece = self._map, self._scratch.path(".parquet")
        write_plain(piece, added.schema, [added])
        if self._newest is not None:
            try:
                self._newest = self._record.add(self._newest, piece, added.num_rows)
                return
            except OSError as error:
                _raise_if_full(error)
        if not self._catch_up():
            here.current = here.remember(uuid.uuid4().hex, here.content(), shared=False)
        raise Again

    def settle(self) -> None:
        """Puts many pieces into one."""
        here = self._map
        with here.exclusive():
            newest = self._newest
            if newest is None or len(newest.pieces) <= _PIECES or newest.rows != here.rows():
                return
            if whole := here.file():
                try:
                    self._newest = self._record.replace(newest, whole, newest.rows)
                except OSError:
                    self._newest = None

    def _catch_up(self) -> bool:
        """Brings the map up to the record; whether it is there now, and the record is newer than was known."""
        here, known, self._newest = self._map, self._newest, None
        folder = self._scratch.path()
        try:
            state = self._record.read()
            if state is None or state.lineage != here.current or state.rows < here.rows():
                return False
            folder.mkdir()
            for piece, skipped in self._record.fetch(state, here.rows(), folder):
                self._append(piece, skipped)
        except (OSError, ValueError) as error:
            _raise_if_full(error)
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._newest = state
        return known is None or state.rows > known.rows

    def _append(self, piece: Path, skipped: int) -> None:
        import pyarrow.parquet as pq

        if skipped or self._map.content():
            self._map.put_below(pq.read_table(piece).slice(skipped))
        else:
            self._map.commit(piece)


def _raise_if_full(error: Exception) -> None:
    """A full disk here is no fault of the store's."""
    if is_full(error):
        raise error
