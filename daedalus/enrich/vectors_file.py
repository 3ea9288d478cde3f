"""The file of a day's vectors: each id that the day uses, the length of its vector, and the vector's bytes.

Vectors are of one length, that which most of the used ones have, and lie uncompressed in one page a row group: so one
can be read by its position, where all of them do not fit into memory. Those of another length, or with a component
that is NULL, are not usable; of them there are only the lengths.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.parquet.list_writer import PAGE_UNPACKED
from daedalus.parquet.thrift import read_head
from daedalus.tables.held import HELD

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NO_VECTOR = -(1 << 63)  # in place of a length: there is no vector
_GROUP_BYTES, _GROUP_ROWS = 1 << 23, 1 << 14  # of vectors in a row group: what is in memory when it is written
_PAGE = (1 << 31) - 1  # bytes of a page: a row group has less
_HEAD = 1 << 10  # bytes that hold the head of a page


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
    import pyarrow as pa
    import pyarrow.parquet as pq

    dim, kind = usual_length(lengths), np.dtype(dtype)
    width = max(dim * kind.itemsize, 1)  # parquet has no values of 0 bytes
    schema = pa.schema([("id", pa.int64()), ("length", pa.int32()), ("vector", pa.binary(width))])
    codecs = {"id": "zstd", "length": "zstd", "vector": "none"}
    rows = min(max(_GROUP_BYTES // width, 1), _GROUP_ROWS)
    rest = _Rest(blocks)
    with pq.ParquetWriter(path, schema, compression=codecs, use_dictionary=False, write_statistics=False,
                          store_schema=False, data_page_size=_PAGE) as writer:  # fmt: skip
        for begin in range(0, len(ids), rows):
            sizes = lengths[begin : begin + rows]
            vectors = _column(rest, sizes == dim if dim else np.zeros(len(sizes), np.bool_), width)
            missing = sizes == NO_VECTOR
            known = pa.array(np.where(missing, 0, sizes), pa.int32(), mask=missing)
            columns = [pa.array(ids[begin : begin + rows], pa.int64()), known, vectors]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=rows)
        writer.add_key_value_metadata({"dim": str(dim), "dtype": kind.name})


def _column(rest: _Rest, usable: np.ndarray, width: int) -> pa.Array:
    """The vectors of a row group, with NULL where there is no usable one."""
    import numpy as np
    import pyarrow as pa

    data = np.zeros((len(usable), width), np.uint8)
    data[usable] = rest.take(int(usable.sum()), width)
    valid = pa.array(usable).buffers()[1]
    return pa.Array.from_buffers(pa.binary(width), len(usable), [valid, pa.py_buffer(data)])


class _Rest:
    """The rows of blocks that have not been taken, as bytes."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self._blocks: Iterator[np.ndarray] = iter(blocks)
        self._block: np.ndarray | None = None

    def take(self, count: int, width: int) -> np.ndarray:
        """The next `count` rows of `width` bytes."""
        import numpy as np

        found = [np.empty((0, width), np.uint8)]
        while count:
            if self._block is None or not len(self._block):
                self._block = np.ascontiguousarray(next(self._blocks)).view(np.uint8)
            found.append(self._block[:count])
            self._block, count = self._block[count:], count - len(found[-1])
        return np.concatenate(found)


class VectorsFile:
    """Reads a file of `write_vectors`: `ids` ascend, `lengths` are NO_VECTOR where there is no vector, `usable` says
    whose vectors there are, of `dim` components of `dtype`."""

    def __init__(self, path: Path) -> None:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._open = ExitStack()
        self._file = self._open.enter_context(path.open("rb", buffering=0))
        with pq.ParquetFile(path) as file:
            self._footer, table = file.metadata, file.read(["id", "length"], use_threads=False)
        about = self._footer.metadata
        self.dim, self.dtype = int(about[b"dim"]), np.dtype(about[b"dtype"].decode())
        self.ids = table["id"].to_numpy()
        self.lengths = table["length"].cast(pa.int64()).fill_null(NO_VECTOR).to_numpy()
        self.usable = self.lengths == self.dim
        self._width = self.dim * self.dtype.itemsize

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The positions of ids, int32: -1 for an id that is not there or has no vector, -2 for one whose vector is not
        usable."""
        import numpy as np

        if not len(self.ids):
            return np.full(len(ids), -1, np.int32)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        known = (self.ids[at] == ids) & (self.lengths[at] != NO_VECTOR)
        return np.where(known, np.where(self.usable[at], at, -2), -1).astype(np.int32)

    def take(self, positions: np.ndarray) -> np.ndarray:
        """The vectors at positions of usable ones, a row each."""
        import numpy as np

        ranks = self._ranks[positions]
        if not self.dim or not len(ranks):
            return np.empty((len(ranks), self.dim), self.dtype)
        if self._fits:
            return self._whole[ranks]
        found = np.empty((len(ranks), self.dim), self.dtype)
        firsts, offsets = self._starts
        groups = np.searchsorted(firsts, ranks, side="right") - 1
        places = offsets[groups] + (ranks - firsts[groups]) * self._width
        for row, place in zip(found, places.tolist(), strict=True):
            self._read(row, place)
        return found

    @cached_property
    def _ranks(self) -> np.ndarray:
        """The place of each position among the usable ones."""
        import numpy as np

        return np.cumsum(self.usable) - 1

    @property
    def _fits(self) -> bool:
        return len(self._ranks) > 0 and 4 * (int(self._ranks[-1]) + 1) * self._width <= HELD.each

    @cached_property
    def _whole(self) -> np.ndarray:
        """All vectors."""
        import numpy as np

        whole = np.empty((int(self._ranks[-1]) + 1, self.dim), self.dtype)
        firsts, offsets = self._starts
        for first, end, offset in zip(firsts, [*firsts[1:], len(whole)], offsets.tolist(), strict=True):
            self._read(whole[first:end], offset)
        return whole

    @cached_property
    def _starts(self) -> tuple[np.ndarray, np.ndarray]:
        """(the rank of the first vector of each row group that has one; where its bytes begin)."""
        import numpy as np

        firsts, offsets, row = [], [], 0
        for group in range(self._footer.num_row_groups):
            rows, chunk = self._footer.row_group(group).num_rows, self._footer.row_group(group).column(2)
            usable = self.usable[row : row + rows]
            if usable.any():
                firsts.append(int(self._ranks[row + usable.argmax()]))
                offsets.append(self._first_value(chunk.data_page_offset, int(usable.sum())))
            row += rows
        return np.array(firsts, np.int64), np.array(offsets, np.int64)

    def _first_value(self, page: int, count: int) -> int:
        """Where the values of a page begin: they are its last bytes."""
        head, begin = read_head(os.pread(self._file.fileno(), _HEAD, page), 0)
        return page + begin + head[PAGE_UNPACKED][1] - count * self._width

    def _read(self, into: np.ndarray, offset: int) -> None:
        view: Any = memoryview(into.view("u1").reshape(-1).data)
        while view:
            read = os.preadv(self._file.fileno(), [view], offset)
            if not read:
                raise EOFError(f"{self._file.name} ends before its vectors do")
            view, offset = view[read:], offset + read

    def __enter__(self) -> VectorsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
