"""Entries of an index: a hash of 128 bits and a number, ascending by the first half of the hash, in memory or a file.

A table says where the entries begin whose hashes have the same leading bits, eight at an average: so to look a hash up
costs about two places of memory, whatever the number of entries.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_WIDTH = 24  # bytes of an entry
_EACH = 3  # bits of the number of entries for a place of the table


class Entries:
    """Entries with their table; `path` is the file that they are in, if they are."""

    def __init__(self, entries: np.ndarray, table: np.ndarray, path: Path | None = None) -> None:
        self.entries, self.table, self.path = entries, table, path

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def of(cls, hashes: np.ndarray, numbers: np.ndarray) -> Entries:
        """In memory, from hashes in any order."""
        import numpy as np

        order = np.argsort(hashes[:, 0])
        found = cls._empty(len(hashes))
        found.entries[:, :2] = hashes[order]
        found.entries[:, 2] = numbers.view(np.uint64)[order]
        return found._marked()

    @classmethod
    def opened(cls, path: Path, rows: int) -> Entries:
        """Those of a file. Raises OSError or ValueError if it is none with so many."""
        return cls._mapped(path, rows, "r")

    @classmethod
    def merged(cls, one: Entries, other: Entries, path: Path | None = None) -> Entries:
        """Both, in a new file if a path is given. Raises OSError."""
        from daedalus.output.numbers.compiled_lookup import merge

        rows = len(one) + len(other)
        found = cls._made(path, rows) if path else cls._empty(rows)
        merge(one.entries, other.entries, found.entries)
        return found._marked()

    def written(self, path: Path) -> Entries:
        """The same in a new file. Raises OSError."""
        found = self._made(path, len(self))
        found.entries[:] = self.entries
        found.table[:] = self.table
        return found

    def look_up(self, hashes: np.ndarray, order: np.ndarray, found: np.ndarray) -> None:
        """Writes to `found` the numbers of those hashes that are here."""
        from daedalus.output.numbers.compiled_lookup import look_up

        look_up(self.entries, self._shift, self.table, hashes, order, found)

    def _marked(self) -> Entries:
        from daedalus.output.numbers.compiled_lookup import begins

        begins(self.entries, self._shift, self.table)
        return self

    @property
    def _shift(self) -> np.uint64:
        import numpy as np

        return np.uint64(64 - _bits(len(self)))

    @classmethod
    def _empty(cls, rows: int) -> Entries:
        import numpy as np

        return cls(np.empty((rows, 3), np.uint64), np.empty((1 << _bits(rows)) + 1, np.int64))

    @classmethod
    def _made(cls, path: Path, rows: int) -> Entries:
        """A new file, with room on the disk: without, writing to memory that is mapped ends the process."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            os.posix_fallocate(handle, 0, _size(rows))
        finally:
            os.close(handle)
        return cls._mapped(path, rows, "r+")

    @classmethod
    def _mapped(cls, path: Path, rows: int, mode: str) -> Entries:
        import numpy as np

        if path.stat().st_size != _size(rows):
            raise ValueError(f"not {rows} entries: {path}")
        words = np.memmap(path, np.uint64, mode)  # type: ignore[call-overload]
        return cls(words[: 3 * rows].reshape(rows, 3), words[3 * rows :].view(np.int64), path)


def _bits(rows: int) -> int:
    """The leading bits that the table tells apart."""
    return max(rows.bit_length() - _EACH, 1)


def _size(rows: int) -> int:
    return _WIDTH * rows + 8 * ((1 << _bits(rows)) + 1)
