"""Which keys a change of a table touches: all whose rows would be written otherwise, and no others."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
    assert touched_by_arrow(folder, old, new) == keys
    return keys


def touched_by_arrow(folder, old: pa.Table, new: pa.Table) -> list[int]:
    """Without the column of lists, which Arrow leaves to DuckDB, and with its first members in its place."""
    assert changed_among(folder / "old", folder / "new", "id") is None
    for name, rows in (("old", old), ("new", new)):
        firsts = [[*(members or ()), None, None][:2] for members in rows["list"].to_pylist()]
        states = [None if members is None else len(members) for members in rows["list"].to_pylist()]
        rows = rows.drop_columns("list").append_column("states", pa.array(states, pa.int32()))
        for place in (0, 1):
            rows = rows.append_column(f"{place}", pa.array([first[place] for first in firsts], pa.float64()))
        pq.write_table(rows, folder / f"{name}-plain")
    found = changed_among(folder / "old-plain", folder / "new-plain", "id")
    assert found is not None
    return sorted(found.to_pylist())


def test_keys_that_arrow_leaves_to_duckdb(tmp_path):
    plain = pa.table({"id": [1, 2], "value": [1, 2]})
    others = {
        "repeated": pa.table({"id": [1, 1], "value": [1, 2]}),
        "null": pa.table({"id": [1, None], "value": [1, 2]}),
        "float": pa.table({"id": [1.0, 2.0], "value": [1, 2]}),
    }
    for name, rows in {"plain": plain, **others}.items():
        pq.write_table(rows, tmp_path / name)
    assert changed_among(tmp_path / "plain", tmp_path / "plain", "id").to_pylist() == []
    for name in others:
        assert changed_among(tmp_path / name, tmp_path / name, "id") is None


def test_a_file_is_searched_for_keys(tmp_path):
    pq.write_table(pa.table({"id": ["a", None, "b"]}), tmp_path / "text", row_group_size=1)
    assert has_any(tmp_path / "text", "id", pa.array(["b", "c"]))
    assert not has_any(tmp_path / "text", "id", pa.array(["c", "A"]))


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
