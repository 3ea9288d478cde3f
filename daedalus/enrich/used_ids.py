"""The ids that the rows of a day use: those of a column, or the first of its lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from daedalus.base.errors import DayError
from daedalus.enrich.list_groups import list_groups
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.tables.artifacts import fits, read_table, rows_of
from daedalus.tables.ids import as_ids

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


_AT_ONCE = 1 << 18  # ids that are sorted together


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
    more: list[np.ndarray] = []
    for piece in _in_lists(source, path) if source.listed else _in_column(source, path):
        if not _is_integer(piece.type):
            raise DayError("a column that holds no ids", where=source.column, found=piece.type, expected="integers")
        more.append(as_ids(piece).drop_null().to_numpy())
        if sum(map(len, more)) > len(used) + _AT_ONCE:
            used, more = _distinct(np.concatenate([used, *more])), []
    return _distinct(np.concatenate([used, *more])) if more else used


def _distinct(ids: np.ndarray) -> np.ndarray:
    """The distinct ones, ascending. NumPy's `unique` hashes them, which takes twenty times as long."""
    import numpy as np

    ids = np.sort(ids)
    new = np.ones(len(ids), np.bool_)
    np.not_equal(ids[1:], ids[:-1], out=new[1:])
    return ids[new]


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
    import pyarrow as pa

    for group in list_groups(path, source.column, source.max_items):
        yield group.values.filter(pa.array(group.occurring()))
