"""The history of a qid map in the shared cache: one record, only ever replaced by compare-and-swap.

    {lineage, pieces: [{digest, sha256, size, rows}, …]}

Invariant: under one lineage there is one history. Each record adds a piece of new rows to the one before, or merges
all pieces into one, and the swap lets one writer through. So the number of rows identifies a state, each state
begins with the rows of those before it, and a session has the same number in all of them. A writer uses new numbers
only once they are in the record; one that cannot write starts another lineage (see daedalus/output/shared_numbers.py).
If a record vanishes, its lineage is never started again.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from daedalus.sharing.bucket import CacheBucket
from daedalus.sharing.record import Blob
from daedalus.sharing.seen import Seen


class Piece(Blob, frozen=True):
    """A parquet file with some rows of the map, in their order."""

    rows: int

    def part(self) -> Blob:
        return Blob(self.digest, self.sha256, self.size)


@dataclass(frozen=True)
class State:
    """A version of the record, as it was read or written."""

    lineage: str
    pieces: tuple[Piece, ...]
    etag: str

    @property
    def rows(self) -> int:
        return sum(piece.rows for piece in self.pieces)


class QidHistory:
    """The record of one output's map. Every method raises OSError when the store fails or the record is not valid."""

    def __init__(self, remote: CacheBucket, seen: Seen, name: str) -> None:
        self._remote, self._seen, self._key = remote, seen, f"qid_maps/{name}.json"
        self.reads, self.writes = remote.reads, remote.writes

    def read(self) -> State | None:
        """The newest state, or None if there is none. Raises OSError if it is badly signed, damaged or outdated."""
        found = self._remote.get(self._key)
        if found is None:
            if self._key in self._remote.wrong:
                raise OSError(errno.EIO, self._remote.wrong[self._key], self._key)
            return None
        value, there = found
        if not self._remote.believed(self._key, value):
            raise OSError(errno.EIO, self._remote.wrong[self._key], self._key)
        try:
            pieces = msgspec.convert(value["pieces"], tuple[Piece, ...])
            state = State(str(value["lineage"]), pieces, there.etag)
        except (KeyError, ValueError):
            raise OSError(errno.EIO, "no record of a map", self._key) from None
        if problem := self._seen.problem(self._key, state.rows, state.lineage):
            self._remote.reject(self._key, problem)
            raise OSError(errno.EIO, problem, self._key)
        self._seen.note(self._key, state.rows, state.lineage)
        return state

    def fetch(self, state: State, rows: int, folder: Path) -> list[tuple[Path, int]]:
        """Downloads the pieces that have rows beyond the first `rows`: (file, leading rows to skip)."""
        found: list[tuple[Path, int]] = []
        begin = 0
        for piece in state.pieces:
            if begin + piece.rows > rows:
                path = folder / f"{len(found)}.parquet"
                if not self._remote.fetch(piece.part(), path):
                    raise OSError(errno.EIO, "a piece of the map is damaged or missing", piece.digest)
                found.append((path, max(rows - begin, 0)))
            begin += piece.rows
        return found

    def create(self, lineage: str, whole: Path | None, rows: int) -> State:
        """Starts a history with a whole map, or an empty one."""
        return self._put(lineage, (self._piece(whole, rows),) if whole else (), None)

    def add(self, state: State, piece: Path, rows: int) -> State:
        """Appends rows to a state, which must still be the newest."""
        return self._put(state.lineage, (*state.pieces, self._piece(piece, rows)), state.etag)

    def replace(self, state: State, whole: Path, rows: int) -> State:
        """Replaces the pieces of a state, which must still be the newest, by one with the same rows."""
        return self._put(state.lineage, (self._piece(whole, rows),), state.etag)

    def _piece(self, path: Path, rows: int) -> Piece:
        if not self._remote.writes:
            raise OSError(errno.EROFS, "the shared cache is only read", self._key)
        part = Blob.of(path)
        self._remote.put_part(part, path)
        return Piece(part.digest, part.sha256, part.size, rows)

    def _put(self, lineage: str, pieces: tuple[Piece, ...], replaces: str | None) -> State:
        record: dict[str, Any] = {"kind": "qid_map", "lineage": lineage, "pieces": msgspec.to_builtins(pieces)}
        value = self._remote.signer.sign(self._key, record)
        etag = self._remote.put(self._key, value, create=replaces is None, replaces=replaces)
        state = State(lineage, pieces, etag)
        self._seen.note(self._key, state.rows, lineage)
        return state
