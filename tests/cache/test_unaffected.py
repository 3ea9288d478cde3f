"""Which keys a change of a table touches: all whose rows would be written otherwise, and no others."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daedalus.actions.unaffected import changed_keys
from daedalus.sql.duck import Bindings, Duck
from daedalus.tables.differences import changed_among, has_any
from daedalus.tables.held import HELD

KINDS = {
    "number": pa.float64(), "text": pa.string(), "list": pa.list_(pa.float64()),
}  # fmt: skip
SAME = (1, 0.5, "a, b", [1.0, None])
CHANGES = {
    "a value": (1, 0.6, "a, b", [1.0, None]),
    "a NULL": (1, None, "a, b", [1.0, None]),
    "a member": (1, 0.5, "a, b", [1.0, 2.0]),
    "no list": (1, 0.5, "a, b", None),
    "an empty list": (1, 0.5, "a, b", []),
    "white space": (1, 0.5, "a,  b", [1.0, None]),
}


@pytest.fixture(autouse=True)
def memory():
    """As a run has it: what may be read whole."""
    before = HELD.each
    HELD.each = 1 << 30
    yield
    HELD.each = before


def table(*rows: tuple) -> pa.Table:
    kinds = {"id": pa.int64(), **KINDS}
    return pa.table({name: pa.array([row[i] for row in rows], kind) for i, (name, kind) in enumerate(kinds.items())})


def touched(folder, old: pa.Table, new: pa.Table) -> list[int]:
    for name, rows in (("old", old), ("new", new)):
        pq.write_table(rows, folder / name)
    duck = Duck({"threads": 1})
    try:
        found = duck.table(changed_keys("id"), Bindings({"old": [folder / "old"], "new": [folder / "new"]}))
    finally:
        duck.close()
    keys = sorted(found["key"].to_pylist())
    assert sorted({*changed_among(folder / "old", folder / "new", "id").keys.to_pylist()}) == keys
    return keys


def test_keys_that_arrow_leaves_to_duckdb(tmp_path):
    plain = pa.table({"id": [1, 2], "value": [1, 2]})
    others = {
        "repeated": pa.table({"id": [1, 1], "value": [1, 2]}),
        "null": pa.table({"id": [1, None], "value": [1, 2]}),
        "float": pa.table({"id": [1.0, 2.0], "value": [1, 2]}),
        "of structs": pa.table({"id": [1, 2], "value": [{"a": 1}, None]}),
    }
    for name, rows in {"plain": plain, **others}.items():
        pq.write_table(rows, tmp_path / name)
    assert changed_among(tmp_path / "plain", tmp_path / "plain", "id").keys.to_pylist() == []
    for name in others:
        assert changed_among(tmp_path / name, tmp_path / name, "id") is None


MEMBERS = st.sampled_from([0.0, -0.0, 1.5, float("nan"), None])
VALUES = st.tuples(
    MEMBERS, st.sampled_from([None, "", "a"]), st.none() | st.lists(MEMBERS, max_size=3), st.booleans()
)  # fmt: skip
VERSIONS = st.dictionaries(st.tuples(st.integers(-2, 2), st.none() | st.integers(-2, 2)), VALUES, max_size=12)
VALUE_KINDS = [pa.float64(), pa.string(), pa.list_(pa.float64()), pa.bool_()]
DAY = dt.date(1970, 1, 3)


@given(VERSIONS, VERSIONS, st.booleans(), st.sampled_from([0, -1]))
@settings(max_examples=100, deadline=None)
def test_versions_that_differ_are_told_with_their_times(old, new, text, late):
    """Each has its key and its time. What a day can see of them are those before its end."""

    def written(path: str, versions: dict) -> None:
        ids = pa.array([str(key) if text else key for key, _ in versions], pa.string() if text else pa.int64())
        times = [None if days is None else (days + 3) * 86_400_000_000 + late for _, days in versions]
        columns = {"id": ids, "time": pa.array(times, pa.int64()).cast(pa.timestamp("us"))}
        for place, kind in enumerate(VALUE_KINDS):
            columns[f"{place}"] = pa.array([values[place] for values in versions.values()], kind)
        pq.write_table(pa.table(columns), path)

    with tempfile.TemporaryDirectory() as folder:
        one, other = f"{folder}/old", f"{folder}/new"
        written(one, old)
        written(other, new)
        found = changed_among(Path(one), Path(other), "id", "time")
    differ = [key for key in old.keys() | new.keys() if repr(old.get(key)) != repr(new.get(key))]
    seen = {key for key, days in differ if days is None or days < -late}
    assert {int(key) for key in found.keys.to_pylist()} == {key for key, _ in differ}
    assert {int(key) for key in found.until(DAY).to_pylist()} == seen


def test_a_file_is_searched_for_keys(tmp_path):
    pq.write_table(pa.table({"id": ["a", None, "b"]}), tmp_path / "text", row_group_size=1)
    assert has_any(tmp_path / "text", "id", pa.array(["b", "c"]))
    assert not has_any(tmp_path / "text", "id", pa.array(["c", "A"]))
    assert not has_any(tmp_path / "no file", "id", pa.array([], pa.string()))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_told(tmp_path, change):
    other = (2, float("nan"), None, [])
    assert touched(tmp_path, table(SAME, other), table(CHANGES[change], other)) == [1]


def test_the_sign_of_zero_is_a_change(tmp_path):
    old, new = table((1, 0.0, "", [0.0]), (2, 1.0, "", [0.0])), table((1, -0.0, "", [0.0]), (2, 1.0, "", [-0.0]))
    assert touched(tmp_path, old, new) == [1, 2]


def test_rows_that_came_went_or_stayed(tmp_path):
    rows = [(i, *SAME[1:]) for i in range(5)]
    assert touched(tmp_path, table(*rows[:4]), table(*rows[3:0:-1], rows[4])) == [0, 4]
