"""Values of the configuration beside those of a column: compared in the column's type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daedalus.sql.column_types import as_uuid, decimal_literal, holds, is_decimal, is_integer
from daedalus.sql.text import literal


def among(column: str, kind: str, values: Sequence) -> str:
    """SQL for "a column of type `kind` has one of the values", rounded to that type; "" if it can have none.

    `column` is SQL. Of NULL it is NULL or FALSE.
    """
    fitting = [_sized(kind, value) for value in values if holds(kind, value)]
    literals = [decimal_literal(kind, v) if is_decimal(kind) else literal(v) for v in fitting if v == v]
    if kind == "FLOAT" and any(isinstance(value, float) for value in fitting):
        literals = [f"CAST('{value!r}' AS FLOAT)" for value in fitting if value == value]
    matches = [f"{column} IN ({', '.join(literals)})"] if literals else []
    # `=` would miss NaN, which statistics of a file do not count, so that its row groups are skipped.
    matches += [f"isnan({column})"] if len(literals) < len(fitting) else []
    return " OR ".join(matches)


def _sized(kind: str, value: Any) -> Any:
    """The value in a form that has a SQL literal which DuckDB compares with `kind` as it is.

    The largest integers become floats. Whole floats become integers for a column of these, which a literal of type
    DOUBLE would turn into DOUBLE: that does not tell 2^53 from its neighbour. UUIDs are spelt as their columns do.
    """
    if kind == "UUID":
        return as_uuid(value)
    if isinstance(value, float) and (is_integer(kind) or kind == "UBIGINT"):
        return int(value)
    return value if is_decimal(kind) else float(value) if isinstance(value, int) and abs(value) >= 2**127 else value
