"""The file of a day's vectors: each id that the day uses, the length of its vector, and the vector's bytes.

Vectors are of one length, that which most of the used ones have, and lie uncompressed in one page a row group: so one
can be read by its position, where all of them do not fit into memory. Those of another length, or with a component
that is NULL, are not usable; of them there are only the lengths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.parquet.columns.fixed_values import FixedValues, fixed_values, form
from daedalus.parquet.footer import Assembled, in_memory, joined, texts
from daedalus.tables.held import HELD

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NO_VECTOR = -(1 << 63)  # in place of a length: there is no vector
_GROUP_BYTES, _GROUP_ROWS = 1 << 23, 1 << 14  # of vectors in a row group: what is in memory when it is written


def usual_length(lengths: np.ndarray) -> int:
    """The length that most vectors without a NULL have, the smaller of equals; 0 if there are none."""
    import numpy as np

    found, counts = np.unique(lengths[lengths >= 0], return_counts=True)
    return int(found[counts.argmax()]) if len(found) else 0


def write_vectors(
    path: Path, ids: np.ndarray, lengths: np.ndarray, dtype: np.dtype | str, blocks: Iterable[np.ndarray]
) -> None:
    """Writes the file. `ids` ascend; `lengths` are those of their vectors, NO_VECTOR for none, -1 - length for one with
    a NULL. `blocks` are the usable vectors, in order of the ids, in arrays of any number of rows."""
    import numpy as np

    dim, kind = usual_length(lengths), np.dtype(dtype)
    width = max(dim * kind.itemsize, 1)  # parquet has no values of 0 bytes
    rows = min(max(_GROUP_BYTES // width, 1), _GROUP_ROWS)
    tables = [_known(ids[begin : begin + rows], lengths[begin : begin + rows]) for begin in range(0, len(ids), rows)]
    known = in_memory(_known(ids[:0], lengths[:0]).schema, tables)
    rest = _Rest(blocks if dim else ())
    with path.open("wb") as out:
        columns = [("id", known), ("length", known), ("vector", form("vector", width))]
        file = Assembled(out, joined(columns) | texts({"dim": str(dim), "dtype": kind.name}))
        for group, table in enumerate(tables):
            sizes = lengths[group * rows :][:rows]
            usable = sizes == dim if dim else np.zeros(len(sizes), np.bool_)
            vectors = fixed_values("vector", width, usable, rest.take(int(usable.sum())))
            file.add([*known.chunks(group, "id"), *known.chunks(group, "length"), vectors], table.num_rows)
        file.finish()


def _known(ids: np.ndarray, lengths: np.ndarray) -> pa.Table:
    """Ids, and the lengths of their vectors."""
    import numpy as np
    import pyarrow as pa

    missing = lengths == NO_VECTOR
    known = pa.array(np.where(missing, 0, lengths), pa.int32(), mask=missing)
    return pa.table({"id": pa.array(ids, pa.int64()), "length": known})


class _Rest:
    """The rows of blocks that have not been taken."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self._blocks: Iterator[np.ndarray] = iter(blocks)
        self._block: np.ndarray | None = None

    def take(self, count: int) -> list[np.ndarray]:
        """The next `count` rows."""
        import numpy as np

        found = []
        while count:
            if self._block is None or not len(self._block):
                self._block = np.ascontiguousarray(next(self._blocks))
            found.append(self._block[:count])
            self._block, count = self._block[count:], count - len(found[-1])
        return found


def take_rows(values: np.ndarray, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Copies rows of a matrix to `out`, of its type; `rows` are all within it."""
    return values.take(rows, axis=0, out=out, mode="clip")  # to raise for others, it would write to a copy of `out`


class VectorsFile:
    """Reads a file of `write_vectors`: `ids` ascend, `lengths` are NO_VECTOR where there is no vector, `usable` says
    whose vectors there are, of `dim` components of `dtype`."""

    def __init__(self, path: Path) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._open = ExitStack()
        opened = self._open.enter_context(path.open("rb", buffering=0))
        with pq.ParquetFile(path) as file:
            self._footer, table = file.metadata, file.read(["id", "length"], use_threads=False)
        about = self._footer.metadata
        self.dim, self.dtype = int(about[b"dim"]), np.dtype(about[b"dtype"].decode())
        self.ids = table["id"].to_numpy()
        self.lengths = table["length"].cast(pa.int64()).fill_null(NO_VECTOR).to_numpy()
        self.usable = self.lengths == self.dim
        self._width = self.dim * self.dtype.itemsize
        self._values = FixedValues(opened, self._footer, 2, self._width)

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The positions of ids, int32: -1 for an id that is not there or has no vector, -2 for one whose vector is not
        usable."""
        import numpy as np

        if not len(self.ids):
            return np.full(len(ids), -1, np.int32)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        known = (self.ids[at] == ids) & (self.lengths[at] != NO_VECTOR)
        return np.where(known, np.where(self.usable[at], at, -2), -1).astype(np.int32)

    def take(self, positions: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The vectors at positions of usable ones, a row each; in `out` if it is given, a matrix of `dtype`."""
        import numpy as np

        ranks = self.ranks[positions]
        out = np.empty((len(ranks), self.dim), self.dtype) if out is None else out
        if not self.dim or not len(ranks):
            return out
        if self._fits:
            return take_rows(self.whole, ranks, out)
        firsts, offsets = self._starts
        groups = np.searchsorted(firsts, ranks, side="right") - 1
        places = offsets[groups] + (ranks - firsts[groups]) * self._width
        for row, place in zip(out, places.tolist(), strict=True):
            self._values.read(row, place)
        return out

    @cached_property
    def ranks(self) -> np.ndarray:
        """By position, the place of a usable vector in `whole`."""
        import numpy as np

        return np.cumsum(self.usable) - 1

    @cached_property
    def count(self) -> int:
        """How many vectors are usable."""
        return int(self.usable.sum())

    @property
    def _fits(self) -> bool:
        return 4 * self.count * self._width <= HELD.each

    @cached_property
    def whole(self) -> np.ndarray:
        """All usable vectors, a row each."""
        import numpy as np

        whole = np.empty((self.count, self.dim), self.dtype)
        firsts, offsets = self._starts
        ends = np.append(firsts, len(whole))[1:]
        for first, end, offset in zip(firsts, ends, offsets.tolist(), strict=True):
            self._values.read(whole[first:end], offset)
        return whole

    @cached_property
    def _starts(self) -> tuple[np.ndarray, np.ndarray]:
        """(the rank of the first vector of each row group that has one; where its bytes begin)."""
        import numpy as np

        firsts, offsets, row = [], [], 0
        for group in range(self._footer.num_row_groups):
            rows = self._footer.row_group(group).num_rows
            usable = self.usable[row : row + rows]
            if usable.any():
                firsts.append(int(self.ranks[row + usable.argmax()]))
                offsets.append(self._values.begin(group, int(usable.sum())))
            row += rows
        return np.array(firsts, np.int64), np.array(offsets, np.int64)

    def __enter__(self) -> VectorsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
