"""Catalog views on Arrow: the bytes that SQL writes; and rows taken by their places, as Arrow takes them."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daedalus.inputs.schemas import Group
from daedalus.skeleton.arrow.view_rows import ViewPart, write_published, write_view
from daedalus.skeleton.steps.published import list_published
from daedalus.skeleton.steps.view import read_view
from daedalus.sql.column_types import type_name
from daedalus.sql.duck import Bindings, Duck
from daedalus.sql.text import TIME, literal
from daedalus.tables import taken as by_place
from daedalus.tables.held import HELD
from daedalus.tables.taken import taken, taken_rows, text_of, with_used_values

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
TYPES = {
    "id": "BIGINT",
    "name": "VARCHAR",
    "score": "DOUBLE",
    "liked": "BIGINT[]",
    "born": "TIMESTAMP",
    "on": "BOOLEAN",
}
TEXT = st.none() | st.sampled_from(["", "a", "é", "a b", "\U0001f4a1"])
NAN = float("nan")
DAYS = [None, dt.datetime(1969, 12, 31, 23, 59, 59, 999000), dt.datetime(1970, 1, 1), dt.datetime(2400, 2, 29)]


@pytest.fixture(scope="module")
def duck():
    duck = Duck({"threads": 1})
    yield duck
    duck.close()


@pytest.fixture(autouse=True)
def memory():
    HELD.limit(4 << 30, 1)
    yield
    HELD.limit(None, 1)


@st.composite
def files(draw):
    """Tables of a view's files: types and columns differ, times are NULL or equal, entities are NULL or occur again."""
    found = []
    ids = draw(st.sampled_from([[pa.int64(), pa.int32()], [pa.uint16(), pa.int8()], [pa.string()]]))
    floats = st.sampled_from([0.5, -1.0, 0.0, None] if draw(st.booleans()) else [0.5, NAN, -0.0, None])
    for _ in range(draw(st.integers(1, 3))):
        rows = draw(st.integers(0, 12))

        def column(values, kind, rows=rows):
            return pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), kind)

        unit = draw(st.sampled_from([pa.timestamp("us"), pa.timestamp("ms"), pa.timestamp("us", "Asia/Tokyo")]))
        kind = draw(st.sampled_from(ids))
        entity = st.integers(0, 4) if kind != pa.string() else TEXT
        made = {
            "key": column(st.none() | entity, kind),
            "seen": column(st.sampled_from(DAYS), unit),
            "name": column(TEXT, pa.string()),
            "score": column(floats, draw(st.sampled_from([pa.float32(), pa.float64()]))),
            "liked": column(st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3), pa.list_(pa.int64())),
            "born": column(st.sampled_from(DAYS), pa.timestamp("ms")),
            "on": column(st.none() | st.booleans(), pa.bool_()),
        }
        absent = draw(st.sets(st.sampled_from(["name", "score", "liked", "born"]), max_size=2))
        found.append(pa.table({name: values for name, values in made.items() if name not in absent}))
    return found


@given(files(), st.booleans())
@settings(max_examples=3 * EXAMPLES, deadline=None)
def test_a_view_has_the_bytes_that_sql_writes(duck, tables, every_version):
    text = tables[0]["key"].type == pa.string()
    types = {**TYPES, "id": "VARCHAR" if text else "BIGINT"}
    scores = [value for table in tables if "score" in table.column_names for value in table["score"].to_pylist()]
    special = any(str(value) in ("nan", "-0.0") for value in scores)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [str(folder / f"{i}.parquet") for i in range(len(tables))]
        groups: dict[Group, list[int]] = {}
        for place, (path, table) in enumerate(zip(paths, tables, strict=True)):
            pq.write_table(table, path, row_group_size=5)
            schema = tuple((field.name, type_name(field.type)) for field in table.schema)
            groups.setdefault(Group(schema, "parquet"), []).append(place)
        bound = {f"view_{i}": [paths[place] for place in places] for i, places in enumerate(groups.values())}
        sql = read_view(list(groups), "id", "seen", types, every_version=every_version, own="key")
        duck.copy(sql, Bindings(bound, variables={"view_files": literal(paths)}), folder / "sql")
        features = tuple((column, kind) for column, kind in types.items() if column != "id")
        part = ViewPart(list(groups), list(groups.values()), "id", "key", "seen", features, types["id"], every_version)
        counts = write_view(part, bound, folder / "arrow")
        assert (counts is None) == special
        if counts:
            assert (folder / "arrow").read_bytes() == (folder / "sql").read_bytes()
            assert counts == {"rows": pq.read_metadata(folder / "sql").num_rows}


