"""Lists encoded by hand read as what they are, by every reader, and their bytes follow from them alone."""

from __future__ import annotations

import datetime as dt
import os
from itertools import pairwise

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lists_file import write_lists

from daedalus.parquet import list_writer as writer
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.list_reader import read_chunk
from daedalus.parquet.list_writer import Lists, numbered
from daedalus.parquet.splice import Spliced
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.windows.windows_file import WindowsFile, write_windows

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
NOON = dt.datetime(2026, 5, 1, 12)
KINDS = {
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "double": (pa.float64(), st.floats(allow_nan=False)),
    "float": (pa.float32(), st.floats(allow_nan=False, width=32)),
    "string": (pa.string(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)),
    "date": (pa.date32(), st.dates()),
    "timestamp": (pa.timestamp("us"), st.integers(0, 9).map(lambda hours: NOON + dt.timedelta(hours=hours))),
    "boolean": (pa.bool_(), st.booleans()),
    "int16": (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
}


@st.composite
def tables(draw):
    """(schema, row groups, each as (distinct values, rows); a row is (positions in the values, its sizes))."""
    kind, values = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    columns = draw(st.integers(1, 3))
    groups = []
    for _ in range(draw(st.integers(0, 3))):
        known = draw(st.lists(values, max_size=12, unique_by=repr))
        longest = st.lists(st.integers(0, len(known) - 1), max_size=20) if known else st.just([])
        rows = []
        for _ in range(draw(st.integers(1, 20))):
            codes = draw(longest)
            shorter = st.integers(0, len(codes))
            rows.append((codes, [*sorted(draw(shorter) for _ in range(columns - 1)), len(codes)]))
        groups.append((known, rows))
    schema = pa.schema([(f"c{i}", pa.list_(pa.field("element", kind))) for i in range(columns)])
    return schema, groups


def as_lists(kind, known, rows, rng=None):
    """What the writer takes; with `rng`, values, places of lists and what no list has are drawn anew."""
    order, places = np.arange(len(known)), np.arange(len(rows))
    if rng is not None:
        order, places = rng.permutation(order), rng.permutation(places)
    values = pa.array([known[i] for i in order], kind)
    number = np.argsort(order)
    begins, codes = np.zeros(len(rows), np.int64), []
    for row in places:
        begins[row] = len(codes)
        codes += [number[code] for code in rows[row][0]]
    return Lists(np.array(codes, np.int32), begins, np.array([sizes for _, sizes in rows], np.int64), values)


def in_pieces(kind, known, rows, rng):
    """The same in up to three pieces, each with values of its own."""
    cuts = [0, *sorted(rng.integers(0, len(rows), 2)), len(rows)]
    return [as_lists(kind, known, rows[begin:end], rng) for begin, end in pairwise(cuts) if begin < end]


def read(path):
    """The columns by name, by each reader."""
    with duckdb.connect() as db:
        yield "duckdb", db.sql(f"SELECT * FROM read_parquet('{path}')").to_arrow_table().to_pydict()
    yield "polars", pl.read_parquet(path).to_dict(as_series=False)
    yield "pyarrow", pq.read_table(path).to_pydict()


@given(
    table=tables(), values_a_page=st.sampled_from([1, 7, 1 << 22]), numbered_at_most=st.sampled_from([3, 1 << 24]),
    seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=EXAMPLES, deadline=None)
def test_every_reader_sees_the_lists(tmp_path_factory, table, values_a_page, numbered_at_most, seed):
    schema, groups = table
    kind, folder = schema.field(0).type.value_type, tmp_path_factory.mktemp("lists")
    expected = {
        name: [[known[code] for code in codes[: sizes[column]]] for known, rows in groups for codes, sizes in rows]
        for column, name in enumerate(schema.names)
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_PAGE_VALUES", values_a_page)
        patch.setattr(writer, "_MOST_NUMBERED", numbered_at_most)
        rows = write_lists(folder / "a", schema, (numbered([as_lists(kind, *group)]) for group in groups))
        rng = np.random.default_rng(seed)
        write_lists(folder / "b", schema, (numbered(in_pieces(kind, *group, rng)) for group in groups))
    for reader, found in read(folder / "a"):
        assert found == expected, reader
    assert rows == len(expected["c0"])
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()
    whole = pq.read_table(folder / "a")
    write_parquet(folder / "pyarrow", whole.schema, [whole])
    assert pq.ParquetFile(folder / "a").schema.equals(pq.ParquetFile(folder / "pyarrow").schema)


def test_zeros_of_both_signs_are_two_values_in_one_order(tmp_path):
    schema = pa.schema([("a", pa.list_(pa.field("element", pa.float64())))])
    for name, known, codes in (("one", [0.0, -0.0], [0, 1]), ("other", [-0.0, 0.0], [1, 0])):
        write_lists(tmp_path / name, schema, [numbered([as_lists(pa.float64(), known, [(codes, [2])])])])
    assert repr(pq.read_table(tmp_path / "one").to_pydict()) == repr({"a": [[0.0, -0.0]]})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_values_that_no_list_has_are_not_written(tmp_path):
    schema = pa.schema([("a", pa.list_(pa.field("element", pa.int64())))])
    rows = [([1, 1], [2]), ([], [0])]
    write_lists(tmp_path / "few", schema, [numbered([as_lists(pa.int64(), [5, 6], rows)])])
    write_lists(tmp_path / "many", schema, [numbered([as_lists(pa.int64(), [5, 6, 7, 1], rows)])])
    assert (tmp_path / "few").read_bytes() == (tmp_path / "many").read_bytes()


@pytest.mark.parametrize("count", [1 << 16, (1 << 16) + 1])
def test_more_values_than_16_bits_tell_apart(tmp_path, count):
    values = pa.array(range(count))
    numbers, sizes = np.arange(count, dtype=np.int32), np.array([[1, count - 1], [0, 1]])
    schema = pa.schema([(name, pa.list_(pa.field("element", pa.int64()))) for name in "ab"])
    write_lists(tmp_path / "out", schema, [numbered([Lists(numbers, np.array([0, count - 1]), sizes, values)])])
    for reader, found in read(tmp_path / "out"):
        assert found == {"a": [[0], []], "b": [list(range(count - 1)), [count - 1]]}, reader


@pytest.mark.parametrize("count", [5, (1 << 16) + 1])
@pytest.mark.parametrize("most", [4, 1 << 24])
def test_lists_are_read_back_as_numbers(tmp_path, monkeypatch, count, most):
    """Of 16 and 24 bits; and plain values, where more than 24 bits would be needed."""
    monkeypatch.setattr(writer, "_MOST_NUMBERED", most)
    schema = pa.schema([(name, pa.list_(pa.field("element", pa.float64()))) for name in "ab"])
    values = pa.array([-0.0, 0.0, float("nan"), *range(3, count)], pa.float64())
    codes, begins = np.arange(count, dtype=np.int32), np.array([0, count - 1])
    sizes = np.array([[1, count - 1], [0, 1]])
    write_windows(tmp_path / "out", schema, [Lists(codes, begins, sizes, values)])
    with WindowsFile(tmp_path / "out") as file:
        found = file.group(0)
    assert found.sizes.tolist() == sizes.tolist() and found.begins.tolist() == begins.tolist()
    assert repr(found.values.take(pa.array(found.codes)).to_pylist()) == repr(values.to_pylist())


def test_numbers_of_32_bits_are_read_though_none_are_written():
    """A column chunk as daedalus 0.2 wrote it: caches hold such."""
    data = bytes.fromhex(
        "15041530153a4c15061500000028b52ffd2018a5000060070008000900000000000000020060e00160011500157015622c150c1510150615"
        "06000028b52ffd2038450100e80800000002000201040004010600000004030201060320030000000001030039042b03fa6b3a01"
    )
    codes, values, page = read_chunk(data, pa.int64(), np.array([2, 0, 3]))
    assert (codes.tolist(), values.to_pylist()) == ([0, 1, 2, 1, 0], [7, 8, 9]) and data.startswith(page)


def test_a_part_of_a_row_group_is_cut_out(tmp_path):
    count = ROWS_PER_GROUP + 1000
    rows = [([i % 3, i % 5, 6][: i % 4], [i % 4 // 2, i % 4]) for i in range(count)]
    known = [10, 20, 30, 40, 50, 60, 70]
    schema = pa.schema([(name, pa.list_(pa.field("element", pa.int64()))) for name in "ab"])
    groups = (as_lists(pa.int64(), known, rows[at : at + ROWS_PER_GROUP]) for at in (0, ROWS_PER_GROUP))
    write_lists(tmp_path / "whole", schema, groups)
    begin, end = 5, ROWS_PER_GROUP + 900
    with Spliced([("b", "it"), ("a", "it")], {"it": tmp_path / "whole"}) as whole:
        whole.write(tmp_path / "part", begin, end)
    for reader, found in read(tmp_path / "part"):
        assert found["a"] == [[known[c] for c in codes[: sizes[0]]] for codes, sizes in rows[begin:end]], reader
        assert found["b"] == [[known[c] for c in codes] for codes, _ in rows[begin:end]], reader
