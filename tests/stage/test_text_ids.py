"""Ids that are text give what whole-number ids give, in the order of their UTF-8 bytes, through both stages."""

from __future__ import annotations

import tempfile
import uuid
from collections import Counter
from pathlib import Path

import pytest
from anything import Anything, anything, day
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Reference, differences, read_output
from small import answered, by_sql
from test_arrow_steps import counted, made
from test_worlds import EXAMPLES, THOROUGH
from texts import NASTY, Texts, artwork_name, user_name, with_texts
from worlds import World, worlds

from daedalus.base.errors import DaedalusError
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

NUMBERS = ("sum", "mean", "std")
IDS = {"user_id": user_name, "author_id": user_name, "artwork_id": artwork_name, "published": artwork_name}


def run(root: Path, world: World):
    options = Settings(str(root / "config"), str(root / "cache"), str(root / "out"))
    return run_skeleton_stage(options, world.range, allow_empty=True)


def without_numbers(world: World) -> World:
    """The world, whose aggregations of ids are such as text has."""
    for one in world.aggregations:
        if one["agg"] in NUMBERS and one["column"] in IDS:
            one["agg"] = "max"
        where = one.get("where", {})
        if where.pop("author_id", None) and not where:
            del one["where"]
    return world


def named(world: World, rows: dict) -> dict:
    """Output rows whose ids are made text."""
    columns = dict(IDS)
    for one in world.aggregations:
        if one["column"] in IDS and one["agg"] not in ("count", "count_distinct", "since_last"):
            windows = [""] if one["windows"] == "cumulative" else [f"_{window}" for window in one["windows"]]
            columns |= dict.fromkeys((f"{one['name']}{window}" for window in windows), IDS[one["column"]])

    def text(name: str, value: object) -> object:
        if value is None or name not in columns:
            return value
        return [columns[name](one) for one in value] if isinstance(value, list) else columns[name](value)

    return {day: [{name: text(name, value) for name, value in row.items()} for row in some]
            for day, some in rows.items()}  # fmt: skip


