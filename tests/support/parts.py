"""Partitions written by hand: days of rows, in parts and row groups of any size, with what dirty columns may hold."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FIRST = dt.date(2026, 2, 1)
EVENTS = ["like", "click", "reco_artwork_view", "other"]
SCHEMA = pa.schema([
    ("row", pa.int64()), ("user_id", pa.int64()), ("event", pa.string()), ("event_timestamp", pa.timestamp("us")),
    ("qid", pa.int64()), ("small", pa.int16()), ("score", pa.float64()), ("half", pa.float16()), ("seen", pa.bool_()),
    ("born", pa.date32()), ("ids", pa.list_(pa.int64())), ("marks", pa.list_(pa.float64())),
    ("flags", pa.list_(pa.bool_())), ("vector", pa.list_(pa.float32())), ("pair", pa.list_(pa.float16(), 2)),
])  # fmt: skip


def dirty_rows(count: int, seed: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows numbered from `first`, of users in order, whose sessions may span users; anything may be NULL that may."""
    draw = random.Random(seed)

    def some(value: Any) -> Any:
        return None if draw.random() < 0.15 else value

    def items(made: Any) -> list[Any] | None:
        return some([some(made()) for _ in range(draw.choice((0, 1, 2, 3, 9)))])

    found = []
    for row in range(first, first + count):
        user = (row - first) // 5
        qid = user * 10 + draw.randrange(2) if draw.random() < 0.9 else draw.randrange(10)
        found.append({
            "row": row, "user_id": user, "event": draw.choice(EVENTS),
            "event_timestamp": dt.datetime(2026, 2, 1) + dt.timedelta(microseconds=row), "qid": some(qid),
            "small": some(draw.randrange(-9, 9)), "score": some(draw.choice((0.0, -1.5, float("inf")))),
            "half": some(draw.choice((0.5, -2.0))), "seen": some(draw.random() < 0.5),
            "born": some(dt.date(2020, 1, 1 + draw.randrange(28))), "ids": items(lambda: draw.randrange(-2, 9)),
            "marks": items(draw.random), "flags": items(lambda: draw.random() < 0.5),
            "vector": some([draw.randrange(9) / 4 for _ in range(3)]), "pair": some([0.5, draw.randrange(3)]),
        })  # fmt: skip
    return found


def write_days(
    root: Path, days: Sequence[list[dict[str, Any]]], part_rows: int = 10**6, group_rows: int = 10**6,
    schema: pa.Schema = SCHEMA,
) -> list[dict[str, Any]]:  # fmt: skip
    """Writes a partition for each day, from FIRST on; all rows as load gives them, with `dt`."""
    found = []
    for number, rows in enumerate(days):
        day = FIRST + dt.timedelta(number)
        folder = root / f"dt={day}"
        folder.mkdir(parents=True)
        for part, begin in enumerate(range(0, len(rows), part_rows)):
            table = pa.Table.from_pylist(rows[begin : begin + part_rows], schema)
            pq.write_table(table, folder / f"part-{part}-0.parquet", row_group_size=group_rows)
        found += [{**row, "dt": day} for row in rows]
    return found


def dirty_days(root: Path, days: int = 3, rows: int = 60, seed: int = 1, **sizes: int) -> list[dict[str, Any]]:
    return write_days(root, [dirty_rows(rows, seed + day, day * rows) for day in range(days)], **sizes)
