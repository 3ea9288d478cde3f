"""What a feed of other names may not say: exit 2 with file and key, or the file's own column beside the spine's."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from daedalus.base.errors import DaedalusError, DayError
from daedalus.config.load import load_config
from daedalus.inputs.feed import check_feed_schema
from daedalus.sql.own_columns import OwnColumns

VIEW = {"source": "v", "entity": "user_id", "timestamp_field": "t", "features": ["age"]}
CONFIGS = {
    "a column of no spine": ({"columns": {"user": "visitor"}}, {}, ["feed.columns.user", "user_id"]),
    "one column read as two": (
        {"columns": {"user_id": "a", "event": "A"}}, {}, ["feed.columns.event", "user_id or event"]),
    "the name of another column": (
        {"columns": {"user_id": "retriever_id"}}, {}, ["feed.columns.user_id", "user_id or retriever_id"]),
    "an empty name": ({"columns": {"user_id": ""}}, {}, ["feed.columns.user_id", "empty"]),
    "an extra column that is in the spine": ({"extra_columns": ["Event"]}, {}, ["feed.extra_columns[0]", "is taken"]),
    "an extra column twice": ({"extra_columns": ["a", "A"]}, {}, ["feed.extra_columns", "twice"]),
    "an extra column of our name": ({"extra_columns": ["a", "late"]}, {}, ["feed.extra_columns[1]", "feed.columns"]),
    "an extra column under another's name": (
        {"extra_columns": ["a"], "columns": {"a": "event"}}, {}, ["feed.columns.a", "a or event"]),
    **{f"the pattern {pattern}": ({"partition": pattern}, {}, ["feed.partition", told]) for pattern, told in {
        "": "%Y", "dt=%Y-%m": "%d is missing", "dt=%y-%m-%d": "%y", "%Y/%Y/%m/%d": "more than once",
        "dt=%Y%m%d%H": "%H", "%H/dt=%Y%m%d": "%H", "dt=%Y%m%d/": "folder", "_%Y/%m/%d": "folder",
        "a/%Y%m%d": "feed.path",
        "dt=%Y%m%d/hour=%H/%M": "%M", "dt=%Y%m%d%": "%"}.items()},
    "a unit of no kind": ({"timestamp_unit": "m"}, {}, ["feed.timestamp_unit", "'ms'"]),
    "an empty entity column": ({}, {"entity_column": ""}, ["views.v.entity_column", "empty"]),
    "a feature with the name of the entity": (
        {}, {"entity_column": "id", "features": ["User_id"]}, ["views.v.features", "user_id"]),
}  # fmt: skip


def write(root: Path, feed: dict, view: dict, **runtime: object) -> Path:
    settings = {"feed_start": "202602", "feed_end": "202602", "output_columns": ["user_id"], **runtime}
    files = {"catalog": {"feed": {"path": "feed", **feed}, "views": {"v": {**VIEW, **view}}},
             "training/runtime": settings, "training/aggregations": {"aggregations": []}}  # fmt: skip
    for name, value in files.items():
        path = root / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(value))
    return root


@pytest.mark.parametrize("case", CONFIGS)
def test_a_catalog_that_cannot_be_meant_is_refused(tmp_path, case):
    feed, view, told = CONFIGS[case]
    with pytest.raises(DaedalusError) as refusal:
        load_config(write(tmp_path, feed, view))
    text = str(refusal.value)
    assert "catalog.yaml" in text and [part for part in told if part not in text] == []


OWN = OwnColumns((("artwork_id", "item"), ("event_timestamp", "ts")), "ms")
WHOLE = {"user_id": "BIGINT", "item": "INTEGER", "ts": "BIGINT", "event": "VARCHAR"}
SCHEMAS = {
    "no such column": ({"item": None}, OWN, ["item (artwork_id)", "required"]),
    "a column of another type": ({"item": "DOUBLE"}, OWN, ["item (artwork_id)", "DOUBLE", "BIGINT"]),
    "another case": ({"item": None, "Item": "BIGINT"}, OWN, ["item (artwork_id)", "Item"]),
    "a time where a number is said": ({"ts": "TIMESTAMP"}, OWN, ["ts (event_timestamp)", "whole ms", "timestamp_unit"]),
    "a float as time": ({"ts": "DOUBLE"}, OWN, ["ts (event_timestamp)", "DOUBLE"]),
    "a number without a unit": ({}, OwnColumns(OWN.names), ["ts (event_timestamp)", "BIGINT", "timestamp_unit"]),
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_a_file_that_cannot_be_read_names_its_own_column(case):
    changed, own, told = SCHEMAS[case]
    schema = {name: kind for name, kind in (WHOLE | changed).items() if kind}
    with pytest.raises(DayError) as refusal:
        check_feed_schema("feed/x.parquet", schema, own)
    assert [part for part in told if part not in str(refusal.value)] == []


def test_what_stands_under_the_spine_s_own_names_is_not_read():
    check_feed_schema("feed/x.parquet", {**WHOLE, "artwork_id": "BLOB", "event_Timestamp": "BLOB"}, OWN)
