"""The load-bearing order: animated model types are curated before the content filter looks at them."""

from __future__ import annotations

import pyarrow.parquet as pq
from small import DAYS, by_sql

from daedalus.skeleton import joins_and_filters as joins


def animated_rows(world, root: str, days: str = "*") -> int:
    """Rows of animated artworks whose model type is known."""
    found = world.root.glob(f"{root}/dt={days}/*")
    tables = [pq.ParquetFile(path).read(["artwork_type", "model_type"]) for path in found]
    rows = [row for table in tables for row in table.to_pylist()]
    return sum(row["artwork_type"] == "ANIMATED_ARTWORK" and row["model_type"] is not None for row in rows)


def test_animated_artworks_reach_the_output_as_what_they_are(warm):
    assert animated_rows(warm, "data/training_output") > 50
    for day in DAYS:
        for row in pq.ParquetFile(warm.output / f"dt={day}/part-0-0.parquet").read().to_pylist():
            assert row["model_type"] != "SD_V1_MODEL"
            if row["artwork_type"] == "ANIMATED_ARTWORK":
                assert row["model_type"] in ("DEFAULT_I2V_MODEL", None)


def test_the_other_way_round_loses_them(warm, monkeypatch):
    """The test above can fail: with the two steps exchanged, no animated artwork is left."""
    assert joins.JOIN_STEPS.index(joins.curate_animated_model_type) + 1 == joins.JOIN_STEPS.index(
        joins.apply_content_filter
    )
    *first, curate, content_filter = joins.JOIN_STEPS
    monkeypatch.setattr(joins, "JOIN_STEPS", (*first, content_filter, curate))
    with by_sql():
        warm.run(str(DAYS[0]), cache_root="other", output_root="wrong")
    assert animated_rows(warm, "wrong") == 0 < animated_rows(warm, "data/training_output", str(DAYS[0]))
