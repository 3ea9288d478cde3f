"""The SQL that defines the kinds in kinds/; what is compiled gives the same result."""

from __future__ import annotations

from functools import cache

from daedalus.sql.text import POSITION, Sql, name, parquet
from daedalus.windows.kinds.kind import kind_of
from daedalus.windows.rolling_sql import ROWS, seen_pairs, taken_of
from daedalus.windows.spec import Measured


@cache
def measured_sql(measured: Measured, rows: str = ROWS, events: str = parquet("events")) -> Sql:
    """One column per window, in the order of `rows`; both as `rolling_sql` takes them."""
    kind = kind_of(measured)
    among = [_among(seconds) for _, seconds in measured.windows]
    pairs = kind.pairs(seen_pairs(measured, taken_of(measured), rows, events), among)
    made = ", ".join(f"{kind.sql(i, some, measured)} AS m{i}" for i, some in enumerate(among))
    empty = measured.kind.empty
    found = [f"g.m{i}" if empty == "NULL" else f"coalesce(g.m{i}, {empty})" for i in range(len(among))]
    columns = [f"{one} AS {name(out)}" for one, (out, _) in zip(found, measured.windows, strict=True)]
    return Sql(f"""
        SELECT {", ".join(columns)} FROM {rows} r
        LEFT JOIN (SELECT target, {made} FROM ({pairs}) GROUP BY target) g ON g.target = r.{POSITION}
        ORDER BY r.{POSITION}""")


def _among(seconds: int | None) -> str:
    """SQL that leaves the events of a window, among those of the longest."""
    return "FILTER (true)" if seconds is None else f"FILTER (ts >= t - INTERVAL {seconds} SECOND)"
