"""Column types by DuckDB's names: those of parquet files, and how columns are read as the type that a step needs."""

from __future__ import annotations

import math
import struct
from decimal import Context, Decimal
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from daedalus.sql.text import name

if TYPE_CHECKING:
    import pyarrow as pa

_SIGNED = {"TINYINT": 1, "SMALLINT": 2, "INTEGER": 3, "BIGINT": 4}
_UNSIGNED = {"UTINYINT": 2, "USMALLINT": 3, "UINTEGER": 4}  # rank of the signed type that holds it
_INTEGERS = {**_SIGNED, **_UNSIGNED}
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64,
         "UTINYINT": 8, "USMALLINT": 16, "UINTEGER": 32, "UBIGINT": 64}  # fmt: skip
_EXACT = Context(prec=1000, Emax=10**6, Emin=-(10**6))
_FLOATS = {"FLOAT": 1, "DOUBLE": 2}
_TIMES = ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ", "TIMESTAMPTZ_NS")
# By the type of a column those that Arrow reads it of as DuckDB does. A number that does not fit is left to the SQL.
_READ_ON_ARROW = {
    **dict.fromkeys(_SIGNED, tuple(_INTEGERS)), "VARCHAR": ("VARCHAR",), "DATE": ("DATE",), "BOOLEAN": ("BOOLEAN",),
    "TIMESTAMP": ("TIMESTAMP", "TIMESTAMPTZ"), "FLOAT": ("FLOAT",), "DOUBLE": ("DOUBLE", "FLOAT"),
}  # fmt: skip
_ARROW_NAMES = {
    "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT",
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT",
    "halffloat": "FLOAT", "float": "FLOAT", "double": "DOUBLE", "bool": "BOOLEAN",
    "string": "VARCHAR", "large_string": "VARCHAR", "string_view": "VARCHAR",
    "binary": "BLOB", "large_binary": "BLOB", "date32[day]": "DATE", "null": "NULL",
    "extension<arrow.uuid>": "UUID", "extension<arrow.json>": "JSON",
}  # fmt: skip


def type_name(kind: pa.DataType) -> str:
    """The name of the type that DuckDB gives a parquet column of this Arrow type."""
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return type_name(kind.value_type)
    if t.is_timestamp(kind):
        return ("TIMESTAMPTZ" if kind.tz else "TIMESTAMP") + ("_NS" if kind.unit == "ns" else "")
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return f"{type_name(kind.value_type)}[]"
    if t.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return _ARROW_NAMES.get(str(kind), str(kind).upper())


