"""The kinds that measure: what is compiled equals the SQL, and both equal plain Python with exact fractions."""

from __future__ import annotations

import datetime as dt
import math
import os
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from reference import _aggregated, micros

import daedalus
from daedalus.audit.reference_measures import About
from daedalus.base.errors import DaedalusError, DayError
from daedalus.config.aggregation_kinds import KINDS, Measure
from daedalus.parquet import writer as parquet
from daedalus.sql.column_types import type_name
from daedalus.sql.duck import Bindings, Duck
from daedalus.tables.held import HELD
from daedalus.windows import pit_table
from daedalus.windows import roll as reader
from daedalus.windows.kinds.kind import kind_of
from daedalus.windows.measured import measure
from daedalus.windows.measured_sql import measured_sql
from daedalus.windows.spec import Measured

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "45"))
HOUR = 3_600_000_000
MEASURES = [agg for agg, kind in KINDS.items() if isinstance(kind, Measure)]
WHOLE = st.integers(-3, 3) | st.sampled_from([2**62, -(2**62), 2**63 - 1])
FLOATS = st.sampled_from([0.1, -0.5, 1e16, 3.0, 0.0, -0.0, 1e-300, 1e308, -1e308, math.nan, math.inf, -math.inf])
SPECIAL = [math.nan, math.inf, -math.inf, 1e308, -1e308]
DATES = st.dates(dt.date(2026, 1, 1), dt.date(2026, 1, 3))
VALUES = {
    "artwork": (pa.int64(), st.integers(1, 4)),
    "whole": (pa.int64(), WHOLE),
    "tiny": (pa.int8(), st.integers(-3, 3)),
    "unsigned": (pa.uint64(), st.integers(0, 3) | st.just(2**64 - 1)),
    "float": (pa.float64(), FLOATS),
    "single": (pa.float32(), st.sampled_from([0.5, -1.0, 0.0, -0.0, math.nan])),
    "decimal": (pa.decimal128(9, 2), st.sampled_from([Decimal("0.10"), Decimal("-7.25"), Decimal("3.00")])),
    "text": (pa.string(), st.sampled_from(["a", "b", "", "é", "\uffff", "\U0001f600"])),
    "date": (pa.date32(), DATES),
    "time": (pa.timestamp("us"), DATES.map(lambda day: dt.datetime.combine(day, dt.time(7)))),
    "truth": (pa.bool_(), st.booleans()),
}
NUMBERS = ["whole", "tiny", "unsigned", "float", "single", "decimal", "artwork"]


@st.composite
def cases(draw):
    """(spec, name of the type, rows (user, artwork, time), events (user, time, value, artwork) by day)."""
    agg = draw(st.sampled_from(MEASURES))
    rule = draw(st.sampled_from(["", "value", "event"]))
    name = "artwork" if rule == "value" else draw(
        st.sampled_from(NUMBERS if KINDS[agg].takes == "numbers" else sorted(VALUES)))  # fmt: skip
    spec = {"agg": agg, "windows": draw(st.sampled_from([["1h", "3h", "9h"], ["2h"], "cumulative"])), "rule": rule,
            "max_items": draw(st.sampled_from([None, 1, 2])) if agg == "top" else None}  # fmt: skip
    users, artworks = st.integers(1, 3), st.integers(1, 4)
    rows = draw(st.lists(st.tuples(users, artworks, st.integers(0, 24)), max_size=12))
    event = st.tuples(users, st.integers(0, 7), VALUES[name][1], artworks)
    pieces = [[(u, 8 * i + h, v, a if name != "artwork" else v) for u, h, v, a in draw(st.lists(event, max_size=14))]
              for i in range(3)]  # fmt: skip
    return spec, name, sorted((u, a, h) for u, a, h in rows), pieces


def by_hand(spec, rows, events, width):
    """What the specification says of one window, row by row."""
    found = []
    for user, artwork, hour in rows:
        seen = [(ts * HOUR, value) for u, ts, value, owner in events
                if u == user and ts < hour and (width is None or ts * HOUR >= hour * HOUR - width)
                and not (spec["rule"] and owner == artwork)]  # fmt: skip
        found.append(_aggregated(spec, seen, hour * HOUR))
    return found


def windows(spec):
    if spec["windows"] == "cumulative":
        return (("x", None),)
    return tuple((f"x_{window}", micros(window) // 1_000_000) for window in spec["windows"])


def measured(spec, kind):
    return Measured(kind=KINDS[spec["agg"]], agg=spec["agg"], windows=windows(spec), without_self=spec["rule"],
                    max_items=spec["max_items"], column="value", type=type_name(kind))  # fmt: skip


def written(folder, rows, pieces, kind):
    """The files of rows and of events, sorted as the steps sort them."""
    duck = Duck({"threads": 1})
    names = {"user_id": pa.int64(), "ts": pa.timestamp("us"), "value": kind, "artwork_id": pa.int64()}
    paths = [folder / f"{i}.parquet" for i in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        columns = zip(*[(u, h * HOUR, v, a) for u, h, v, a in piece], strict=True) if piece else [()] * 4
        made = [pa.array(list(column), pa.int64()).cast(one) if name == "ts" else pa.array(list(column), one)
                for column, (name, one) in zip(columns, names.items(), strict=True)]  # fmt: skip
        made = pa.table(dict(zip(names, made, strict=True)))
        made = made.take(duck_order(duck, made))
        pq.write_table(made, path, row_group_size=5)
    duck.close()
    columns = zip(*rows, strict=True) if rows else [()] * 3
    users, artworks, hours = [pa.array(list(column), pa.int64()) for column in columns]
    times = pa.array([h * HOUR for h in hours.to_pylist()], pa.int64()).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"user_id": users, "artwork_id": artworks, "event_timestamp": times}), folder / "rows")
    return folder / "rows", paths


