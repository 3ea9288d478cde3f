"""The `key` and `match` of `aggregate_pit_table`: rows and events that have the same values get the same number, in the
place of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.base.errors import DaedalusError
from daedalus.config.schema import Aggregation
from daedalus.inputs.type_checks import key_refusal
from daedalus.sql.column_types import canonical, type_name
from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

GROUP = "daeda:group"  # the column of events with their numbers


def grouped(rows: pa.Table, events: pa.Table, aggregation: Aggregation, where: str) -> tuple[pa.Table, pa.Table]:
    """(rows with numbers as users, events with numbers as GROUP); NULL where a key is, and for events of no row.

    Raises DaedalusError, which names `where`, for columns that cannot be compared.
    """
    import numpy as np
    import pyarrow as pa

    codes, found = np.zeros(rows.num_rows, np.int64), np.zeros(events.num_rows, np.int64)
    for name, column in zip(("key", "match"), aggregation.keys, strict=False):
        mine, theirs = _alike(rows[column], events[column], f"{where}.{name}", column)
        more, others = _coded(mine, theirs)
        many = int(more.max(initial=0)) + 1
        pairs = (np.where((one < 0) | (two < 0), -1, one * many + two) for one, two in ((codes, more), (found, others)))
        codes, found = _coded(*(pa.array(pair, mask=pair < 0) for pair in pairs))
    numbers = (pa.array(one, mask=one < 0) for one in (codes, found))
    rows = rows.set_column(rows.column_names.index("user_id"), "user_id", next(numbers))
    return rows, events.append_column(GROUP, next(numbers))


def _coded(mine: pa.Array, theirs: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Numbers for the values of rows, and for the same values of events; -1 for NULL and for what no row has."""
    import numpy as np
    import pyarrow.compute as pc

    coded = mine.dictionary_encode()
    pair = coded.indices, pc.index_in(theirs, value_set=coded.dictionary)
    first, second = (pc.fill_null(one, -1).to_numpy(zero_copy_only=False).astype(np.int64) for one in pair)
    return first, second


def _alike(mine: pa.ChunkedArray, theirs: pa.ChunkedArray, where: str, column: str) -> tuple[pa.Array, pa.Array]:
    """Both columns as of one type, in which equal values are the same."""
    import pyarrow as pa

    kinds = [canonical(type_name(one.type)) for one in (mine, theirs)]
    for kind in kinds:
        if wrong := key_refusal(column, kind):
            what, found, expected = wrong
            raise DaedalusError(what, where=where, found=found, expected=expected)
    first, second = _plain(mine), _plain(theirs)
    if first.type != second.type and pa.types.is_integer(first.type) and pa.types.is_integer(second.type):
        first, second = first.cast(pa.decimal128(20)), second.cast(pa.decimal128(20))
    if first.type != second.type:
        raise DaedalusError("a key of another type in the spine than in the events", where=where,
                            found=f"{column}: {kinds[0]}", expected=kinds[1])  # fmt: skip
    return first, second


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Values without an encoding; floats with one zero and one NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = whole(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.cast(array.type.storage_type)
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    if pa.types.is_floating(array.type):
        array = array.cast(pa.float64())
        return pc.if_else(pc.is_nan(array), pa.scalar(float("nan")), pc.add(array, 0.0))
    return array