@given(st.data(), st.booleans(), st.booleans(), st.sampled_from([pa.int64(), pa.int32(), pa.string(), pa.float64()]))
@settings(max_examples=2 * EXAMPLES, deadline=None)
def test_publications_have_the_bytes_that_sql_writes(duck, data, every_version, is_day, kind):
    text, time = kind == pa.string(), TIME.strip('"')
    versions = st.tuples(st.integers(0, 5), st.none() | st.integers(-3, 3))
    rows = sorted(data.draw(st.sets(versions, max_size=15)), key=lambda one: (one[0], one[1] is not None, one[1] or 0))
    if not every_version:
        rows = list({one: (one, when) for one, when in rows}.values())
    authors = data.draw(
        st.lists(TEXT if text else st.none() | st.integers(0, 3), min_size=len(rows), max_size=len(rows))
    )
    times = data.draw(st.lists(st.sampled_from(DAYS), min_size=len(rows), max_size=len(rows)))
    born = (
        pa.array([when and when.date() for when in times], pa.date32())
        if is_day
        else pa.array(times, pa.timestamp("us"))
    )
    view = pa.table({"artwork_id": pa.array([one for one, _ in rows], pa.int64()),
                     time: pa.array([when for _, when in rows], pa.timestamp("us")),
                     "author": pa.array(authors, kind), "born": born})  # fmt: skip
    kinds = ("VARCHAR" if text else "BIGINT", "BIGINT")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(view, folder / "view")
        sql = list_published("born", "author", every_version=every_version, is_day=is_day, user=kinds[0])
        duck.copy(sql, Bindings({"view": [folder / "view"]}), folder / "sql")
        counts = write_published("born", "author", kinds, every_version, {"view": [folder / "view"]}, folder / "arrow")
        if kind == pa.float64():  # which DuckDB rounds
            assert counts is None
            return
        assert counts == {"rows": pq.read_metadata(folder / "sql").num_rows}
        assert (folder / "arrow").read_bytes() == (folder / "sql").read_bytes()


@pytest.mark.parametrize("what", ["text that is not UTF-8", "a number that does not fit", "no memory", "a JSON file"])
def test_what_only_sql_reads_or_refuses_is_left_to_it(tmp_path, what):
    table = pa.table({"key": pa.array([1], pa.int64()), "seen": pa.array([0], pa.timestamp("us")), "name": ["a"]})
    if what == "text that is not UTF-8":
        table = table.set_column(2, "name", pa.array([b"\xff"]).view(pa.string()))
    wide = what == "a number that does not fit"
    pq.write_table(table, tmp_path / "0.parquet")
    if what == "no memory":
        HELD.limit(1, 1)
    schema = (("key", "BIGINT"), ("seen", "TIMESTAMP"), ("name", "VARCHAR"))
    group = Group(schema, "json" if what == "a JSON file" else "parquet")
    part = ViewPart([group], [[0]], "id", "key", "seen", (("name", "VARCHAR"),), "TINYINT" if wide else "BIGINT", False)
    files = {"view_0": [str(tmp_path / "0.parquet")]}
    if wide:
        pq.write_table(table.set_column(0, "key", pa.array([300], pa.int64())), tmp_path / "0.parquet")
    if what in ("text that is not UTF-8", "a number that does not fit"):
        with pytest.raises(pa.ArrowInvalid):  # of which the SQL says what is wrong
            write_view(part, files, tmp_path / "out")
    else:
        assert write_view(part, files, tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


@given(st.lists(TEXT, max_size=20), st.integers(0, 3), st.data())
@settings(max_examples=5 * EXAMPLES, deadline=None)
def test_text_is_taken_as_arrow_takes_it(texts, before, data):
    values = pa.array([*["~"] * before, *texts], pa.string()).slice(before if data.draw(st.booleans()) else 0)
    place = st.integers(0, len(values) - 1) if len(values) else st.none()
    places = data.draw(st.lists(st.none() | place if data.draw(st.booleans()) else place, max_size=30))
    kind = data.draw(st.sampled_from([pa.int64(), pa.int32()]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_place, "_MANY", 0)
        found = taken(values, pa.array(places, kind))
        found.validate(full=True)
        assert found.equals(pc.take(values, pa.array(places, kind)))
        if None not in places:
            rows = taken_rows(pa.table({"text": values, "place": range(len(values))}), np.array(places, np.int64))
            assert rows["text"].combine_chunks().equals(found) and rows["place"].to_pylist() == places
        coded = pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), values)
        assert text_of(coded).equals(found)


@given(st.lists(st.none() | st.integers(0, 5), max_size=40), st.integers(0, 9))
@settings(max_examples=5 * EXAMPLES, deadline=None)
def test_values_that_occur_are_in_the_order_of_their_first_rows(numbers, skipped):
    whole = pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(list("abcdef")))
    coded = whole.slice(skipped)
    found = with_used_values(coded)
    found.validate(full=True)
    assert found.to_pylist() == coded.to_pylist()
    assert found.dictionary.to_pylist() == list(
        dict.fromkeys(value for value in coded.to_pylist() if value is not None)
    )
