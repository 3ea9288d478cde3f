"""Columns of ids as BIGINT."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 2**63 - 1


def as_ids(column: pa.Array) -> pa.Array:
    """Integers of any type as BIGINT; those beyond it are NULL: no id can be equal to them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == pa.uint64():
        column = pc.if_else(pc.greater(column, pa.scalar(MOST, pa.uint64())), pa.scalar(None, pa.uint64()), column)
    return column.cast(pa.int64())
