"""The values of constant expressions. Those of most defaults are told without DuckDB, which need not be loaded then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from daedalus.sql.column_types import arrow_type

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.sql.duck import Ducks

_NULL = re.compile(
    r"CAST\(NULL AS ((?:TINYINT|SMALLINT|INTEGER|BIGINT|FLOAT|DOUBLE|BOOLEAN|VARCHAR|DATE|TIMESTAMP)(?:\[\]){0,4})\)",
    re.IGNORECASE | re.ASCII,
)
_NUMBER, _TEXT = re.compile(r"-?[0-9]{1,9}"), re.compile(r"'((?:[^'\0\ud800-\udfff]|''){0,1000})'")


def is_told(text: str) -> bool:
    """Whether an expression is one of those that DuckDB need not be asked for: NULL of a type, a number, a text."""
    return text.upper() in ("TRUE", "FALSE") or any(form.fullmatch(text) for form in (_NULL, _NUMBER, _TEXT))


def constants(columns: Mapping[str, str], ducks: Ducks) -> pa.Table:
    """Columns of constants, which are SQL, as a table of one row."""
    import pyarrow as pa

    if all(map(is_told, columns.values())):
        return pa.table({column: _value_of(text) for column, text in columns.items()})
    with ducks.lease() as duck:
        return duck.constants(columns)


def _value_of(text: str) -> pa.Array:
    """The value of an expression that `is_told`, with the type that DuckDB gives it."""
    import pyarrow as pa

    if null := _NULL.fullmatch(text):
        return pa.nulls(1, arrow_type(null[1].upper()))
    if _NUMBER.fullmatch(text):
        return pa.array([int(text)], pa.int32())
    if found := _TEXT.fullmatch(text):
        return pa.array([found[1].replace("''", "'")], pa.string())
    return pa.array([text.upper() == "TRUE"])