def duck_order(duck, events):
    from daedalus.sql.text import Sql

    numbered = events.append_column("n", pa.array(range(len(events)), pa.int64()))
    return duck.table(Sql("SELECT n FROM e ORDER BY user_id, ts, value, artwork_id"), Bindings(tables={"e": numbered}))[
        "n"
    ].combine_chunks()


def same(want, got):
    if isinstance(want, About):
        return want == got
    if isinstance(want, list):
        return isinstance(got, list) and len(want) == len(got) and all(map(same, want, got))
    return want == got or (want != want and got != got)


@pytest.fixture(params=[4 << 30, 1], ids=["held", "streamed"], autouse=True)
def memory(request):
    HELD.limit(request.param, 1)
    yield
    HELD.limit(None, 1)


@given(case=cases())
@example(
    (
        {"agg": "sum", "windows": ["1h", "3h", "9h"], "rule": "", "max_items": None},
        "float",
        [(1, 1, 1)],
        [[(1, 0, 1e308, 1), (1, 0, 1e308, 1)], [], []],
    )
)  # a sum that no float holds
@settings(max_examples=3 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_compiled_equals_sql_and_plain_python(tmp_path_factory, case):
    spec, name, rows, pieces = case
    kind, folder = VALUES[name][0], tmp_path_factory.mktemp("measures")
    rows_file, paths = written(folder, rows, pieces, kind)
    what = measured(spec, kind)
    found, found_kind = folder / "out", kind_of(what)
    events = [event for piece in pieces for event in piece]
    expected = {out: by_hand(spec, rows, events, width and width * 1_000_000) for out, width in what.windows}
    wholes = [value for column in expected.values() for value in column if isinstance(value, int)]
    if spec["agg"] == "sum" and any(not -(2**63) <= value < 2**63 for value in wholes):
        with pytest.raises(DayError, match=r"a sum of value that BIGINT does not hold.* for user \d"):
            measure(what, what.kind.gives, found_kind.reads, found_kind.compute, rows_file, paths, found)
        return
    measure(what, what.kind.gives, found_kind.reads, found_kind.compute, rows_file, paths, found)
    table = pq.read_table(found)
    assert table.column_names == list(expected)
    for out, column in expected.items():
        got = table[out].to_pylist()
        assert len(got) == len(column) and all(map(same, column, got)), (out, column, got)
    if spec["agg"] in ("sum", "mean", "std") and any(v in SPECIAL or v != v or abs(v) > 2**60 for _, _, v, _ in events):
        return  # DuckDB's own sums are not of the order or of the width that these need
    duck = Duck({"threads": 1})
    sql = duck.table(measured_sql(what), Bindings({"rows": [rows_file], "events": paths}))
    duck.close()
    for out in expected:
        for ours, theirs in zip(table[out].to_pylist(), sql[out].to_pylist(), strict=True):
            near = isinstance(ours, float) and isinstance(theirs, float) and math.isclose(
                ours, theirs, rel_tol=1e-9, abs_tol=1e-6)  # fmt: skip
            assert near or same(ours, theirs), (out, ours, theirs)


@pytest.mark.parametrize("agg", ["sum", "mean", "std"])
def test_the_same_bits_however_the_work_is_cut(tmp_path, monkeypatch, agg):
    """What left a window leaves nothing behind: neither its rounding nor its NaN."""
    values = [1e17, math.nan, 0.1, 0.7, 1e-9, 0.3, 0.2, 1e3]
    rows, pieces = [(1, 9, hour) for hour in range(1, 10)], [[(1, h, v, 5)] for h, v in enumerate(values)]
    spec = {"agg": agg, "windows": ["3h"], "rule": "", "max_items": None}
    rows_file, paths = written(tmp_path, rows, pieces, pa.float64())
    what = measured(spec, pa.float64())
    outs = []
    for first, cut in ((0, 24_576), (0, 1), (3, 2)):  # also without the oldest events, which the last rows do not see
        for module in (reader, parquet):
            monkeypatch.setattr(module, "ROWS_PER_GROUP", cut)
        found = kind_of(what)
        measure(what, what.kind.gives, found.reads, found.compute, rows_file, paths[first:], tmp_path / "out")
        outs.append([None if v is None else v.hex() for v in pq.read_table(tmp_path / "out")["x_3h"].to_pylist()])
    assert outs[0] == outs[1] and outs[0][-4:] == outs[2][-4:]
    assert outs[0][-1] not in ("nan", None)


maybe = st.none() | st.integers(1, 3)
row_lists = st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(0, 60)), max_size=8)
event_lists = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 60), maybe, st.integers(1, 3), st.sampled_from(["like", "view"])),
    max_size=20,
)  # fmt: skip


