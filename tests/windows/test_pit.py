"""aggregate_pit_table: both engines equal each other and the reference's aggregation."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import _aggregated, micros
from small import PROJECT

import daedalus
from daedalus.base.errors import DaedalusError
from daedalus.windows import pit_table

HOUR = 3_600_000_000
EVENTS = ["like", "click"]
times = st.integers(0, 60).map(lambda h: h * HOUR)
spine_rows = st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), times), max_size=8)
maybe = st.one_of(st.none(), st.integers(1, 3))
event_rows = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 3), times, st.sampled_from(EVENTS), maybe,
              st.one_of(st.none(), st.lists(maybe, max_size=3))), max_size=25)  # fmt: skip


@st.composite
def specs(draw):
    agg = draw(st.sampled_from(["list", "distinct", "flatten_distinct", "count"]))
    found = {
        "name": "x",
        "events": draw(st.lists(st.sampled_from(EVENTS), min_size=1, unique=True)),
        "column": "tags" if agg == "flatten_distinct" else draw(st.sampled_from(["artwork_id", "author_id"])),
        "agg": agg,
        "windows": draw(st.sampled_from([["1d"], ["2d", "6h"], "cumulative"])),
        "exclude_self": draw(st.booleans()),
    }
    return {**found, "max_items": draw(st.integers(1, 3))} if draw(st.booleans()) else found


def tables(rows, events, unit="us", zone=None):
    time = pa.timestamp(unit, zone)
    per = {"us": 1, "ns": 1000}[unit]
    spine = pa.table({
        "user_id": pa.array([r[0] for r in rows], pa.int64()), "artwork_id": pa.array([r[1] for r in rows], pa.int64()),
        "event_timestamp": pa.array([r[2] * per for r in rows], pa.int64()).cast(time),
        "kept": pa.array([str(i) for i in range(len(rows))], pa.string()),
    })  # fmt: skip
    names = ["user_id", "artwork_id", "event_timestamp", "event", "author_id", "tags"]
    types = [pa.int64(), pa.int64(), None, pa.string(), pa.int64(), pa.list_(pa.int64())]
    columns = {}
    for i, (name, kind) in enumerate(zip(names, types, strict=True)):
        values = [event[i] for event in events]
        columns[name] = pa.array(values, kind) if kind else pa.array([v * per for v in values], pa.int64()).cast(time)
    return spine, pa.table(columns)


def by_hand(rows, events, spec):
    """What the specification says, row by row."""
    columns = {}
    windows = [("x", None)] if spec["windows"] == "cumulative" else [(f"x_{w}", micros(w)) for w in spec["windows"]]
    for name, width in windows:
        columns[name] = []
        for user, artwork, t in rows:
            seen = []
            for e_user, e_artwork, ts, event, author, tags in events:
                value = {"artwork_id": e_artwork, "author_id": author, "tags": tags}[spec["column"]]
                if e_user != user or event not in spec["events"] or ts >= t or (width and ts < t - width):
                    continue
                if value is None or (spec["exclude_self"] and e_artwork == artwork):
                    continue
                seen += [(ts, v) for v in (value if isinstance(value, list) else [value]) if v is not None]
            columns[name].append(_aggregated(spec, seen, t))
    return columns


@given(spine_rows, event_rows, specs())
@settings(max_examples=60, deadline=None)
def test_both_engines_equal_the_specification(rows, events, spec):
    spine, history = tables(rows, events)
    duckdb = daedalus.aggregate_pit_table(spine, history, [spec], engine="duckdb")
    polars = daedalus.aggregate_pit_table(spine, history, [spec], engine="polars")
    assert duckdb.schema == polars.schema
    assert duckdb.to_pydict() == polars.to_pydict()
    assert {k: v for k, v in duckdb.to_pydict().items() if k.startswith("x")} == by_hand(rows, events, spec)
    assert duckdb["kept"].to_pylist() == spine["kept"].to_pylist()


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_units_and_zones_do_not_matter(engine):
    rows, events = [(1, 1, 5 * HOUR)], [(1, 2, 4 * HOUR, "like", None, None), (1, 3, 5 * HOUR, "like", None, None)]
    spec = {"name": "x", "events": ["like"], "column": "artwork_id", "agg": "list", "windows": ["1d"]}
    for unit, zone in (("us", None), ("ns", None), ("us", "Asia/Taipei")):
        found = daedalus.aggregate_pit_table(*tables(rows, events, unit, zone), [spec], engine=engine)
        assert found["x_1d"].to_pylist() == [[2]]


def test_what_is_refused():
    spine, history = tables([(1, 1, HOUR)], [])
    spec = {"name": "x", "events": ["like"], "column": "artwork_id", "agg": "list", "windows": ["1d"]}
    cases = [
        ((spine.drop(["user_id"]), history, [spec]), "duckdb", "user_id"),
        ((spine, history, [{**spec, "column": "autor_id"}]), "duckdb", "author_id"),
        ((spine, history, [{**spec, "agg": "median"}]), "duckdb", "specs[0]"),
        ((spine, history, [{**spec, "windows": ["soon"]}]), "duckdb", "soon"),
        ((spine, history, [spec]), "sqlite", "engine"),
        ((spine, history, [{**spec, "windows": []}]), "duckdb", "specs[0].windows"),
        ((spine, history, [{**spec, "windows": ["1d", "1d"]}]), "polars", "a duplicate output name"),
        ((spine, history, [spec, spec]), "duckdb", "a duplicate output name"),
        ((spine, history, [{**spec, "max_items": 0}]), "polars", "specs[0].max_items"),
        ((spine, history, [{**spec, "column": "artwork_id", "agg": "flatten_distinct"}]), "duckdb", "specs[0].column"),
        ((spine.set_column(2, "event_timestamp", spine["user_id"]), history, [spec]), "duckdb", "no times in spine"),
    ]
    for arguments, engine, named in cases:
        with pytest.raises(DaedalusError, match=named.replace("[", r"\[")):
            daedalus.aggregate_pit_table(*arguments, engine=engine)


def test_an_empty_spine_gives_empty_columns():
    spine, history = tables([], [(1, 1, HOUR, "like", 1, [1])])
    spec = {"name": "x", "events": ["like"], "column": "tags", "agg": "flatten_distinct", "windows": ["1d"]}
    for engine in ("duckdb", "polars"):
        assert daedalus.aggregate_pit_table(spine, history, [spec], engine=engine)["x_1d"].to_pylist() == []


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
@pytest.mark.parametrize("agg", ["list", "distinct", "count"])
@pytest.mark.parametrize("column", ["v", "d", "artwork_id"])
def test_keys_and_values_that_are_null_or_nested(engine, agg, column):
    day = pa.array([dt.datetime(2026, 5, 2)] * 4, pa.timestamp("us"))
    spine = pa.table({"user_id": pa.array([1, 1, None, 2**40]), "artwork_id": pa.array([5, None, 5, 5]),
                      "event_timestamp": pa.concat_arrays([day[:3], pa.nulls(1, day.type)])})  # fmt: skip
    events = pa.table({
        "user_id": pa.array([1, 1, 1, None], pa.int32()), "artwork_id": pa.array([5, 6, None, 6], pa.int16()),
        "event_timestamp": pa.array([dt.datetime(2026, 5, 1, h) for h in range(4)], pa.timestamp("us")),
        "event": ["like"] * 4, "v": pa.array([[1], [2], [1], None]), "d": [0.5, 2.0, 0.5, 0.5],
    })  # fmt: skip
    spec = {"name": "x", "events": ["like"], "column": column, "agg": agg, "windows": "cumulative"}
    all_of = {"v": [[1], [2], [1]], "d": [0.5, 2.0, 0.5], "artwork_id": [6, 5]}[column]
    seen = all_of[:2] if agg == "distinct" else all_of
    others = [all_of[-2 if column != "artwork_id" else 0]]
    for exclude, expected in ((False, [seen, seen, [], []]), (True, [others, [], [], []])):
        found = daedalus.aggregate_pit_table(spine, events, [{**spec, "exclude_self": exclude}], engine=engine)
        assert found["x"].to_pylist() == ([len(x) for x in expected] if agg == "count" else expected)


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
@pytest.mark.parametrize(
    ("agg", "column", "own"), [("flatten_distinct", "tags", False), ("flatten_distinct", "tags", True),
                               ("distinct", "author_id", False), ("count", "artwork_id", True)],
)  # fmt: skip
def test_a_row_costs_what_it_lists(engine, agg, column, own):
    """Pairs of rows and events, or of events and values, would be 4 · 10^8 here: minutes, and all of the memory."""
    many = 20_000
    rows = many if agg != "flatten_distinct" else 2
    spine = pa.table({"user_id": pa.array([1] * rows), "artwork_id": pa.array([1] * rows),
                      "event_timestamp": pa.array(range(1, rows + 1)).cast(pa.timestamp("s"))})  # fmt: skip
    ids = pa.array([2, 1] if rows == 2 else [1] * rows)
    events = pa.table({
        "user_id": pa.array([1] * rows), "artwork_id": ids, "event": ["like"] * rows,
        "event_timestamp": pa.array(range(rows)).cast(pa.timestamp("s")), "author_id": pa.array([7] * rows),
        "tags": pa.array([list(range(many))] * rows) if rows == 2 else pa.nulls(rows, pa.list_(pa.int64())),
    })  # fmt: skip
    spec = {"name": "x", "events": ["like"], "column": column, "agg": agg, "windows": ["1d"], "exclude_self": own}
    found = daedalus.aggregate_pit_table(spine, events, [spec], engine=engine)["x_1d"]
    if agg == "count":
        assert set(found.to_pylist()) == {0}
    else:
        assert found.to_pylist() == ([list(range(many))] * 2 if agg == "flatten_distinct" else [[7]] * rows)


def test_the_engine_is_that_of_a_config(tmp_path, monkeypatch):
    folder = tmp_path / "config"
    shutil.copytree(PROJECT / "config", folder)
    runtime = folder / "training/runtime.yaml"
    runtime.write_text(runtime.read_text().replace("engine: duckdb", "engine: polars"))
    asked = []
    for engine in ("_with_duckdb", "_with_polars"):
        plain = getattr(pit_table, engine)
        monkeypatch.setattr(
            pit_table, engine, lambda *given, engine=engine, plain=plain: asked.append(engine) or plain(*given)
        )
    spec = {"name": "a", "events": ["like"], "column": "artwork_id", "agg": "list", "windows": ["1d"]}
    row = {"user_id": [1], "artwork_id": [2], "event_timestamp": [dt.datetime(2026, 1, 1)]}
    spine, events = pa.table(row), pa.table({**row, "event": ["like"]})
    for options in (
        {},
        {"config": PROJECT / "config"},
        {"config": str(folder)},
        {"config": folder, "engine": "duckdb"},
    ):
        daedalus.aggregate_pit_table(spine, events, [spec], **options)
    assert asked == ["_with_duckdb", "_with_duckdb", "_with_polars", "_with_duckdb"]


TEXTS = ["", "A", "a", "\uffff", "\U0001d4b3"]  # ascending by their UTF-8 bytes
FORMS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("agg", ["list", "distinct", "top", "min", "count_distinct"])
def test_ids_that_are_text_in_any_form(engine, form, agg):
    seconds = lambda *times: pa.array(times).cast(pa.timestamp("s"))  # noqa: E731
    other = FORMS[(FORMS.index(form) + 1) % len(FORMS)]
    spine = pa.table({"user_id": pa.array(["a", "A"]).cast(form), "artwork_id": pa.array(["a", None]).cast(form),
                      "event_timestamp": seconds(90, 90)})  # fmt: skip
    events = pa.table({"user_id": pa.array(["a"] * 5 + [None, "A"]).cast(other),
                       "artwork_id": pa.array([*reversed(TEXTS), "x", None]).cast(other),
                       "event_timestamp": seconds(1, 1, 1, 1, 1, 2, 3), "event": ["w"] * 7})  # fmt: skip
    spec = {"name": "x", "events": ["w"], "column": "artwork_id", "agg": agg, "windows": ["1d"], "exclude_self": True}
    seen = [text for text in TEXTS if text != "a"]
    first, second = daedalus.aggregate_pit_table(spine, events, [spec], engine=engine)["x_1d"].to_pylist()
    assert first == {"min": "", "count_distinct": 4}.get(agg, seen)
    assert second == {"min": None, "count_distinct": 0}.get(agg, [])


def test_uuids_are_text_and_text_is_no_number():
    ids = [uuid.UUID(int=number) for number in (2, 1)]
    stored = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([one.bytes for one in ids], pa.binary(16)))
    times = pa.array([10, 20]).cast(pa.timestamp("s"))
    events = pa.table({"user_id": stored.take([0, 0]), "artwork_id": stored, "event_timestamp": times,
                       "event": ["w", "w"]})  # fmt: skip
    spine = pa.table({"user_id": [str(ids[0])], "artwork_id": ["x"],
                      "event_timestamp": pa.array([90]).cast(pa.timestamp("s"))})  # fmt: skip
    spec = {"name": "x", "events": ["w"], "column": "artwork_id", "agg": "list", "windows": ["1d"]}
    assert daedalus.aggregate_pit_table(spine, events, [spec])["x_1d"].to_pylist() == [[str(ids[1]), str(ids[0])]]
    numbers = spine.set_column(0, "user_id", pa.array([1]))
    with pytest.raises(DaedalusError, match="text in one of the tables alone"):
        daedalus.aggregate_pit_table(numbers, events, [spec])
