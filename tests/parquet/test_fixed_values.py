"""Values of one length are read by every reader, and by us by their position."""

from __future__ import annotations

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from daedalus.parquet.columns import fixed_values as module
from daedalus.parquet.columns.fixed_values import FixedValues, fixed_values, form
from daedalus.parquet.footer import Assembled, joined, texts


def write(path, width, groups):
    """Writes row groups of (which rows have a value, arrays of values)."""
    with path.open("wb") as out:
        file = Assembled(out, joined([("v", form("v", width))]) | texts({"one": "1", "two": "zwei"}))
        for has, values in groups:
            file.add([fixed_values("v", width, has, values)], len(has))
        file.finish()


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 300, 5000])
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_every_reader_has_the_values(tmp_path, rows, share):
    random, groups, expected = np.random.default_rng(rows), [], []
    for _ in range(2):
        has = random.random(rows) < share
        values = random.integers(0, 1 << 16, (int(has.sum()), 3)).astype(np.uint16)
        groups.append((has, [values[:2], values[2:2], values[2:]]))
        rest = iter(values)
        expected += [next(rest).tobytes() if one else None for one in has]
    path = tmp_path / "file.parquet"
    write(path, 6, groups)
    assert pq.read_table(path)["v"].to_pylist() == expected
    assert [value for (value,) in duckdb.sql(f"FROM read_parquet('{path}')").fetchall()] == expected
    assert pl.read_parquet(path)["v"].to_list() == expected
    footer = pq.read_metadata(path)
    assert footer.metadata == {b"one": b"1", b"two": b"zwei"}
    with path.open("rb", buffering=0) as file:
        found = FixedValues(file, footer, 0, 6)
        for group, (has, values) in enumerate(groups):
            whole = np.concatenate(values)
            begin, into = found.begin(group, int(has.sum())), np.empty_like(whole)
            found.read(into, begin)
            assert into.tolist() == whole.tolist()
            for row in range(0, len(whole), 7):
                found.read(into[0], begin + 6 * row)
                assert into[0].tolist() == whole[row].tolist()


def test_a_group_without_rows_and_a_file_that_ends_early(tmp_path):
    path = tmp_path / "file.parquet"
    none, some = np.empty((0, 1), np.uint32), np.array([[5]], np.uint32)
    write(path, 4, [(np.ones(0, np.bool_), [none]), (np.ones(1, np.bool_), [some]), (np.zeros(0, np.bool_), [])])
    assert pq.read_table(path)["v"].to_pylist() == [some.tobytes()]
    with path.open("rb", buffering=0) as file, pytest.raises(EOFError, match="ends before its values do"):
        FixedValues(file, pq.read_metadata(path), 0, 4).read(np.empty(9, np.uint32), path.stat().st_size - 4)


def test_values_that_are_not_those_of_the_rows_are_refused(tmp_path, monkeypatch):
    two = np.zeros((2, 2), np.uint32)
    for has in ([True], [True, True, True]):
        with pytest.raises(ValueError, match="values of 8 bytes"):
            fixed_values("v", 8, np.array(has), [two])
    monkeypatch.setattr(module, "_MOST", 20)
    with pytest.raises(ValueError, match="2 values of 8 bytes in a page"):
        fixed_values("v", 8, np.ones(2, np.bool_), [two])
