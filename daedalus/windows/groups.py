"""Groups: rows see events that have their own values of some columns. Files are sorted by these columns.

Values are compared as DuckDB compares them: NaN equals itself and is the greatest, there is one zero, and text is in
the order of its UTF-8 bytes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Groups(Sequence[tuple]):
    """The groups of sorted rows, which can be searched: tuples of what Python can compare."""

    def __init__(self, columns: Sequence[pa.Array | pa.ChunkedArray]) -> None:
        columns = [_stored(column) for column in columns]
        self._numbers = [numbers(column) for column in columns]
        self._columns = [
            column if found is None else found for column, found in zip(columns, self._numbers, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, place: Any) -> Any:
        return tuple(_plain(column[place]) for column in self._columns)

    def span(self, first: tuple, last: tuple) -> tuple[int, int]:
        """Where the groups from `first` to `last` begin and end."""
        only = self._numbers[0] if len(self._numbers) == 1 else None
        if only is not None:
            return int(only.searchsorted(first[0])), int(only.searchsorted(last[0], "right"))
        return bisect_left(self, first), bisect_right(self, last)


def _stored(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The bytes of UUIDs; other columns as they are."""
    import pyarrow as pa

    return column.cast(column.type.storage_type) if isinstance(column.type, pa.BaseExtensionType) else column


def _plain(value: Any) -> Any:
    return value.as_py() if hasattr(value, "as_py") else value


def numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray | None:
    """Whole numbers that ascend as the column's values do, themselves if they are whole; None for text and such."""
    import numpy as np
    import pyarrow as pa

    kind, array = column.type, whole(column)
    if pa.types.is_floating(kind):
        return _ascending(array.cast(pa.float64()).to_numpy(zero_copy_only=False))
    if pa.types.is_uint64(kind):
        return (array.to_numpy() ^ np.uint64(1 << 63)).view(np.int64)
    if pa.types.is_integer(kind):
        return array.to_numpy().astype(np.int64, copy=False)
    if pa.types.is_boolean(kind) or pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return array.cast(pa.int32()).to_numpy().astype(np.int64)
    if pa.types.is_timestamp(kind) or pa.types.is_time64(kind) or pa.types.is_date64(kind):
        return array.view(pa.int64()).to_numpy()
    return None


def _ascending(floats: np.ndarray) -> np.ndarray:
    """The bits of floats, turned so that they ascend as the numbers do."""
    import numpy as np

    bits = (floats + 0.0).view(np.int64)  # of -0.0 this makes 0.0
    return np.where(np.isnan(floats), np.iinfo(np.int64).max, bits ^ ((bits >> 63) & np.iinfo(np.int64).max))


def numbered(rows: Sequence[pa.Array], events: Sequence[pa.Array | pa.ChunkedArray]) -> tuple[np.ndarray, np.ndarray]:
    """The groups of rows and of events as numbers that ascend along sorted rows; events of no row's group may have -1,
    which stands in no order."""
    mine, theirs = [numbers(column) for column in rows], [numbers(column) for column in events]
    if len(rows) == 1 and mine[0] is not None and theirs[0] is not None:
        return mine[0], theirs[0]
    codes, found = _coded(rows[0], events[0])
    for row_column, event_column in zip(rows[1:], events[1:], strict=True):
        more, others = _coded(row_column, event_column)
        codes, found = _paired(codes, found, more, others)
    return codes, found


def _paired(
    codes: np.ndarray, found: np.ndarray, more: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Codes of pairs of codes, by first appearance among rows."""
    import numpy as np
    import pyarrow as pa

    many = int(more.max(initial=0)) + 1
    pairs = np.where((found < 0) | (others < 0), -1, found * many + others)
    return _coded(pa.array(codes * many + more), pa.array(pairs))


def _coded(rows: pa.Array, events: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the rows' values by first appearance, and of the same values of events; -1 for what no row has."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows, events = _stored(rows), _stored(events)
    turned = numbers(rows), numbers(events)
    if turned[0] is not None and turned[1] is not None:
        rows, events = pa.array(turned[0]), pa.array(turned[1])
    else:
        kind = events.type.value_type if pa.types.is_dictionary(events.type) else events.type
        rows, events = rows.cast(kind), events.cast(kind)
    coded = rows.dictionary_encode()
    found = pc.fill_null(pc.index_in(events, value_set=coded.dictionary), -1)
    return coded.indices.to_numpy().astype(np.int64), whole(found).to_numpy(zero_copy_only=False).astype(np.int64)
