"""Numbers, booleans and times of Arrow's as arrays, in the types that tensors have."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def number_type(kind: pa.DataType) -> pa.DataType | None:
    """The type that values of a type have in a tensor, None if they are no numbers."""
    t = pa.types
    if t.is_boolean(kind) or t.is_signed_integer(kind) or t.is_floating(kind) or kind == pa.uint8():
        return kind
    wider = {pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.int64()}
    if t.is_decimal(kind):
        return pa.float64()
    if t.is_timestamp(kind):
        return pa.int64()
    return pa.int32() if t.is_date(kind) else wider.get(kind)


def numbers(values: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """Values as an array, without copying where it can be had, and which are there, None for all. NULL is NaN or 0.

    Times are whole microseconds, dates whole days, both since 1970.
    """
    t, kind = pa.types, number_type(values.type)
    assert kind is not None
    valid = values.is_valid().to_numpy(zero_copy_only=False) if values.null_count else None
    if t.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False).view(kind)
    elif t.is_date(values.type):
        values = values.cast(pa.date32()).view(kind)
    elif values.type != kind:
        values = values.cast(kind)
    if valid is not None:
        none = np.nan if t.is_floating(kind) else False if t.is_boolean(kind) else 0
        values = pc.fill_null(values, pa.scalar(none, kind)) if kind != pa.float16() else _half_nan(values, valid)
    return values.to_numpy(zero_copy_only=False), valid


def _half_nan(values: pa.Array, valid: np.ndarray) -> pa.Array:
    """FLOAT16 with NaN for NULL, which pyarrow does not fill."""
    raw = np.frombuffer(values.buffers()[1], np.float16)[values.offset : values.offset + len(values)]
    return pa.array(np.where(valid, raw, np.float16("nan")))