@given(worlds())
@settings(THOROUGH, max_examples=max(EXAMPLES // 5, 5))
def test_ids_with_other_names_give_the_same_rows(pools, world):
    without_numbers(world)
    with tempfile.TemporaryDirectory() as folder:
        plain, shaped = Path(folder) / "plain", Path(folder) / "texts"
        world.build(plain, pools)
        with_texts(plain, shaped, Texts())
        expected = run(plain, world)
        found = run(shaped, world)
        assert not found.failures
        assert found.rows == expected.rows
        assert differences(named(world, read_output(plain / "out")), read_output(shaped / "out")) == []


KINDS = ["both", "users", "artworks", "uuids"]


@given(worlds(), st.permutations(NASTY), st.permutations(NASTY), st.sampled_from(KINDS))
@settings(THOROUGH, max_examples=max(EXAMPLES // 5, 5))
def test_odd_text_equals_the_reference_and_the_sql(pools, world, users, artworks, which):
    without_numbers(world)
    texts = Texts(users.__getitem__, artworks.__getitem__)
    if which in ("users", "artworks"):
        setattr(texts, "artworks" if which == "users" else "users", None)
    if which == "uuids":
        texts = Texts(lambda number: as_uuid(users[number]), lambda number: as_uuid(artworks[number]), uuids=True)
    ran: Counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        plain, shaped = Path(folder) / "plain", Path(folder) / "texts"
        world.build(plain, pools)
        with_texts(plain, shaped, texts)
        with counted(ran):
            found = made(shaped, world.range, "arrow")
        with by_sql():
            assert made(shaped, world.range, "sql") == found
        reference = Reference(shaped / "config", world.days)
        assert differences(reference.run(), read_output(shaped / "out-arrow")) == []
    assert {name for name, _ in ran if "spine" in name} <= {"write_spine"}


def as_uuid(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


# What does not fit together


def texts_of(world: Anything, texts: Texts, *, feed: bool = True, views: bool = True) -> Anything:
    """The world with text in place of ids; its pool has whole numbers."""
    world.runtime["embedding_coverage_filter"]["enabled"] = False
    world.aggregations = [
        {"name": "seen", "events": ["click", "like", "view"], "column": "artwork_id", "agg": "top", "windows": ["2d"]},
    ]  # fmt: skip
    world.runtime["output_columns"] = ["user_id", "artwork_id", "event_timestamp", "event", "seen_2d", "recent"]
    if feed:
        world.feed = {path: texts.table(table) for path, table in world.feed.items()}
    if views:
        world.views = {view: {file: texts.table(table) for file, table in files.items()}
                       for view, files in world.views.items()}  # fmt: skip
    return world


def with_pool(world: Anything) -> None:
    world.runtime["embedding_coverage_filter"] |= {"enabled": True, "id_column": "artwork_id"}


def with_sum(world: Anything) -> None:
    world.aggregations[0]["agg"] = "sum"


def whole_numbers_in(place: str, column: str):
    """One file of a view has an id as whole numbers."""

    def change(world: Anything) -> None:
        plain = anything(1)
        for file, table in world.views[place].items():
            at = table.column_names.index(column)
            world.views[place][file] = table.set_column(at, column, plain.views[place][file][column])

    return change


REFUSED = {
    "whole numbers of a view": (whole_numbers_in("Items", "artwork_id"),
                                ["views.Items.entity: artwork_id", "BIGINT", "VARCHAR"]),
    "authors": (whole_numbers_in("Items", "author"), ["recent_published.author", "BIGINT", "VARCHAR"]),
    "whole numbers of the pool": (with_pool, ["embedding_coverage_filter.id_column", "int64", "text"]),
    "a sum": (with_sum, ["aggregations[0].column", "VARCHAR", "numbers"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_joins_text_ids_must_be_text(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    change, told = REFUSED[case]
    world = texts_of(anything(1), Texts())
    change(world)
    world.write(tmp_path)
    with pytest.raises(DaedalusError) as refusal:
        run_skeleton_stage(Settings(), world.range)
    assert [part for part in told if part not in str(refusal.value)] == []


def test_text_that_joins_whole_numbers_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = texts_of(anything(1), Texts(), feed=False)
    world.write(tmp_path)
    with pytest.raises(DaedalusError, match=r"another type than the feed's.*VARCHAR.*BIGINT"):
        run_skeleton_stage(Settings(), world.range)


def test_a_feed_of_two_kinds_is_refused_by_both_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world, texts = texts_of(anything(1), Texts(), feed=False), Texts(artworks=None)
    for number in (0, 1):
        path = f"dt={day(number)}/a.parquet"
        world.feed[path] = texts.table(world.feed[path])
    world.write(tmp_path)
    with pytest.raises(DaedalusError) as refusal:
        run_skeleton_stage(Settings(), world.range)
    told = [f"dt={day(0)}/a.parquet: user_id", "VARCHAR", "BIGINT, as user_id of ", f"dt={day(-2)}/a.parquet"]
    assert [part for part in told if part not in str(refusal.value)] == []


@pytest.mark.parametrize("texts", [Texts(), Texts(users=None)], ids=["text", "one of the two"])
def test_commands_take_and_refuse_ids_by_the_feeds_types(tmp_path, monkeypatch, texts):
    monkeypatch.chdir(tmp_path)
    world = texts_of(anything(1), texts)
    world.write(tmp_path)
    ran: Counter = Counter()
    with counted(ran):
        assert not run_skeleton_stage(Settings(cache_root="cache", output_root="out"), world.range).failures
    assert ran["write_spine", True] and ran["write_event_values", True]
    assert not ran["write_spine", False] and not ran["write_event_values", False]
    roots = ["--cache-root", "cache", "--output-root", "out"]
    row = next(row for row in read_output("out")[day(1)])
    ids = ["--user", str(row["user_id"]), "--artwork", str(row["artwork_id"])]
    assert answered("explain", "row", str(day(1)), *ids, *roots).returncode == 0
    refused = answered("explain", "row", str(day(1)), "--user", "abc", *ids[2:], *roots)
    assert refused.returncode == 2
    assert ("--user" in refused.stderr and "BIGINT" in refused.stderr) == (texts.users is None)
