"""The values of constant expressions. Those of most defaults are told without DuckDB, which need not be loaded then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import UNSET

from daedalus.base import digest
from daedalus.base.errors import DaedalusError
from daedalus.base.ports import Facts
from daedalus.config import RUNTIME, Config
from daedalus.sql.column_types import arrow_type
from daedalus.stagecache.fingerprint import version

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.sql.duck import Ducks

_NULL = re.compile(
    r"CAST\(NULL AS ((?:TINYINT|SMALLINT|INTEGER|BIGINT|FLOAT|DOUBLE|BOOLEAN|VARCHAR|DATE|TIMESTAMP)(?:\[\]){0,4})\)",
    re.IGNORECASE | re.ASCII,
)
_NUMBER, _TEXT = re.compile(r"-?[0-9]{1,9}"), re.compile(r"'((?:[^'\0\ud800-\udfff]|''){0,1000})'")


def is_told(text: str) -> bool:
    """Whether an expression is one that DuckDB need not be asked for: NULL of a type, a number, a text or a boolean."""
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


def check_defaults(config: Config, facts: Facts) -> None:
    """Raises DaedalusError (exit 2) for a default_sql that is not a constant. A pass is remembered."""
    for i, column in enumerate(config.output_columns):
        if column.default_sql is UNSET or is_told(str(column.default_sql)):
            continue
        assert isinstance(column.default_sql, str)
        key = f"constant by our list:{digest.of_text(column.default_sql)}:{version('duckdb')}"
        if facts.fact(key):
            continue
        from daedalus.sql.default_sql import problem_of

        if problem := problem_of(column.default_sql):
            text = column.default_sql
            raise DaedalusError(
                f"default_sql of {column.name} is not a constant: {problem}",
                where=config.where(RUNTIME, f"output_columns[{i}].default_sql"),
                found=text if len(text) <= 200 else f"{text[:200]}…",
                expected="one constant expression, such as CAST(NULL AS FLOAT[])",
            )
        facts.remember_fact(key, True)
