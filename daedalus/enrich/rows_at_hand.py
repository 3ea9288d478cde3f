"""Rows of a matrix that come in any order and are read in theirs: in memory, or in a file where they do not fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.tables.held import HELD

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 1 << 23  # bytes that are read at once
_SHARE = 4  # the part of a worker's memory that the rows may take, as its divisor


class RowsAtHand:
    """`count` rows of `dim` numbers of a type. `path` is a free path, where a file may be meanwhile."""

    def __init__(self, count: int, dim: int, dtype: str, path: Path) -> None:
        import numpy as np

        self._count, self._dim, self._dtype, self._path = count, dim, np.dtype(dtype), path
        self._width = max(dim * self._dtype.itemsize, 1)
        fits = _SHARE * count * self._width <= HELD.each
        self.whole = np.empty((count, dim), self._dtype) if fits else None  # where it is in memory
        self._file = None if fits else path.open("w+b", buffering=0)

    def put(self, places: np.ndarray, rows: np.ndarray) -> None:
        """Sets the rows at some places."""
        if self.whole is not None:
            self.whole[places] = rows
            return
        assert self._file is not None
        for place, row in zip(places.tolist(), rows, strict=True):
            os.pwrite(self._file.fileno(), row.tobytes(), place * self._width)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, some at a time."""
        import numpy as np

        if self.whole is not None:
            yield self.whole
            return
        assert self._file is not None
        self._file.seek(0)
        most = max(_BLOCK // self._width, 1)
        for begin in range(0, self._count if self._dim else 0, most):
            rows = min(most, self._count - begin)
            yield np.fromfile(self._file, self._dtype, rows * self._dim).reshape(rows, self._dim)

    def __enter__(self) -> RowsAtHand:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
