"""The one DuckDB line that makes of somebody's files a feed that a configuration can name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from daedalus.init.layout import Layout, ending
from daedalus.sql.column_types import is_time
from daedalus.sql.own_columns import from_integer
from daedalus.sql.text import literal, name

READERS = {"parquet": "read_parquet", "csv": "read_csv", "json": "read_json"}
TABLES = {"delta": "delta_scan", "iceberg": "iceberg_scan"}
_SET = "SET TimeZone = 'UTC'; "


def feed_line(lies: Layout, day: str | None, changed: Mapping[str, str], added: Mapping[str, str]) -> tuple[str, str]:
    """(the line, the folder that it writes): by the day that the SQL `day` gives, with columns changed and added."""
    target = unused(lies.path)
    dropped = [*lies.dates, *(["dt"] if "dt" in lies.keys else [])] if lies.keys else []
    star = "*" + (f" EXCLUDE ({', '.join(map(name, dropped))})" if dropped else "")
    if changed:
        star += f" REPLACE ({', '.join(f'{sql} AS {name(column)}' for column, sql in changed.items())})"
    more = "".join(f", {sql} AS {name(column)}" for column, sql in added.items())
    when = day or f"CAST({name('THE COLUMN OF TIMES')} AS TIMESTAMP)"
    select = f"SELECT {star}{more}, strftime({when}, '%Y-%m-%d') AS dt FROM {_source(lies)}"
    return f"{_SET}COPY ({select}) TO {literal(target)} (FORMAT parquet, PARTITION_BY (dt));", target


def view_line(source: str, format: str, target: str, time: bool) -> str:
    """The line that makes a parquet file of a view, with a time for its rows where they have none."""
    more = "" if time else ", TIMESTAMP '1970-01-01' AS updated_at"
    read = f"{READERS[format]}({literal(source)}, union_by_name = true)"
    return f"{_SET}COPY (SELECT *{more} FROM {read}) TO {literal(target)} (FORMAT parquet);"


def time_sql(column: str, kind: str, unit: str | None) -> str:
    """SQL of a TIMESTAMP, in UTC, from a column of times, of whole numbers or of text."""
    if unit and not is_time(kind):
        return from_integer(name(column), unit)
    return f"CAST({name(column)} AS TIMESTAMP)"


def unused(path: str) -> str:
    """A folder beside a feed that does not exist."""
    root = Path(path)
    stem = root.name[: len(root.name) - len(ending(path))] if root.is_file() else root.resolve().name
    base = str(root.parent / f"{stem}_by_day") if root.name else f"{stem}_by_day"
    return next(f"{base}{end}" for end in ("", *(f"_{n}" for n in range(2, 1000))) if not os.path.lexists(base + end))


def _source(lies: Layout) -> str:
    if lies.format in TABLES:
        return f"{TABLES[lies.format]}({literal(lies.path)})"
    hive = f"hive_partitioning = {'true' if lies.keys else 'false'}"
    return f"{READERS[lies.format]}({_files(lies)}, union_by_name = true, {hive})"


def _files(lies: Layout) -> str:
    if os.path.isfile(lies.path):
        return literal(lies.path)
    patterns = [f"{lies.path.rstrip('/')}/**/*{end}" for end in lies.endings]
    return literal(patterns[0]) if len(patterns) == 1 else f"[{', '.join(map(literal, patterns))}]"
