"""Statistics of a partition: one pass over its parts tells what the SQL that defines it does."""

from __future__ import annotations

import datetime as dt
import json
import math
from fractions import Fraction
from itertools import chain, pairwise
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statistics_in_sql import statistics_in_sql
from test_lists import EXAMPLES

from daedalus.sql.duck import Duck
from daedalus.statistics import counts
from daedalus.statistics import partition as statistics
from daedalus.statistics.histogram import distance, histogram, merged
from daedalus.statistics.partition import partition_statistics

INTEGERS = {pa.int8(): 7, pa.int16(): 15, pa.int32(): 31, pa.int64(): 63}
UNSIGNED = {pa.uint8(): 8, pa.uint32(): 32, pa.uint64(): 64}
TIMES = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
ODD = st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5, -2.25])
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
BIG = st.sampled_from([2**53, 2**53 + 1, 2**53 + 2, 2**62 + 1, -(2**62)])
KINDS: dict[pa.DataType, st.SearchStrategy] = {
    **{kind: st.integers(-(2**bits), 2**bits - 1) | st.integers(-3, 3) for kind, bits in INTEGERS.items()},
    **{kind: st.integers(0, 2**bits - 1) | st.integers(0, 3) for kind, bits in UNSIGNED.items()},
    pa.int64(): BIG | st.integers(-3, 3),
    pa.float16(): ODD,
    pa.float32(): ODD | st.floats(width=32),
    pa.float64(): ODD | st.floats(-1e300, 1e300),
    pa.decimal128(9, 2): st.decimals(-1000, 1000, places=2),
    pa.decimal128(30, 4): st.decimals(-1000, 1000, places=4),
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS | st.sampled_from(["a", "b", "", "é" * 70, "'\"", "\N{GRINNING FACE}" * 61]),
    pa.large_string(): TEXTS,
    pa.timestamp("us"): TIMES,
    pa.timestamp("ms"): TIMES.map(lambda time: time.replace(microsecond=0)),
    pa.timestamp("ns"): TIMES,
    pa.timestamp("us", "UTC"): TIMES.map(lambda time: time.replace(tzinfo=dt.UTC)),
    pa.date32(): TIMES.map(dt.datetime.date),
    pa.list_(pa.int64()): st.lists(st.none() | st.integers(0, 9), max_size=5),
    pa.large_list(pa.string()): st.lists(TEXTS, max_size=2),
    pa.list_(pa.float32(), 2): st.lists(st.floats(width=32), min_size=2, max_size=2),
    pa.list_(pa.list_(pa.int32())): st.lists(st.none() | st.lists(st.integers(0, 3), max_size=2), max_size=3),
    pa.binary(): st.binary(max_size=3),
    pa.struct([("a", pa.int32()), ("b", pa.list_(pa.string()))]): st.fixed_dictionaries(
        {"a": st.none() | st.integers(0, 9), "b": st.none() | st.lists(TEXTS, max_size=2)}
    ),
    pa.map_(pa.string(), pa.int32()): st.dictionaries(TEXTS, st.integers(0, 9), max_size=2).map(lambda d: [*d.items()]),
    pa.uuid(): st.uuids().map(lambda value: UUID(int=value.int & 3).bytes),
    pa.time64("us"): TIMES.map(dt.datetime.time),
}  # fmt: skip
NAMES = ["v", 'v" , n', "v.list", "p", "gone", "ünder.v"]


@st.composite
def tables(draw) -> pa.Table:
    """A few columns of any types, with names that a statement or a path in a file may trip over."""
    rows = draw(st.integers(0, 12) | st.integers(13, 60))
    columns = {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from([*KINDS]))
        few = draw(st.lists(KINDS[kind], min_size=1, max_size=8))
        of = draw(st.sampled_from([st.none(), st.sampled_from(few), st.none() | st.sampled_from(few)]))
        values = draw(st.lists(of, min_size=rows, max_size=rows))
        columns[name] = pa.array(values, kind)
    return pa.table(columns)


@pytest.fixture(scope="module")
def duck():
    made = Duck({})
    yield made
    made.close()


