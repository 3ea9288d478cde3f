"""Rows of numbers by their digests, kept in memory for who needs the same ones next.

A digest says every bit of a row. So what is held is never outdated, wherever a row was read and whatever became of its
file since.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING

from daedalus.tables.held import HELD

if TYPE_CHECKING:
    import numpy as np

_SHARE = 4  # the part of what all workers may use beside that rows may take, as its divisor
_BESIDE = 200  # bytes that a row's digest takes, and its place


class _Rows:
    """A matrix that fills from its first row on, and where in it rows are by digest: said when they are there, so that
    others may look meanwhile."""

    def __init__(self, most: int, dim: int, dtype: np.dtype) -> None:
        import numpy as np

        self.matrix = np.empty((most, dim), dtype)  # pages not written take no memory
        self.places: dict[bytes, int] = {}
        self.used = 0


class HeldRows:
    """Rows of one length and type at a time, an eighth of the configured memory at most; where that is full, it begins
    anew. Safe to use from several threads: who looks reads what never changes, also after others began anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: _Rows | None = None

    def take(self, digests: Sequence[bytes], out: np.ndarray) -> np.ndarray:
        """Copies rows to `out`, which has a place for each; returns the places of those that are not held, ascending.
        What is in these then is undefined."""
        import numpy as np

        held = self._held
        if held is None or not _is_like(held, out):
            return np.arange(len(digests))
        rows = np.fromiter(map(held.places.get, digests, repeat(-1)), np.int64, len(digests))
        missing = np.flatnonzero(rows < 0)
        if len(missing) < len(rows):
            held.matrix.take(rows, axis=0, out=out, mode="clip")
        return missing

    def put(self, digests: Sequence[bytes], rows: np.ndarray) -> None:
        """Holds rows, unless all of them together are too large."""
        most = HELD.each * HELD.workers // _SHARE // (rows.itemsize * rows.shape[1] + _BESIDE)
        if len(rows) > most:
            return
        with self._lock:
            held = self._held
            if held is None or not _is_like(held, rows) or not held.used + len(rows) <= len(held.matrix) <= most:
                self._held = held = _Rows(most, rows.shape[1], rows.dtype)
            new = [
                place for place, digest in enumerate(digests) if digest not in held.places
            ]  # others may have put some
            begin, held.used = held.used, held.used + len(new)
            held.matrix[begin : held.used] = rows if len(new) == len(rows) else rows[new]
            held.places.update((digests[place], begin + i) for i, place in enumerate(new))

    def clear(self) -> None:
        """Holds nothing any more."""
        self._held = None


def _is_like(held: _Rows, rows: np.ndarray) -> bool:
    """Whether rows have the length and type of those that are held."""
    return held.matrix.shape[1:] == rows.shape[1:] and held.matrix.dtype == rows.dtype


HELD_ROWS = HeldRows()
