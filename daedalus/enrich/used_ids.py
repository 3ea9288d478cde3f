"""The ids that the rows of a day use: those of a column, or the first of its lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from daedalus.base.errors import DayError
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.tables.artifacts import fits, read_table, rows_of
from daedalus.tables.ids import as_ids
from daedalus.windows.windows_file import WindowsFile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_NO_LIMIT = 1 << 31


class IdSource(Struct, frozen=True):
    """Where a day's ids are: in a column of an action's artifact, or in the first `max_items` of each of its lists."""

    action: str
    column: str
    listed: bool
    max_items: int | None = None


def used_ids(source: IdSource, path: Path) -> np.ndarray:
    """The distinct ids, ascending. Raises DayError for a column that holds no integers."""
    import numpy as np

    used = np.empty(0, np.int64)
    for piece in _in_lists(source, path) if source.listed else _in_column(source, path):
        if not _is_integer(piece.type):
            raise DayError("a column that holds no ids", where=source.column, found=piece.type, expected="integers")
        ids = as_ids(piece).drop_null().unique().to_numpy()
        used = np.union1d(used, ids)
    return used


def _is_integer(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind))


def _in_column(source: IdSource, path: Path) -> Iterator[pa.Array]:
    import pyarrow.parquet as pq

    if fits(rows_of(path)):
        yield from read_table(path, [source.column])[source.column].chunks
        return
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_PER_GROUP, columns=[source.column], use_threads=False):
            yield batch.column(0)


def _in_lists(source: IdSource, path: Path) -> Iterator[pa.Array]:
    """For each row group the values that occur among the first of each list."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from daedalus.parquet import compiled_lists

    with WindowsFile(path) as windows:
        column = windows.schema.get_field_index(source.column)
        for group in range(pq.read_metadata(path).num_row_groups):
            lists = windows.group(group)
            sizes = np.minimum(lists.sizes[:, column], source.max_items or _NO_LIMIT)
            codes = np.empty(sizes.sum(), lists.codes.dtype)
            compiled_lists.prefixes(lists.codes, lists.begins, sizes, codes)
            used = np.zeros(len(lists.values), np.bool_)
            used[codes] = True
            yield lists.values.filter(pa.array(used))
