"""Which keys a change of a table touches: all whose rows would be written otherwise, and no others."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daedalus.actions.unaffected import changed_keys
from daedalus.sql.duck import Bindings, Duck

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
    return sorted(found["key"].to_pylist())


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
