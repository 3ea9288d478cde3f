"""The file of a means step: per row of the sessions its mean, each distinct one of a row group once.

A column `value` of the means' bytes with a dictionary, NULL where a row has no mean, and a column `unusable` of the id
of a vector that a row needs and that has no place in a mean. Row groups are those of the sessions. Nothing is
compressed: means of floats have no bytes that repeat, and a reader takes the dictionary as it lies in the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_DTYPE = "daeda:dtype"  # in the footer
_LONGEST_PAGE = (1 << 31) - 1


@dataclass(frozen=True)
class Means:
    """The means of a row group: `index` is by row the number of its mean in `values`, or -1 where it has none (int32);
    `values` are (means, components) of float32 or float16.

    `unusable` are by row the id of a vector that it needs and that is not usable, else NULL (int64 of Arrow); None for
    NULLs alone. Such a row has no mean.
    """

    index: np.ndarray
    values: np.ndarray
    unusable: pa.Array | None = None


def write_means(path: Path, groups: Iterable[Means], dtype: str = "float32") -> int:
    """Writes means by row group; returns the number of rows. `dtype` is that of all values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, rows = pa.schema([("value", pa.dictionary(pa.int32(), pa.binary())), ("unusable", pa.int64())]), 0
    with (
        pa.OSFile(str(path), "wb") as out,
        pq.ParquetWriter(out, schema, compression="none", write_statistics=False, store_schema=False,
                         use_dictionary=["value"], dictionary_pagesize_limit=_LONGEST_PAGE) as writer,
    ):  # fmt: skip
        writer.add_key_value_metadata({_DTYPE: dtype})
        for group in groups:
            count = len(group.index)
            unusable = pa.nulls(count, pa.int64()) if group.unusable is None else group.unusable
            table = pa.Table.from_arrays([_coded(group), unusable], schema=schema)
            writer.write_table(table, row_group_size=max(count, 1))
            rows += count
    return rows


def _coded(group: Means) -> pa.DictionaryArray:
    """The means as the bytes that they are, by row, over the distinct ones in the order in which they first occur.

    So the file depends on the values alone; and of a dictionary with repeats pyarrow would write each row's value."""
    import numpy as np
    import pyarrow as pa

    values = np.ascontiguousarray(group.values)
    width = values.shape[1] * values.itemsize
    ends = pa.array(np.arange(len(values) + 1) * width, pa.int32())  # refuses more bytes than a column may have
    bytes_of = pa.Array.from_buffers(pa.binary(), len(values), [None, ends.buffers()[1], pa.py_buffer(values)])
    distinct = bytes_of.dictionary_encode()
    index = np.append(distinct.indices.to_numpy(), np.int32(-1))[group.index]
    return pa.DictionaryArray.from_arrays(pa.array(index, mask=index < 0), distinct.dictionary)


class MeansFile:
    """Reads a file of `write_means` by row group; it has `groups` of them and `rows` in all, of values of `dtype`."""

    def __init__(self, path: Path) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        self._open = ExitStack()
        self._parquet = self._open.enter_context(pq.ParquetFile(path, read_dictionary=["value"]))
        footer = self._parquet.metadata
        self.groups, self.rows = footer.num_row_groups, footer.num_rows
        self.dtype = np.dtype(footer.metadata[_DTYPE.encode()].decode())

    def group(self, group: int) -> Means:
        """The means of a row group."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        table = self._parquet.read_row_group(group, use_threads=False).combine_chunks()
        coded, unusable = (pa.array([], field.type) if not column.num_chunks else column.chunk(0)
                           for field, column in zip(table.schema, table.columns, strict=True))  # fmt: skip
        index = pc.fill_null(coded.indices, -1).to_numpy()
        means = len(coded.dictionary)
        _, ends, data = coded.dictionary.buffers()
        width = int(np.frombuffer(ends, np.int32)[1]) // self.dtype.itemsize if means else 0
        values = np.frombuffer(data or b"", self.dtype, means * width).reshape(means, width)
        return Means(index, values, None if unusable.null_count == len(unusable) else unusable)

    def __enter__(self) -> MeansFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