@settings(max_examples=EXAMPLES, deadline=None)
@given(table=tables(), data=st.data())
def test_one_pass_tells_what_the_sql_tells(table, data, duck, tmp_path_factory):
    folder, cuts = tmp_path_factory.mktemp("parts"), data.draw(st.lists(st.integers(0, table.num_rows), max_size=2))
    ends = [0, *sorted(cuts), table.num_rows]
    parts = [folder / f"part-0-{i}.parquet" for i in range(len(ends) - 1)]
    for part, begin, end in zip(parts, ends, ends[1:], strict=False):
        pq.write_table(table.slice(begin, end - begin), part, row_group_size=data.draw(st.integers(1, 30)))
    at_once, least = data.draw(st.sampled_from([(1 << 20, 1 << 16), (10, 1), (1, 4)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "_AT_ONCE", at_once)
        patch.setattr(counts, "_LEAST", least)
        found = partition_statistics(parts)
    json.dumps(found, allow_nan=False)
    expected = statistics_in_sql(duck, parts)
    assert found["rows"] == expected["rows"] == table.num_rows
    for column, by_sql in zip(found["columns"], expected["columns"], strict=True):
        if (histogram := column.pop("histogram", None)) is not None:
            values = table[column["name"]].drop_null().to_pylist()
            check_histogram(histogram, [len(v) if column["kind"] == "list" else float(v) for v in values])
        assert column.keys() == by_sql.keys()
        for measure, value in by_sql.items():
            assert column[measure] == same(value, measure, table[column["name"]]), (column, by_sql)


def edges(found: dict) -> list[float]:
    """Where its bins begin, and where the last one ends."""
    places = [(found["first"] + i) * Fraction(2) ** found["exponent"] for i in range(len(found["counts"]) + 1)]
    return [float(place) if place < Fraction(2) ** 1024 else math.inf for place in places]


def check_histogram(found: dict, values: list) -> None:
    """Each bin has the finite values that lie in it; few lie in none, and bins are not many."""
    values = [value for value in values if math.isfinite(value)]
    bounds = edges(found)
    counts = [sum(low <= v < high for v in values) for low, high in pairwise(bounds)]
    assert (found["counts"], found["below"], found["above"]) == (
        counts, sum(v < bounds[0] for v in values), sum(v >= bounds[-1] for v in values))  # fmt: skip
    assert len(counts) <= 25 and counts[0] and counts[-1] and max(found["below"], found["above"]) <= len(values) / 100


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_histograms_of_days_add_up_and_tell_how_far_days_are_apart(data):
    numbers = st.integers(-40, 40).map(float) | st.floats(-1e9, 1e9) | st.sampled_from([0.0, 1e300, -1e-300, 1.7e308])
    days = data.draw(st.lists(st.lists(numbers, max_size=30), min_size=2, max_size=4))
    made = [histogram(*as_counted(day), whole=False) for day in days]
    for day, one in zip(days, made, strict=True):
        if day:
            check_histogram(one, day)
            assert distance(one, one) == 0
    whole = merged(made)
    if not any(days):
        assert whole is None
        return
    values = list(chain.from_iterable(days))
    assert [sum(low <= v < high for v in values) for low, high in pairwise(edges(whole))] == whole["counts"]
    assert len(whole["counts"]) <= 25
    assert whole["below"] == whole["above"] == 0  # less than a hundred values have no hundredth
    far = distance(made[0], made[1])
    assert (far is None) == (not days[0] or not days[1]) and (far is None or 0 <= far <= 1 + 1e-9)


def as_counted(values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    distinct, counts = np.unique(np.array(values), return_counts=True)
    return distinct, counts.cumsum()


def test_values_far_out_need_no_bins():
    found = histogram(np.array([0.0, *range(10, 20), 1e12]), np.cumsum([1, *[30] * 10, 1]), whole=True)
    assert (found["below"], found["above"], len(found["counts"])) == (1, 1, 10)
    apart = histogram(np.array([5.0]), np.array([9]), whole=True)
    assert distance(found, apart) == pytest.approx(1, abs=1e-9) and apart["counts"] == [9]


def same(value, measure: str, column: pa.ChunkedArray):
    """What equals the SQL's value: itself, but for the order of a sum, decimals in two divisions, and nanoseconds."""
    if value is None or not isinstance(value, float):
        return value
    if measure == "mean":
        size = max(
            (abs(v) for v in column.drop_null().to_pylist() if isinstance(v, float) and math.isfinite(v)), default=0
        )
        return pytest.approx(value, rel=1e-12, abs=size * 1e-12)
    if pa.types.is_decimal(column.type):
        return pytest.approx(value, rel=1e-15)
    return pytest.approx(value, abs=1e-6) if column.type == pa.timestamp("ns") else value


def test_a_sum_beyond_all_numbers_has_a_mean(tmp_path):
    pq.write_table(
        pa.table({"v": [1.7e308, 1.7e308, 1.6e308, -1.0], "w": [-1.7e308] * 4}), tmp_path / "part-0-0.parquet"
    )
    v, w = partition_statistics([tmp_path / "part-0-0.parquet"])["columns"]
    assert v["mean"] == pytest.approx(1.25e308) and w["mean"] == -1.7e308


def test_a_large_partition_is_read_a_column_at_a_time_and_a_part_of_it(tmp_path, monkeypatch):
    """Of many rows, and of long lists, never more values at once than a bound."""
    lists = pa.array([[1] * (i % 40) for i in range(1000)], pa.list_(pa.int64()))
    table = pa.table({"n": range(1000), "lists": lists, "text": list("abcd") * 250})
    pq.write_table(table, tmp_path / "part-0-0.parquet")
    whole = partition_statistics([tmp_path / "part-0-0.parquet"])
    sizes, add = [], statistics._Column.add

    def seen(column, array):
        sizes.append(len(array.flatten()) if pa.types.is_list(array.type) else len(array))
        add(column, array)

    monkeypatch.setattr(statistics._Column, "add", seen)
    monkeypatch.setattr(statistics, "_AT_ONCE", 100)
    assert partition_statistics([tmp_path / "part-0-0.parquet"]) == whole
    assert len(sizes) > 100 and max(sizes) <= 200
