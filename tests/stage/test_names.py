"""A name that is an identity is another one for whatever differs, whatever is in the config."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from anything import anything, day, name_outputs
from hypothesis import given
from hypothesis import strategies as st

from daedalus.actions.unaffected import changed_keys
from daedalus.base.errors import DaedalusError
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.skeleton.feed_day import events_part
from daedalus.skeleton.steps.history import FeedEvents, is_covered
from daedalus.skeleton.where import keys_part
from daedalus.sql.duck import Bindings, Duck
from daedalus.stagecache.action_name import ActionName
from daedalus.workspace.settings import Settings

text = st.text(st.sampled_from("ab+.@:%[]-self"), max_size=8)
parts = st.tuples(st.lists(text, min_size=1, max_size=3, unique=True).map(sorted), text, st.booleans(), st.booleans())


@given(parts, parts)
def test_steps_that_differ_have_names_that_differ(one, other):
    names = [events_part(events, column, flatten=flatten, contributor=contributor)
             for events, column, flatten, contributor in (one, other)]  # fmt: skip
    assert (names[0] == names[1]) == (one == other)


events = st.lists(text, min_size=1, max_size=2, unique=True).map(lambda names: tuple(sorted(names)))
taken = st.builds(FeedEvents, events, st.lists(text, max_size=2, unique=True).map(lambda names: tuple(sorted(names))))


@given(taken, taken, parts.filter(lambda part: part[1]))
def test_history_of_rows_has_names_of_its_own(one, other, values):
    assert (one.part == other.part) == (one == other)
    assert one.part != events_part(values[0], values[1], flatten=values[2], contributor=values[3])
    assert not is_covered(f"history:{events_part(values[0], values[1], flatten=values[2], contributor=values[3])}")


keys = st.lists(text, min_size=1, max_size=2, unique=True)


@given(keys, keys, parts)
def test_keys_that_differ_have_names_that_differ(one, other, values):
    assert (keys_part(one) == keys_part(other)) == (one == other)
    events, column, flatten, contributor = values
    plain = events_part(events, column, flatten=flatten, contributor=contributor)
    assert f"{plain}.by={keys_part(one)}" not in (plain, f"{plain}.{'0' * 32}", f"{plain}.covered")


@given(st.tuples(text, st.booleans()), st.tuples(text, st.booleans()))
def test_a_part_is_no_day(one, other):
    names = [str(ActionName("rolling", part, day(0) if dated else None)) for part, dated in (one, other)]
    assert (names[0] == names[1]) == (one == other)
    assert [name.count("@") for name in names] == [one[1], other[1]]


def test_plain_names_are_as_people_read_them():
    assert events_part(["click", "like"], "tack_ids", flatten=True) == "click+like.tack_ids[]"
    assert str(ActionName("rolling", "like_artwork_ids", day(0))) == "rolling:like_artwork_ids@2026-02-01"


def lists(world, *aggregations: dict) -> dict[str, list]:
    world.aggregations = [{"column": "artwork_id", "agg": "list", "windows": ["2d"], **a} for a in aggregations]
    name_outputs(world)
    world.write(Path())
    report = run_skeleton_stage(Settings(cache_root="cache", output_root="out"), str(day(1)))
    assert not report.failures
    table = pq.read_table(f"out/dt={day(1)}", partitioning=None)
    return {a["name"]: table[f"{a['name']}_2d"].to_pylist() for a in aggregations}


def two_events(first: str, second: str):
    world = anything(1)
    for number in (0, 1):
        at = [pa.scalar(f"{day(number)}T{hour}:00").cast(pa.timestamp("us")) for hour in ("10", "11", "12")]
        world.feed[f"dt={day(number)}/a.parquet"] = pa.table({
            "user_id": [1, 1, 1], "artwork_id": [10, 11, 12], "event_timestamp": at, "event": [first, second, "view"],
        })  # fmt: skip
    world.runtime |= {"embedding_coverage_filter": {"enabled": False}, "session_filter": {}}
    return world


def test_two_events_are_not_one_whose_name_joins_theirs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = two_events("click", "click+like")
    found = lists(world, {"name": "aa", "events": ["click+like"]}, {"name": "bb", "events": ["click", "like"]})
    assert (found["aa"][2], found["bb"][2]) == ([11, 11], [10, 10])


def test_names_of_aggregations_may_have_any_character(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = two_events("a@2026-02-01", "b")
    found = lists(
        world, {"name": "x@2026-02-01", "events": ["a@2026-02-01"]}, {"name": "x%402026-02-01", "events": ["b"]}
    )
    assert [column[2] for column in found.values()] == [[10, 10], [11, 11]]


def test_views_that_differ_in_case_are_two(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = two_events("click", "like")
    updated = world.views["Items"]["a.parquet"]["updated_at"][:1]
    view = {"entity": "artwork_id", "timestamp_field": "updated_at"}
    for name, value in (("One", 1), ("one", 2)):
        world.views[name] = {"a.parquet": pa.table({"artwork_id": [10], "updated_at": updated, f"of_{value}": [value]})}
        world.catalog["views"][name] = {**view, "source": f"catalog/{name}/*.parquet", "features": [f"of_{value}"]}
        world.runtime["feature_refs"].append(f"{name}:of_{value}")
    world.aggregations = []
    name_outputs(world)
    world.runtime["output_columns"] += ["of_1", "of_2"]
    world.write(Path())
    assert not run_skeleton_stage(Settings(cache_root="cache", output_root="out"), str(day(1))).failures
    found = pq.read_table(f"out/dt={day(1)}", partitioning=None)
    assert (found["of_1"][0].as_py(), found["of_2"][0].as_py()) == (1, 2)


@pytest.mark.parametrize("column", ["sign", "t", "old", "key", "row"])
def test_a_column_with_a_name_of_ours_tells_what_changed(tmp_path, column):
    for side, value in (("old", 0.0), ("new", -0.0)):
        pq.write_table(pa.table({"id": [1, 2], column: [value, 1.0], "other": [0.0, value]}), tmp_path / side)
    duck = Duck({"threads": 1})
    found = duck.table(changed_keys("id"), Bindings({side: [tmp_path / side] for side in ("old", "new")}))
    duck.close()
    assert sorted(found["key"].to_pylist()) == [1, 2]


def rename_age(world) -> None:
    world.runtime["ages"] = {"Daeda:row": "people:born"}


def rename_feature(world) -> None:
    world.catalog["views"]["people"]["features"] = ["born", "daeda:time"]


def name_two_alike(world) -> None:
    shared = {"name": "likes", "column": "artwork_id", "agg": "list"}
    world.aggregations = [{**shared, "events": [event], "windows": [window]}
                          for event, window in (("like", "1d"), ("click", "2d"))]  # fmt: skip
    name_outputs(world)


def filter_in_two_cases(world) -> None:
    world.runtime["content_filter"] = {"drop": {"age": [1], "AGE": [2]}}


@pytest.mark.parametrize(("change", "what"), [
    (rename_age, "a reserved name"), (rename_feature, "a reserved name"), (name_two_alike, "a name that appears twice"),
    (filter_in_two_cases, "a name that appears twice"),
])  # fmt: skip
def test_names_that_would_collide_are_refused(tmp_path, monkeypatch, change, what):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    change(world)
    world.write(Path())
    with pytest.raises(DaedalusError, match=what):
        run_skeleton_stage(Settings(cache_root="cache", output_root="out"), world.range)
