"""Reads the rows of one fragment of the pool, by Lance's library.

The library is given a folder that is laid out as the table's, with links to the very files that were looked at: local
ones, or copies of objects. So renamed columns, deleted rows and old formats are its concern, and a table that is
written meanwhile is none of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import xxhash

from daedalus.base.durable import remove_folder
from daedalus.base.errors import DaedalusError, seen_from
from daedalus.enrich.vectors_file import NO_VECTOR
from daedalus.inputs.lance.table import ERRORS, open_table, said

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from daedalus.inputs.files import Files
    from daedalus.inputs.pool_fragments import FragmentInput

_BUFFER = 1 << 25  # bytes that Lance reads ahead
_BATCH_ROWS = 2048


class Vectors(NamedTuple):
    """The vectors of some rows. That of row i has the components `values[begins[i]:]`, of which 0 stands for NULL.

    `lengths` are as in artifacts: NO_VECTOR where the vector is NULL, -1 - length where a component is.
    """

    values: np.ndarray
    begins: np.ndarray
    lengths: np.ndarray

    def matrix(self, dim: int) -> np.ndarray:
        """A row each, where all have `dim` components."""
        import numpy as np

        steps = np.arange(len(self.begins)) * dim
        if len(steps) and np.array_equal(self.begins - self.begins[0], steps):
            return self.values[self.begins[0] :][: len(steps) * dim].reshape(len(steps), dim)
        return self.values[self.begins[:, np.newaxis] + np.arange(dim)]

    def digests(self) -> list[bytes | None]:
        """The digest of each vector's bytes and type; None where it is NULL."""
        width = self.values.itemsize
        data = memoryview(self.values.view("u1").data)
        spans = zip((self.begins * width).tolist(), self.lengths.tolist(), strict=True)
        return [None if length == NO_VECTOR
                else xxhash.xxh3_128_digest(data[at : at + width * (length if length >= 0 else -1 - length)], width)
                for at, length in spans]  # fmt: skip


class OpenFragment:
    """A fragment as Lance reads it, out of the folder of a table that errors call `table`. All that it reads raises
    DaedalusError if the files, which are local ones by their paths, cannot be read."""

    def __init__(self, number: int, folder: Path, table: str, files: Mapping[str, str]) -> None:
        self._where, self._files = f"fragment {number} of {table}", files
        with self._reading():
            found = open_table(str(folder)).get_fragment(number)
            if found is None:
                raise ValueError("the table has no such fragment")
            self._fragment = found

    def rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns of the rows that are not deleted, in order, a bounded number of bytes at a time."""
        with self._reading():
            scanner = self._fragment.scanner(
                columns=list(columns), batch_size=_BATCH_ROWS, batch_readahead=1, io_buffer_size=_BUFFER
            )
            yield from scanner.to_reader()

    def vectors(self, column: str, places: np.ndarray) -> Vectors:
        """The vectors of rows; `places` are ascending, and count the rows that are not deleted."""
        with self._reading():
            return vectors_of(self._fragment.take(places.tolist(), columns=[column])[column].combine_chunks())

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except ERRORS as error:
            gone = next((path for path, local in self._files.items() if not os.path.exists(local)), None)
            found = f"{gone} is gone" if gone else said(error)
            raise DaedalusError("the embedding pool cannot be read", where=self._where, found=found,
                                hint="if it was being written, run again") from None  # fmt: skip


@contextmanager
def opened(files: Files, fragment: FragmentInput, folder: Path) -> Iterator[OpenFragment]:
    """The fragment, laid out meanwhile at the free path `folder`. Raises DaedalusError if it cannot be read."""
    placed = dict(zip([file.path for file in fragment.files], fragment.places, strict=True))
    placed[fragment.manifest.path] = f"_versions/{PurePosixPath(fragment.manifest.path).name}"
    wanted = {file.path: file.digest for file in (*fragment.files, fragment.manifest)}
    try:
        with files.fetch(wanted) as local:
            for path, place in placed.items():
                if place:
                    (folder / place).parent.mkdir(parents=True, exist_ok=True)
                    (folder / place).symlink_to(os.path.abspath(local[path]))
            table = fragment.manifest.path.rpartition("/_versions/")[0]
            yield OpenFragment(fragment.id, folder, seen_from(table), local)
    finally:
        remove_folder(folder)


def vectors_of(column: pa.Array) -> Vectors:
    """The vectors of a column of lists, of fixed size or not."""
    import numpy as np
    import pyarrow as pa

    count = len(column)
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        begins, lengths = np.arange(column.offset, column.offset + count) * size, np.full(count, size, np.int64)
    else:
        ends = column.offsets.to_numpy().astype(np.int64)
        begins, lengths = ends[:-1], np.diff(ends)
    values, missing = _components(column.values)
    if missing is not None:
        before = np.concatenate(([0], np.cumsum(missing)))
        lengths = np.where(before[begins + lengths] > before[begins], -1 - lengths, lengths)
    if column.null_count:
        lengths[np.asarray(column.is_null())] = NO_VECTOR
    return Vectors(values, begins, lengths)


def _components(values: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """(the numbers, 0 for NULL; where they are NULL, None if none is)."""
    import numpy as np

    dtype = np.dtype(values.type.to_pandas_dtype())
    data = values.buffers()[1]
    if data is None:
        return np.zeros(len(values), dtype), np.ones(len(values), np.bool_) if len(values) else None
    numbers = np.frombuffer(data, dtype, len(values), values.offset * dtype.itemsize)
    if not values.null_count:
        return numbers, None
    missing = np.asarray(values.is_null())
    return np.where(missing, dtype.type(0), numbers), missing
