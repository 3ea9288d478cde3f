"""The statistics of `daeda report` in SQL, a statement a column: the second form that the one pass is held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from daedalus.output.part_file import bound_parts
from daedalus.sql.duck import Bindings, Duck
from daedalus.sql.text import Sql, name
from daedalus.statistics.partition import kind_of

PERCENTILES = {"p5": 5, "p50": 50, "p95": 95}


def statistics_in_sql(duck: Duck, parts: Sequence[Path]) -> dict[str, Any]:
    """What `partition_statistics` gives, by DuckDB."""
    schema, rows = pq.read_schema(parts[-1]), sum(pq.read_metadata(part).num_rows for part in parts)
    source, bound = bound_parts("partition", parts)
    return {"rows": rows, "columns": [column(duck, source, bound, field) for field in schema]}


def column(duck: Duck, source: str, bound: Bindings, field: pa.Field) -> dict[str, Any]:
    kind = kind_of(field.type)
    (row,) = duck.table(Sql(summary(source, field)), bound).to_pylist()
    found = {"name": field.name, "type": str(field.type), "kind": kind, "nulls": int(row["nulls"])}
    if kind in ("number", "list", "time"):
        found |= {label: row[label] for label in ("mean", *PERCENTILES)}
    if kind == "boolean":
        found["mean"] = row["mean"]
    if kind == "list":
        found["empty"] = int(row["empty"])
    if kind == "number":
        found["finite"] = int(row["finite"])
    if kind in ("number", "text"):
        found["distinct"] = int(row["distinct_values"])
    if kind == "text":
        found["top"] = top(duck, source, bound, field)
    return found


def value(field: pa.Field) -> str:
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


def summary(source: str, field: pa.Field) -> str:
    """A SELECT of one row about a column."""
    column = name(field.name)
    counted = f"SELECT {column} IS NULL AS gone, {value(field)} AS v, count(*) AS n FROM {source} p"
    # By the number itself: as DOUBLE, ids above 2^53 are one. Lists are grouped by their length.
    counted += f" GROUP BY {f'p.{column}' if kind_of(field.type) == 'number' else 'ALL'}"
    totals = "coalesce(sum(n) FILTER (gone), 0) AS nulls, count(*) FILTER (NOT gone) AS distinct_values"
    if kind_of(field.type) in ("text", "other"):
        return f"SELECT {totals} FROM ({counted})"
    ranked = f"""SELECT *, NOT gone AND isfinite(v) AS good,
        sum(CASE WHEN NOT gone AND isfinite(v) THEN n ELSE 0 END) OVER (ORDER BY v) AS upto,
        sum(CASE WHEN NOT gone AND isfinite(v) THEN n ELSE 0 END) OVER () AS total FROM ({counted})"""
    percentiles = ", ".join(
        f"min(v) FILTER (good AND upto * 100 >= total * {p}) AS {label}" for label, p in PERCENTILES.items()
    )
    return f"""SELECT {totals}, coalesce(sum(n) FILTER (good), 0) AS finite,
        coalesce(sum(n) FILTER (v = 0), 0) AS empty,
        sum(v * n) FILTER (good) / sum(n) FILTER (good) AS mean, {percentiles} FROM ({ranked})"""


def top(duck: Duck, source: str, bound: Bindings, field: pa.Field) -> list[list]:
    """The three commonest values of a text column, with the rows that have them."""
    column = name(field.name)
    counted = f"""SELECT {column} AS v, count(*) AS n FROM {source}
        WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY n DESC, v LIMIT 3"""
    select = f"SELECT left(v, 60) AS v, n FROM ({counted})"
    return [[row["v"], row["n"]] for row in duck.table(Sql(select), bound).to_pylist()]