@given(row_lists, event_lists, st.sampled_from(MEASURES), st.booleans(), st.sampled_from(["artwork_id", "v"]),
       st.sampled_from([["1d"], ["2d", "6h"], "cumulative"]))  # fmt: skip
@example([(1, 1, 5)], [(1, 4, 2, 1, "like")], "mean", True, "v", "cumulative")
@settings(max_examples=EXAMPLES, deadline=None)
def test_both_engines_equal_the_specification(rows, events, agg, own, column, spans):
    spec = {"name": "x", "events": ["like"], "column": column, "agg": agg, "windows": spans, "exclude_self": own}
    hours = [pa.array([h * HOUR for h in hs], pa.int64()).cast(pa.timestamp("us"))
             for hs in ([r[2] for r in rows], [e[1] for e in events])]  # fmt: skip
    spine = pa.table({"user_id": pa.array([r[0] for r in rows], pa.int64()), "event_timestamp": hours[0],
                      "artwork_id": pa.array([r[1] for r in rows], pa.int64())})  # fmt: skip
    history = pa.table({"user_id": pa.array([e[0] for e in events], pa.int64()), "event_timestamp": hours[1],
                        "artwork_id": pa.array([e[3] for e in events], pa.int64()), "event": [e[4] for e in events],
                        "v": pa.array([e[2] for e in events], pa.int64())})  # fmt: skip
    tables = [daedalus.aggregate_pit_table(spine, history, [spec], engine=one) for one in ("duckdb", "polars")]
    assert tables[0].schema == tables[1].schema and tables[0].equals(tables[1])
    kept = [(u, h, a if column == "artwork_id" else v, a) for u, h, v, a, e in events if e == "like"]
    seen = {**spec, "rule": own, "max_items": None}
    for out, width in windows(spec):
        want = by_hand(seen, rows, [e for e in kept if e[2] is not None], width and width * 1_000_000)
        assert all(map(same, want, tables[0][out].to_pylist())), (want, tables[0][out])


@pytest.mark.parametrize("engine", ["duckdb", "polars"])
def test_nested_values_have_no_order_but_can_be_told_apart(engine):
    day = [dt.datetime(2026, 5, 2)]
    spine = pa.table({"user_id": [1], "artwork_id": [5], "event_timestamp": pa.array(day, pa.timestamp("us"))})
    hours = pa.array([dt.datetime(2026, 5, 1, h) for h in range(3)], pa.timestamp("us"))
    events = pa.table({"user_id": [1] * 3, "artwork_id": [5] * 3, "event_timestamp": hours, "event": ["like"] * 3,
                       "v": [[2], [1], [2]]})  # fmt: skip
    spec = {"name": "x", "events": ["like"], "column": "v", "windows": "cumulative"}
    for agg, value in (("last", [2]), ("first", [2]), ("count_distinct", 2), ("top", [[2], [1]]),
                       ("since_last", 22 * 3600)):  # fmt: skip
        assert (
            daedalus.aggregate_pit_table(spine, events, [{**spec, "agg": agg}], engine=engine)["x"][0].as_py() == value
        )
    for agg, said in (("min", "values that have an order"), ("max", "values that have an order"), ("sum", "numbers"),
                      ("mean", "numbers"), ("std", "numbers")):  # fmt: skip
        with pytest.raises(DaedalusError, match=rf"agg: {agg} takes {said}.*v: BIGINT\[\]"):
            daedalus.aggregate_pit_table(spine, events, [{**spec, "agg": agg}], engine=engine)


def test_what_a_measure_refuses_in_tables():
    spine = pa.table({"user_id": [1], "artwork_id": [5], "event_timestamp": pa.array([5], pa.timestamp("us"))})
    events = spine.append_column("event", pa.array(["like"]))
    spec = {"name": "x", "events": ["like"], "column": "event", "windows": ["1d"]}
    for more, named in (({"agg": "sum"}, "event: VARCHAR"), ({"agg": "last", "max_items": 2}, r"specs\[0\].max_items")):
        with pytest.raises(DaedalusError, match=named):
            daedalus.aggregate_pit_table(spine, events, [{**spec, **more}])


def test_the_examples_of_each_kind_run():
    import doctest

    found = doctest.DocTestFinder().find(pit_table.aggregate_pit_table, "aggregate_pit_table", pit_table)
    (test,) = [one for one in found if one.examples]
    runner = doctest.DocTestRunner()
    assert runner.run(test).failed == 0
    assert all(f'"{agg}"' in test.docstring or f"'{agg}'" in test.docstring for agg in KINDS)
