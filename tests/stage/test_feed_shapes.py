"""The same world written with other names, times and folders gives the same bytes."""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from anything import anything, day
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Reference, differences, read_output
from shapes import NAMES, SWAPPED, Shape, reshape, whole_numbers
from small import by_sql
from test_worlds import EXAMPLES, THOROUGH
from worlds import World, worlds

from daedalus.audit.audit import audit, differs
from daedalus.compile.resolve import compiled
from daedalus.explain.row import explain_row
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

UNITS = {"s": 1_000_000, "ms": 1000, "us": 1, "ns": 1}
shapes = st.builds(
    Shape,
    names=st.one_of(st.sampled_from([NAMES, SWAPPED, {}]), st.sets(st.sampled_from(sorted(NAMES))).map(
        lambda some: {column: NAMES[column] for column in some})),
    unit=st.sampled_from([None, *UNITS]),
    partition=st.sampled_from([None, "dt=%Y%m%d", "year=%Y/month=%m/day=%d", "dt=%Y-%m-%d/hour=%H", "%Y/%m%d"]),
    unpadded=st.booleans(),
    entities=st.sampled_from([{}, {"user_profile": "who"}, {"artwork_properties": "safe", "artwork_tack": "id"}]),
)  # fmt: skip


def run(root: Path, world: World):
    options = Settings(str(root / "config"), str(root / "cache"), str(root / "out"))
    return run_skeleton_stage(options, world.range, allow_empty=True)


def left(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted((root / "out").glob("dt=*/*.parquet"))}


@given(worlds(), shapes, st.booleans())
@settings(THOROUGH, max_examples=max(EXAMPLES // 3, 5))
def test_another_shape_of_a_world_gives_the_same_bytes(pools, world, shape, on_arrow):
    size = UNITS.get(shape.unit or "us", 1)
    for row in world.feed:
        row["ts"] = row["ts"] and row["ts"] // size * size
    with tempfile.TemporaryDirectory() as folder:
        plain, shaped = Path(folder) / "plain", Path(folder) / "shaped"
        world.build(plain, pools)
        reshape(plain, shaped, shape)
        expected = run(plain, world)
        with contextlib.nullcontext() if on_arrow else by_sql():
            found = run(shaped, world)
        assert not found.failures
        assert left(shaped) == left(plain)
        assert found.rows == expected.rows
        reference = Reference(shaped / "config", world.days)
        assert differences(reference.run(), read_output(shaped / "out")) == []


FAR = {"s": [10**14], "ms": [10**17, -(10**17)], "us": [2**63 - 1], "ns": []}


@pytest.mark.parametrize("unit", FAR)
def test_numbers_that_are_no_times_fail_their_day_by_column(tmp_path, monkeypatch, unit):
    monkeypatch.chdir(tmp_path)
    for place, far in enumerate(FAR[unit] or [2**63 - 1]):
        world = anything(1)
        for path, table in world.feed.items():
            numbers = whole_numbers(table["event_timestamp"], unit).to_pylist()
            numbers[0] = far if path.startswith(f"dt={day(1)}") else numbers[0]
            at = table.column_names.index("event_timestamp")
            world.feed[path] = table.set_column(at, "ts", pa.array(numbers, pa.int64()))
        world.catalog["feed"] |= {"columns": {"event_timestamp": "ts"}, "timestamp_unit": unit}
        world.write(tmp_path)
        options = Settings(cache_root=f"cache{place}", output_root=f"out{place}")
        report = run_skeleton_stage(options, world.range, allow_empty=True)
        if not FAR[unit]:  # the year 2262 is a stray
            assert not report.failures and report.rows["strays"] >= 1
            continue
        assert {failure.day for failure in report.failures} >= {str(day(1))}
        assert all("ts (event_timestamp)" in failure.error for failure in report.failures)


def test_commands_know_the_shape_of_a_feed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.runtime["embedding_coverage_filter"]["id_column"] = "artwork_id"
    world.aggregations = [{"name": "seen", "events": ["click", "like", "view", "a@b", ""], "column": "artwork_id",
                           "agg": "list", "windows": ["2d"]}]  # fmt: skip
    world.runtime["output_columns"] = ["user_id", "artwork_id", "event_timestamp", "event", "age", "seen_2d"]
    world.write(tmp_path / "plain")
    shape = Shape(NAMES, "ms", {"people": "who"}, "year=%Y/month=%m/day=%d/hour=%H", unpadded=True)
    (tmp_path / "pool").symlink_to("plain/pool")
    (tmp_path / "catalog").symlink_to("plain/catalog")
    world.catalog["views"]["people"]["source"] = str(tmp_path / "catalog/people/*.parquet")
    world.write(tmp_path / "plain")
    reshape(tmp_path / "plain", tmp_path / "shaped", shape)
    options = Settings("shaped/config", "cache", "out")
    report = run_skeleton_stage(options, world.range)
    assert not report.failures and not report.input_notes
    found = audit(options, None, 1000, 0)
    assert found["rows"] and not differs(found)
    steps = {step["step"]: step for step in compiled(options)["steps"]}
    assert steps["spine"]["config"]["feed.columns"] == NAMES
    assert steps["spine"]["config"]["feed.timestamp_unit"] == "ms"
    assert steps["view:people"]["config"]["views.people.entity_column"] == "who"
    row = next(row for row in reversed(read_output("out")[day(2)]) if row["seen_2d"])
    told = explain_row(options, str(day(2)), row["user_id"], row["artwork_id"])
    when = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=row["event_timestamp"])
    (listed,) = [one["columns"]["seen_2d"] for one in told["rows"]
                 if (one["event_timestamp"], one["event"]) == (when.isoformat(), row["event"])]  # fmt: skip
    assert [one["value"] for one in listed["counted"]] == row["seen_2d"]
    assert all(one["file"].startswith("year=2026/month=") for one in listed["counted"])
    again = run_skeleton_stage(options, world.range)
    assert again.steps["computed"] == again.steps["unchanged"] == 0
