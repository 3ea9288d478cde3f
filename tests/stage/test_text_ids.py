"""Ids that are text give what whole-number ids give, in the order of their UTF-8 bytes, through both stages."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Reference, differences, read_output
from small import by_sql
from test_worlds import EXAMPLES, THOROUGH
from texts import NASTY, Texts, artwork_name, user_name, with_texts
from worlds import World, worlds

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


@given(worlds(), st.booleans())
@settings(THOROUGH, max_examples=max(EXAMPLES // 2, 5))
def test_ids_with_other_names_give_the_same_rows(pools, world, on_arrow):
    without_numbers(world)
    with tempfile.TemporaryDirectory() as folder:
        plain, shaped = Path(folder) / "plain", Path(folder) / "texts"
        world.build(plain, pools)
        with_texts(plain, shaped, Texts())
        expected = run(plain, world)
        with contextlib.nullcontext() if on_arrow else by_sql():
            found = run(shaped, world)
        assert not found.failures
        assert found.rows == expected.rows
        assert differences(named(world, read_output(plain / "out")), read_output(shaped / "out")) == []


@given(worlds(), st.permutations(NASTY), st.permutations(NASTY), st.sampled_from(["both", "users", "artworks"]),
       st.booleans())  # fmt: skip
@settings(THOROUGH, max_examples=max(EXAMPLES // 2, 5))
def test_odd_text_equals_the_reference(pools, world, users, artworks, which, on_arrow):
    without_numbers(world)
    with tempfile.TemporaryDirectory() as folder:
        plain, shaped = Path(folder) / "plain", Path(folder) / "texts"
        world.build(plain, pools)
        with_texts(plain, shaped, Texts(None if which == "artworks" else lambda number: users[number],
                                        None if which == "users" else lambda number: artworks[number]))  # fmt: skip
        with contextlib.nullcontext() if on_arrow else by_sql():
            found = run(shaped, world)
        assert not found.failures
        reference = Reference(shaped / "config", world.days)
        assert differences(reference.run(), read_output(shaped / "out")) == []
