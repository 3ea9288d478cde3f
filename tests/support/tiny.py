"""A project of a few rows: a feed, views and a config, written by the test that needs just them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

KEYS = ["user_id", "artwork_id", "event_timestamp", "event"]


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def feed(*rows: tuple[int, int, str, str]) -> pa.Table:
    """A feed file of (user, artwork, time, event)."""
    users, artworks, times, events = zip(*rows, strict=True)
    columns = [pa.array(users, pa.int64()), pa.array(artworks, pa.int64()),
               pa.array(map(at, times), pa.timestamp("us")), pa.array(events, pa.string())]  # fmt: skip
    return pa.table(dict(zip(KEYS, columns, strict=True)))


def project(
    root: Path,
    days: Mapping[str, pa.Table],
    view: pa.Table | None = None,
    aggregations: Sequence[Mapping] = (),
    columns: Sequence[object] = (),
    **runtime: object,
) -> Path:
    """Writes feed partitions, one view `art` (artwork_id, updated_at, features) and a config; returns its root."""
    for day, table in days.items():
        (root / f"data/feed/dt={day}").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, root / f"data/feed/dt={day}/p.parquet")
    catalog: dict = {"feed": {"path": "data/feed"}, "views": {}}
    features = []
    if view is not None:
        (root / "data/art").mkdir(parents=True)
        pq.write_table(view, root / "data/art/a.parquet")
        features = [name for name in view.column_names if name not in ("artwork_id", "updated_at")]
        catalog["views"]["art"] = {"source": "data/art/*.parquet", "entity": "artwork_id",
                                   "timestamp_field": "updated_at", "features": features}  # fmt: skip
    known = {"feed_start": min(days), "feed_end": max(days), "spine": {"lookback_days": 3},
             "compute": {"duckdb_config": {"threads": 1, "memory_limit": "1GB"}},
             "embedding_coverage_filter": {"enabled": False},
             "feature_refs": [f"art:{features[0]}"] if features else [],
             "output_columns": [*KEYS, *columns], **runtime}  # fmt: skip
    files = {"catalog.yaml": catalog, "training/runtime.yaml": known,
             "training/aggregations.yaml": {"aggregations": list(aggregations)}}  # fmt: skip
    (root / "config/training").mkdir(parents=True)
    for name, value in files.items():
        (root / "config" / name).write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), "utf-8")
    return root
