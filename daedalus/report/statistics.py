"""What each column of one partition holds: nulls, mean, percentiles, lengths of lists, values of text.

All is exact and counted by value, so DuckDB spills if a partition exceeds its memory limit. A few columns
are read at once, and no row is loaded into Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from daedalus.output.part_file import bound_parts, rows_of, schema_of
from daedalus.sql.duck import Bindings, Duck
from daedalus.sql.text import Sql, name

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["number", "boolean", "list", "text", "time", "other"]
_AT_ONCE = 8  # columns in one statement
_TOP = 3  # values of a text column
_TOP_LENGTH = 60  # characters of them that are kept
_PERCENTILES = {"p5": 5, "p50": 50, "p95": 95}


def partition_statistics(duck: Duck, parts: Sequence[Path]) -> dict[str, Any]:
    """`rows` and `columns`, each with `name`, `type`, `kind`, `nulls` and what its kind has:

    number: `finite`, `mean`, `p5`, `p50`, `p95`, `distinct`; boolean: `mean` (the share that is true);
    list: the same of its lengths, and `empty`; time: the same in seconds since 1970;
    text: `distinct` and `top`, the commonest values with their rows. A percentile is the smallest value
    that at least so many of the values do not exceed; NaN and infinities are in none of them.
    """
    if not parts:
        return {"rows": 0, "columns": []}
    schema, rows = schema_of(parts[-1]), sum(map(rows_of, parts))
    source, bound = bound_parts("partition", parts)
    found: list[dict] = []
    for begin in range(0, len(schema), _AT_ONCE):
        batch = list(schema)[begin : begin + _AT_ONCE]
        statement = " UNION ALL ".join(_summary(source, place, field) for place, field in enumerate(batch))
        summed = duck.table(Sql(f"SELECT * FROM ({statement}) ORDER BY place"), bound).to_pylist()
        found += [_column(field, row, rows) for field, row in zip(batch, summed, strict=True)]
    texts = [column["name"] for column in found if column["kind"] == "text"]
    tops = dict(_tops(duck, texts, source, bound))
    return {"rows": rows, "columns": [{**c, "top": tops[c["name"]]} if c["name"] in tops else c for c in found]}


def kind_of(kind: pa.DataType) -> Kind:
    """The kind of a column of this type, which decides its statistics."""
    import pyarrow.types as is_a

    if is_a.is_boolean(kind):
        return "boolean"
    if is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_decimal(kind):
        return "number"
    if is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind):
        return "list"
    if is_a.is_string(kind) or is_a.is_large_string(kind):
        return "text"
    return "time" if is_a.is_timestamp(kind) or is_a.is_date(kind) else "other"


def _value(field: pa.Field) -> str:
    """SQL of the value that is counted for a column."""
    column = name(field.name)
    return {
        "number": f"CAST({column} AS DOUBLE)",
        "boolean": f"CAST({column} AS DOUBLE)",
        "list": f"CAST(len({column}) AS DOUBLE)",
        "time": f"epoch(CAST({column} AS TIMESTAMP))",
        "text": column,
        "other": f"CAST({column} AS VARCHAR)",
    }[kind_of(field.type)]


def _summary(source: str, place: int, field: pa.Field) -> str:
    """A SELECT of one row about a column of `source`."""
    column = name(field.name)
    numeric = kind_of(field.type) not in ("text", "other")
    counted = f"SELECT {column} IS NULL AS gone, {_value(field)} AS v, count(*) AS n FROM {source} p"
    # By the number itself: as DOUBLE, ids above 2^53 are one. Lists are grouped by their length.
    counted = f"{counted} GROUP BY {f'p.{column}' if kind_of(field.type) == 'number' else 'ALL'}"
    totals = "coalesce(sum(n) FILTER (gone), 0) AS nulls, count(*) FILTER (NOT gone) AS distinct_values"
    if not numeric:
        nothing = ", ".join(f"CAST(NULL AS DOUBLE) AS {p}" for p in ("mean", *_PERCENTILES))
        return f"SELECT {place} AS place, {totals}, 0 AS finite, 0 AS empty, {nothing} FROM ({counted})"
    ranked = f"""SELECT *, NOT gone AND isfinite(v) AS good,
        sum(CASE WHEN NOT gone AND isfinite(v) THEN n ELSE 0 END) OVER (ORDER BY v) AS upto,
        sum(CASE WHEN NOT gone AND isfinite(v) THEN n ELSE 0 END) OVER () AS total FROM ({counted})"""
    percentiles = ", ".join(
        f"min(v) FILTER (good AND upto * 100 >= total * {p}) AS {label}" for label, p in _PERCENTILES.items()
    )
    return f"""SELECT {place} AS place, {totals}, coalesce(sum(n) FILTER (good), 0) AS finite,
        coalesce(sum(n) FILTER (v = 0), 0) AS empty,
        sum(v * n) FILTER (good) / sum(n) FILTER (good) AS mean, {percentiles} FROM ({ranked})"""


def _column(field: pa.Field, row: dict[str, Any], rows: int) -> dict[str, Any]:
    kind = kind_of(field.type)
    found = {"name": field.name, "type": str(field.type), "kind": kind, "nulls": int(row["nulls"])}
    if kind in ("number", "list", "time"):
        found |= {label: row[label] for label in ("mean", *_PERCENTILES)}
    if kind == "boolean":
        found["mean"] = row["mean"]
    if kind == "list":
        found["empty"] = int(row["empty"])
    if kind == "number":
        found["finite"] = int(row["finite"])
    if kind in ("number", "text"):
        found["distinct"] = int(row["distinct_values"])
    return found


def _tops(duck: Duck, columns: Sequence[str], source: str, bound: Bindings) -> Iterator[tuple[str, list]]:
    """The commonest values of each text column, with the rows that have them."""
    for column in columns:
        counted = f"""SELECT {name(column)} AS v, count(*) AS n FROM {source}
            WHERE {name(column)} IS NOT NULL GROUP BY 1 ORDER BY n DESC, v LIMIT {_TOP}"""
        select = f"SELECT left(v, {_TOP_LENGTH}) AS v, n FROM ({counted})"
        yield column, [[row["v"], row["n"]] for row in duck.table(Sql(select), bound).to_pylist()]
