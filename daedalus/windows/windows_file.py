"""The file of a rolling step's lists: per row, the longest window's list, and the length of each window's list.

A shorter window's list is a prefix of the longer one's, so one list and one number per window are enough, in half
the bytes. Rows are all those of the sessions: the content filter is applied later (see partition.py), so a change
of it does not recompute lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.parquet.list_reader import read_chunk
from daedalus.parquet.list_writer import Lists, has_plain, numbered, write_lists
from daedalus.parquet.splice import Spliced
from daedalus.parquet.writer import write_groups

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ITEMS = "daeda:items"  # the first column, the longest list; then one INTEGER column per window, its list's length


def write_windows(path: Path, schema: pa.Schema, groups: Iterable[Lists]) -> int:
    """Writes windows by row group; `schema` has them as list columns, the longest last. Returns the number of rows."""
    import pyarrow as pa

    sizes: list[pa.Table] = []
    lengths = pa.schema([(name, pa.int32()) for name in schema.names])

    def longest() -> Iterator[Lists]:
        for group in groups:
            columns = [pa.array(column, pa.int32()) for column in group.sizes.T]
            sizes.append(pa.Table.from_arrays(columns, schema=lengths))
            lists = numbered([group])  # as the partition will have them: each window needs a prefix of the values
            yield Lists(lists.codes, lists.begins, lists.sizes[:, -1:], lists.values)

    parts = {"items": path.with_suffix(".items"), "sizes": path.with_suffix(".sizes")}
    try:
        write_lists(parts["items"], pa.schema([(ITEMS, schema.field(-1).type)]), longest())
        write_groups(parts["sizes"], lengths, sizes)
        with Spliced([(ITEMS, "items"), *((name, "sizes") for name in schema.names)], parts) as whole:
            whole.write(path, 0, whole.rows)
            return whole.rows
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


class WindowsFile:
    """Reads a file of `write_windows` by row group. `schema` has its windows as list columns."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._parquet = pq.ParquetFile(path)
        self._file = path.open("rb")
        self._names = [name for name in self._parquet.schema_arrow.names if name != ITEMS]
        self._kind = self._parquet.schema_arrow.field(ITEMS).type
        self.schema = pa.schema([(name, self._kind) for name in self._names])

    def group(self, group: int) -> Lists:
        """The lists of a row group."""
        import numpy as np

        table = self._parquet.read_row_group(group, columns=self._names, use_threads=False)
        sizes = np.stack([column.to_numpy().astype(np.int64) for column in table.columns], axis=1)
        codes, values, page = self._items(group, sizes[:, -1])
        return Lists(codes, np.cumsum(sizes[:, -1]) - sizes[:, -1], sizes, values, page)

    def _items(self, group: int, sizes: np.ndarray) -> tuple[np.ndarray, pa.Array, bytes]:
        """(codes, values, page of values) of the longest lists, by our own reader where it can."""
        chunk = self._parquet.metadata.row_group(group).column(0)
        if has_plain(self._kind.value_type) and chunk.has_dictionary_page:
            self._file.seek(chunk.dictionary_page_offset)
            return read_chunk(self._file.read(chunk.total_compressed_size), self._kind.value_type, sizes)
        table = self._parquet.read_row_group(group, columns=[ITEMS], use_threads=False)
        coded = table[ITEMS].combine_chunks().flatten().dictionary_encode()
        return coded.indices.to_numpy(), coded.dictionary, b""

    def __enter__(self) -> WindowsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._parquet.close()
        self._file.close()
