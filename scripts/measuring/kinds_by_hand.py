"""An aggregation's windows as people write them in DuckDB: the program to measure beside ours.

  kinds_by_hand.py ROOT OUT --days N --way join|windows --agg AGG --column COLUMN --key KEY --event EVENT

EVENT is one that the coverage filter names. For each of the first N days of a world's partitions it reads the feed of
that day and of a week before, and writes the windows of 1, 3 and 7 days of the partition's rows, in their order: by a
join of rows with the events that they see, as most write it, or by window functions over rows and events together, as
an expert does. It prints, as JSON, how many rows it wrote, and the seconds that it took on the clock and the
processors, without imports.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
from pathlib import Path

from measuring.by_hand import Clocks, pool_of

DAYS = (1, 3, 7)  # of the windows

# Of each kind: an aggregate of what a join found, with the FILTER of a window; and a window function.
_AGGREGATES = {
    "count": ("count(value) {f}", "count(value) OVER {w}"),
    "sum": ("coalesce(sum(value) {f}, 0)::BIGINT", "coalesce(sum(value) OVER {w}, 0)::BIGINT"),
    "mean": ("avg(value) {f}", "avg(value) OVER {w}"),
    "std": ("stddev_samp(value) {f}", "stddev_samp(value) OVER {w}"),
    "min": ("min(value) {f}", "min(value) OVER {w}"),
    "max": ("max(value) {f}", "max(value) OVER {w}"),
    "last": ("arg_max(value, ets) {f}", "last_value(value IGNORE NULLS) OVER {w}"),
    "first": ("arg_min(value, ets) {f}", "first_value(value IGNORE NULLS) OVER {w}"),
    "count_distinct": ("count(DISTINCT value) {f}", "count(DISTINCT value) OVER {w}"),
    "since_last": (
        "(epoch_us(any_value(ts)) - epoch_us(max(ets) {f})) // 1000000",
        "(epoch_us(ts) - epoch_us(max(CASE WHEN value IS NOT NULL THEN ts END) OVER {w})) // 1000000",
    ),
}
KINDS = (*_AGGREGATES, "top")
WAYS = ("join", "windows")

_EVENTS = """
    SELECT * EXCLUDE (event_timestamp), event_timestamp::TIMESTAMP AS ts
    FROM (SELECT DISTINCT * FROM read_parquet($feed, union_by_name = true, hive_partitioning = true))
    WHERE event = $event AND user_id IS NOT NULL AND event_timestamp::DATE = dt
        AND artwork_id IN (SELECT artwork_id FROM pool)
"""
_ROWS = """
    SELECT row_number() OVER () AS place, user_id, artwork_id, event_timestamp AS ts
    FROM read_parquet($parts, hive_partitioning = false)
"""


def windows(agg: str, column: str, key: str) -> str:
    """One pass over rows and events, sorted together by key and time."""
    frame = (
        "(PARTITION BY key ORDER BY ts RANGE BETWEEN INTERVAL {n} DAY PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING)"
    )
    named = ", ".join(f"w{n} AS {frame.format(n=n)}" for n in DAYS)
    found = ", ".join(f"{_AGGREGATES[agg][1].format(w=f'w{n}')} AS d{n}" for n in DAYS)
    return f"""
        WITH both_of AS (
            SELECT {key} AS key, ts, {column} AS value, NULL AS place FROM ({_EVENTS})
            UNION ALL SELECT {key}, ts, NULL, place FROM ({_ROWS})
        )
        SELECT * EXCLUDE (place) FROM (SELECT place, {found} FROM both_of WINDOW {named})
        WHERE place IS NOT NULL ORDER BY place"""


def join(agg: str, column: str, key: str) -> str:
    """Rows joined with the events that they see, grouped by row."""
    found = ", ".join(f"{_AGGREGATES[agg][0].format(f=f'FILTER (ets >= ts - INTERVAL {n} DAY)')} AS d{n}" for n in DAYS)
    return f"""
        WITH r AS ({_ROWS}), e AS (SELECT {key}, ts, {column} AS value FROM ({_EVENTS})),
        pairs AS (SELECT place, r.ts AS ts, e.ts AS ets, value FROM r LEFT JOIN e ON e.{key} = r.{key} AND e.ts < r.ts
            AND e.ts >= r.ts - INTERVAL {max(DAYS)} DAY)
        SELECT * EXCLUDE (place) FROM (SELECT place, {found} FROM pairs GROUP BY place) ORDER BY place"""


def top(column: str, key: str) -> str:
    """`top` either way: rows joined with the events that they see, counted by value."""
    counted = ", ".join(f"count(*) FILTER (e.ts >= r.ts - INTERVAL {n} DAY) AS n{n}" for n in DAYS)
    latest = ", ".join(f"max(e.ts) FILTER (e.ts >= r.ts - INTERVAL {n} DAY) AS t{n}" for n in DAYS)
    listed = ", ".join(f"list(value ORDER BY n{n} DESC, t{n} DESC, value) FILTER (n{n} > 0) AS d{n}" for n in DAYS)
    return f"""
        WITH r AS ({_ROWS}), e AS (SELECT {key}, ts, {column} AS value FROM ({_EVENTS})),
        pairs AS (
            SELECT place, value, {counted}, {latest} FROM r JOIN e ON e.{key} = r.{key} AND e.ts < r.ts
                AND e.ts >= r.ts - INTERVAL {max(DAYS)} DAY WHERE value IS NOT NULL GROUP BY place, value
        ),
        lists AS (SELECT place, {listed} FROM pairs GROUP BY place)
        SELECT {", ".join(f"coalesce(d{n}, []) AS d{n}" for n in DAYS)} FROM r LEFT JOIN lists USING (place)
        ORDER BY place"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--agg", choices=KINDS, required=True)
    for name in ("column", "key", "event"):
        parser.add_argument(f"--{name}", required=True)
    a = parser.parse_args()
    clocks = Clocks()
    with clocks.left_out():
        import duckdb

        db = duckdb.connect(config={"threads": os.cpu_count(), "memory_limit": "4GB"})
        db.register("pool", pool_of(a.root, ["artwork_id"]))
    ways = {"join": join, "windows": windows}
    sql = top(a.column, a.key) if a.agg == "top" else ways[a.way](a.agg, a.column, a.key)
    for day in sorted((a.root / "data/training_output").glob("dt=*"))[: a.days]:
        last = dt.date.fromisoformat(day.name.removeprefix("dt="))
        feed = [str(file) for back in range(max(DAYS), -1, -1)
                for file in (a.root / f"data/feed/dt={last - dt.timedelta(back)}").glob("*.parquet")]  # fmt: skip
        out = a.out / f"{day.name}.parquet"
        given = {"feed": feed, "parts": sorted(map(str, day.glob("*.parquet"))), "event": a.event}
        clocks.rows += db.execute(f"COPY ({sql}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)", given).fetchall()[0][0]
    print(clocks.said())


if __name__ == "__main__":
    main()
