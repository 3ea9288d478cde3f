"""Joins the latest rows of views to the rows of a day: which types are known here, and where an entity's row is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.tables.sorting import numbers_of, whole

if TYPE_CHECKING:
    import pyarrow as pa


_FEW = 8  # entities for each row: with more, rows are looked up one by one, in the time that a table of them takes


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of a type are the same in DuckDB's result and in the artifact that it comes from."""
    import pyarrow as pa

    t = pa.types
    if t.is_list(kind):
        return is_plain(kind.value_type)
    signed = t.is_signed_integer(kind)
    return signed or t.is_boolean(kind) or t.is_string(kind) or kind in (
        pa.float32(), pa.float64(), pa.date32(), pa.timestamp("us")
    )  # fmt: skip


def rows_by_entity(rows: pa.ChunkedArray, entities: pa.ChunkedArray) -> pa.Array | None:
    """For each row the position of its entity among `entities`, which ascend, or NULL; None for other types."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if rows.null_count or not (pa.types.is_signed_integer(rows.type) and pa.types.is_signed_integer(entities.type)):
        return None
    if len(entities) <= _FEW * len(rows):  # one table of all of them is soon made
        return pc.index_in(whole(rows).cast(pa.int64()), value_set=whole(entities).cast(pa.int64()))
    wanted, there = numbers_of(rows)[0], numbers_of(entities)[0]
    places = np.searchsorted(there, wanted)
    places[places == len(there)] = 0
    return pa.array(places, mask=there[places] != wanted)