def is_read_on_arrow(found: str, wanted: str) -> bool:
    """Whether Arrow reads a column of type `found` as `wanted` as DuckDB does; a list, if elements are of one type."""
    if wanted.endswith("[]"):
        return found == wanted and wanted[:-2] in _READ_ON_ARROW
    return found in _READ_ON_ARROW.get(wanted, ())


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of which a plain type is the name, or lists of one. Raises KeyError for others."""
    import pyarrow as pa

    if kind.endswith("[]"):
        return pa.list_(pa.field("element", arrow_type(kind[:-2])))
    return _plain_types()[kind]


@cache
def _plain_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {"TINYINT": pa.int8(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(), "BIGINT": pa.int64(),
            "FLOAT": pa.float32(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(), "DATE": pa.date32(),
            "TIMESTAMP": pa.timestamp("us"), "VARCHAR": pa.string()}  # fmt: skip


def is_integer(kind: str) -> bool:
    return kind in _INTEGERS


def is_whole(kind: str) -> bool:
    """Whether a type is one of whole numbers, also those that BIGINT does not hold."""
    return is_integer(kind) or kind == "UBIGINT"


def is_number(kind: str) -> bool:
    return is_whole(kind) or kind in _FLOATS or is_decimal(kind)


def is_decimal(kind: str) -> bool:
    return kind.startswith("DECIMAL(")


def is_time(kind: str) -> bool:
    return kind in _TIMES or kind == "DATE"


def is_text(kind: str) -> bool:
    """Whether a type is text; JSON is, though DuckDB casts what meets it to JSON, so it is read as VARCHAR."""
    return kind in ("VARCHAR", "JSON")


def as_text(column: str, kind: str) -> str:
    """SQL of a column that `is_text`, as VARCHAR."""
    return column if kind == "VARCHAR" else f"CAST({column} AS VARCHAR)"


def id_type(kind: str) -> str | None:
    """The type that ids of a type are kept as: BIGINT, or VARCHAR for text and UUIDs; None for what holds no ids."""
    if is_text(kind) or kind == "UUID":
        return "VARCHAR"
    return "BIGINT" if is_integer(kind) else None


def is_plain(kind: str) -> bool:
    """Whether values of a type have an order that all engines agree on."""
    known = kind in (*_INTEGERS, *_FLOATS, *_TIMES, "UBIGINT", "BOOLEAN", "DATE", "UUID")
    return known or is_text(kind) or is_decimal(kind)


def is_nested(kind: str) -> bool:
    """Whether a type is a list, a struct or a map."""
    return kind.endswith("[]") or "<" in kind


def widen(one: str, other: str) -> str | None:
    """The narrowest type that holds both, or None. Times become TIMESTAMP, in UTC."""
    if one == other:
        return one
    if "NULL" in (one, other):
        return other if one == "NULL" else one
    if one.endswith("[]") and other.endswith("[]"):
        inner = widen(one[:-2], other[:-2])
        return f"{inner}[]" if inner else None
    if one in _INTEGERS and other in _INTEGERS:
        rank = max(_INTEGERS[one], _INTEGERS[other])
        return next(kind for kind, r in _SIGNED.items() if r == rank)
    if one in _FLOATS and other in _FLOATS:
        return "DOUBLE"
    if {one, other} <= {*_INTEGERS, *_FLOATS}:
        return "DOUBLE"
    if is_text(one) and is_text(other):
        return "VARCHAR"
    if is_time(one) and is_time(other):
        return "TIMESTAMP"
    return None


def canonical(kind: str) -> str:
    """The type under which an artifact keeps a feature: all times as TIMESTAMP, in UTC, and JSON as text."""
    if kind.rstrip("[]") == "JSON":
        return kind.replace("JSON", "VARCHAR")
    if kind in _TIMES:
        return "TIMESTAMP"
    return "INTEGER" if kind == "NULL" else kind


def fits(found: str, wanted: str) -> bool:
    """Whether a feed column of type `found` can be read as `wanted` without loss of any value."""
    if found == "NULL" or (wanted == "TIMESTAMP" and found in _TIMES):
        return True
    return widen(found, wanted) == wanted


def holds(kind: str, value: object) -> bool:
    """Whether a column of a type can contain a value of the configuration; floats are rounded to the type."""
    if kind == "UUID" and isinstance(value, str):
        return as_uuid(value) is not None
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return True
    if kind in _FLOATS:
        return _rounds(value, "f" if kind == "FLOAT" else "d")
    if not math.isfinite(value):
        return False
    if is_decimal(kind):
        digits, scale = (int(part) for part in kind[8:-1].split(","))
        exact = Decimal(repr(value)).scaleb(scale, _EXACT)
        return exact == exact.to_integral_value(context=_EXACT) and abs(exact) < 10**digits
    bits, unsigned = _BITS.get(kind, 32), kind.startswith("U")
    low, high = (0, 2**bits) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    return value == int(value) and low <= value < high


def as_uuid(text: str) -> str | None:
    """A UUID in the spelling that its columns have, or None for other text."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def decimal_literal(kind: str, value: float) -> str:
    """A SQL literal of type `kind`, a DECIMAL, for a number that it `holds`."""
    return f"CAST('{Decimal(repr(value)):f}' AS {kind})"


def _rounds(value: float, size: str) -> bool:
    """Whether a number is in the range of a float of `size`: not too large, and not so small that it becomes 0."""
    try:
        (near,) = struct.unpack(size, struct.pack(size, float(value)))
    except OverflowError:
        return False
    return near != 0 or value == 0


def _spelled(kind: str) -> bool:
    """Whether a type's name is valid in SQL; names of structs and the like are not."""
    plain = {*_INTEGERS, *_FLOATS, *_TIMES, "UBIGINT", "BOOLEAN", "VARCHAR", "BLOB", "DATE"}
    return kind.rstrip("[]") in plain or is_decimal(kind)


def _floored(nanos: str) -> str:
    """SQL that rounds nanoseconds down to microseconds. CAST would round up, maybe into the next day, and `//` rounds
    up before 1970.

    DuckDB takes the last and the first nanosecond, which are used for open ends, for infinity.
    """
    ns, last, first = f"epoch_ns({nanos})", (2**63 - 1) // 1000, -(2**63) // 1000
    ends = f"CASE WHEN {nanos} > TIMESTAMP '2000-01-01' THEN {last} WHEN {nanos} IS NOT NULL THEN {first} END"
    return f"make_timestamp(coalesce({ns} // 1000 - CAST({ns} % 1000 < 0 AS BIGINT), {ends}))"


def read_as(column: str, found: str | None, wanted: str) -> str:
    """SQL that reads a column of type `found` as `wanted`; a column that does not exist is NULL."""
    if found is None or found == "NULL":
        return f"CAST(NULL AS {wanted})" if _spelled(wanted) else "NULL"
    if wanted == "TIMESTAMP" and found.endswith("_NS"):
        return _floored(name(column))
    if wanted == "TIMESTAMP" and found == "TIMESTAMPTZ":
        return f"make_timestamp(epoch_us({name(column)}))"
    return name(column) if found == wanted else f"CAST({name(column)} AS {wanted})"
