"""The file of a rolling step's lists: per row, the longest window's list, and the length of each window's list.

A shorter window's list is a prefix of the longer one's, so one list and one number per window are enough, in half
the bytes. Rows are all those of the sessions: the content filter is applied later (see partition.py), so a change
of it does not recompute lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.parquet.footer import Assembled, joined
from daedalus.parquet.list_reader import read_chunk
from daedalus.parquet.list_writer import FAST, Lists, chunks_of, form_of, has_plain, numbered
from daedalus.parquet.split_numbers import read_split, split_numbers
from daedalus.tables.held import HELD, LISTS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ITEMS = "daeda:items"  # the first column, the longest list; then one INTEGER column per window, its list's length
_BUFFER = 1 << 16


def write_windows(path: Path, schema: pa.Schema, groups: Iterable[Lists]) -> int:
    """Writes windows by row group, and holds them if they fit; `schema` has them as list columns, the longest last.
    Returns the number of rows."""
    import pyarrow as pa

    items, lengths = pa.schema([(ITEMS, schema.field(-1).type)]), pa.schema([(n, pa.int32()) for n in schema.names])
    of_lengths = form_of(lengths)
    columns = [(ITEMS, form_of(items)), *((name, of_lengths) for name in schema.names)]
    held: list[Lists] = []
    size = 0
    with path.open("wb", buffering=_BUFFER) as out:
        file = Assembled(out, joined(columns))
        for group in groups:
            lists = numbered([group])  # as the partition will have them: each window needs a prefix of the values
            (longest,) = chunks_of(items, replace(lists, sizes=lists.sizes[:, -1:]), FAST)
            file.add([longest, *split_numbers(lengths, lists.sizes)], len(lists.sizes))
            size += lists.codes.nbytes + lists.begins.nbytes + lists.sizes.nbytes + lists.values.nbytes
            if HELD.takes(size):
                page = b"".join(longest.data)[: longest.offsets[0]]  # its data pages follow it
                held.append(replace(lists, page=page))
            else:
                held.clear()
        rows = file.finish()
    HELD.put(path, (schema, held), size, LISTS)
    return rows


def has_windows(path: Path) -> bool:
    """Whether `write_windows` wrote an artifact."""
    import pyarrow.parquet as pq

    if HELD.get(path, LISTS) or HELD.get(path) is not None:
        return HELD.get(path, LISTS) is not None
    return ITEMS in pq.read_schema(path).names


class WindowsFile:
    """Reads a file of `write_windows` by row group. `schema` has its windows as list columns."""

    def __init__(self, path: Path) -> None:
        self._open = ExitStack()
        held = HELD.get(path, LISTS)
        if held:
            self.schema, self._held = held
        else:
            self._held = None
            self._read(path)

    def _read(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._parquet = self._open.enter_context(pq.ParquetFile(path))
        self._file = self._open.enter_context(path.open("rb"))
        self._names = [name for name in self._parquet.schema_arrow.names if name != ITEMS]
        self._kind = self._parquet.schema_arrow.field(ITEMS).type
        self.schema = pa.schema([(name, self._kind) for name in self._names])

    def group(self, group: int) -> Lists:
        """The lists of a row group."""
        import numpy as np

        if self._held is not None:
            return self._held[group]
        found = self._sizes(group)
        sizes = np.empty((len(found[0]), len(found)), np.int64)
        for window, lengths in enumerate(found):
            sizes[:, window] = lengths
        codes, values, page = self._items(group, sizes[:, -1])
        return Lists(codes, np.cumsum(sizes[:, -1]) - sizes[:, -1], sizes, values, page)

    def _sizes(self, group: int) -> list[np.ndarray]:
        """The lengths of each window's lists."""
        row_group = self._parquet.metadata.row_group(group)
        found = [read_split(self._file, row_group.column(1 + i)) for i in range(len(self._names))]
        split = [sizes for sizes in found if sizes is not None]
        if len(split) == len(found):
            return split
        table = self._parquet.read_row_group(group, columns=self._names, use_threads=False)
        return [column.to_numpy() for column in table.columns]

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
        self._open.close()
