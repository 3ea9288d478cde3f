"""`key` and `match`: rows see the events that have their own values of some columns, whoever did them."""

from __future__ import annotations

import datetime as dt
import math
import operator
import os
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import _aggregated

import daedalus
from daedalus.base.errors import DaedalusError, DayError
from daedalus.config.aggregation_kinds import KINDS, Measure
from daedalus.parquet import writer as parquet
from daedalus.sql.duck import Bindings, Duck
from daedalus.tables.held import HELD
from daedalus.windows import by_key, put_back, roll
from daedalus.windows.by_key import Keyed, measure_by_key, roll_by_key
from daedalus.windows.kinds.kind import kind_of
from daedalus.windows.measured_sql import measured_sql
from daedalus.windows.rolling_sql import rolling_sql
from daedalus.windows.spec import Measured, Rolling
from daedalus.windows.windows_file import ITEMS

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "15"))
START = dt.datetime(2026, 5, 1)
HOUR = 3600
INF = float("inf")
KEYS = [  # three of each type that keys may have, ascending
    (pa.int64(), [-(1 << 63), 0, (1 << 63) - 1]), (pa.int32(), [-4, 7, 9]),
    (pa.string(), ["a", "\uffff", "\U00010000"]),
    (pa.float64(), [-1.5, 0.0, float("nan")]), (pa.float32(), [-INF, 0.5, INF]), (pa.bool_(), [False, True, True]),
    (pa.decimal128(30, 2), [Decimal("-1.50"), Decimal(0), Decimal("1E27")]),
    (pa.date32(), [dt.date(1, 1, 1), dt.date(2026, 5, 1), dt.date(2026, 5, 2)]),
]  # fmt: skip


@pytest.fixture(params=[4 << 30, 1], ids=["held", "streamed"], autouse=True)
def memory(request):
    """Files are read as a whole and held, or in pieces as they are needed; results wait in memory, or in files."""
    HELD.limit(request.param, 1)
    yield
    HELD.limit(None, 1)


@pytest.fixture(params=[24_576, 3], ids=["one", "many"])
def cuts(request, monkeypatch):
    for module in (roll, put_back, by_key, parquet):
        monkeypatch.setattr(module, "ROWS_PER_GROUP", request.param)


@pytest.fixture(scope="module")
def duck():
    duck = Duck({"threads": 1})
    yield duck
    duck.close()


@st.composite
def cases(draw):
    """A rolling by one or two keys, rows, and pieces of events whose times follow one another."""
    agg = draw(st.sampled_from(sorted(KINDS)))
    rule = draw(st.sampled_from(["", "value", "event"]))
    spans = draw(st.sampled_from([(HOUR, 3 * HOUR, 9 * HOUR), (2 * HOUR,), (None,)]))
    listed = KINDS[agg].listed
    limit = draw(st.sampled_from([None, 1, 2, 4])) if listed else None
    kinds = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2))
    windows, groups = tuple((f"w{i}", span) for i, span in enumerate(spans)), ("key", "match")[: len(kinds)]
    if isinstance(kind := KINDS[agg], Measure):
        rolling = Measured(kind=kind, windows=windows, without_self=rule, max_items=limit, groups=groups, agg=agg,
                           column="value", type="BIGINT")  # fmt: skip
    else:
        rolling = Rolling(kind, windows, rule, limit, groups)
    key, ids = st.tuples(*[st.integers(0, 2)] * len(kinds)), st.integers(1, 4)
    pieces = []
    for i in range(3):
        found = draw(st.lists(st.tuples(key, st.integers(0, 7), st.integers(1, 4), ids), max_size=20))
        found.sort(key=lambda e: (*(kind[1].index(kind[1][k]) for kind, k in zip(kinds, e[0], strict=True)), *e[1:]))
        pieces.append([(*named(kinds, e[0]), START + dt.timedelta(hours=8 * i + e[1]), *e[2:]) for e in found])
    rows = draw(st.lists(st.tuples(st.none() | key, ids, st.integers(0, 24)), max_size=20))
    return rolling, kinds, rows, pieces


def named(kinds: list, key: tuple) -> list:
    return [kind[1][k] for kind, k in zip(kinds, key, strict=True)]


def table(names: dict[str, pa.DataType], rows: list[tuple]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table({n: pa.array(list(c), k) for (n, k), c in zip(names.items(), columns, strict=True)})


def written(folder, rolling, kinds, rows, pieces):
    """The files of rows, of rows by their keys, and of events."""
    time = pa.timestamp("us")
    groups = dict(zip(rolling.groups, (kind for kind, _ in kinds), strict=True))
    paths = [folder / f"{i}.parquet" for i in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        of_event = {**groups, "ts": time, "value": pa.int64(), "artwork_id": pa.int64()}
        pq.write_table(table(of_event, piece), path, row_group_size=7, write_statistics=False)
    times = [START + dt.timedelta(hours=h) for _, _, h in rows]
    every = [(1, a, t) for (_, a, _), t in zip(rows, times, strict=True)]
    pq.write_table(table({"user_id": pa.int64(), "artwork_id": pa.int64(), "event_timestamp": time}, every),
                   folder / "rows.parquet")  # fmt: skip
    order = {i: [kind[1].index(v) if v == v else 2 for kind, v in zip(kinds, named(kinds, k), strict=True)]
             for i, (k, _, _) in enumerate(rows) if k is not None}  # fmt: skip
    keyed = [(*named(kinds, rows[i][0]), times[i], rows[i][1], i) for i in sorted(order, key=lambda i: (order[i], i))]
    of_row = {**groups, "event_timestamp": time, "artwork_id": pa.int64(), "place": pa.int64()}
    pq.write_table(table(of_row, keyed), folder / "keys.parquet", row_group_size=5, write_statistics=False)
    return Keyed(folder / "rows.parquet", folder / "keys.parquet"), paths


@given(case=cases())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_compiled_gives_what_the_sql_gives(duck, cuts, tmp_path_factory, case):
    rolling, kinds, rows, pieces = case
    folder = tmp_path_factory.mktemp("keys")
    keyed, paths = written(folder, rolling, kinds, rows, pieces)
    out = folder / "out.parquet"
    bindings = Bindings({"rows": [keyed.rows], "row_keys": [keyed.keys], "events": paths})
    if isinstance(rolling, Measured):
        one = kind_of(rolling)
        measure_by_key(rolling, rolling.kind.gives, one.reads, one.compute, keyed, paths, out)
        want = duck.table(measured_sql(rolling), bindings)
    else:
        roll_by_key(rolling, keyed, paths, out)
        want = duck.table(rolling_sql(rolling), bindings)
    found = pq.read_table(out).to_pydict()
    for name in want.column_names:
        made = found[name]
        if ITEMS in found:
            made = [items[:size] for items, size in zip(found[ITEMS], made, strict=True)]
        for ours, theirs in zip(made, want[name].to_pylist(), strict=True):
            near = isinstance(ours, float) and math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-6)
            assert near or ours == theirs, (name, ours, theirs)
    assert not list(folder.glob("places-*"))


OF_ROWS = {  # columns that spine and events have: their types in each, and values
    "user_id": (pa.int64(), pa.int64(), [1, 2]), "artwork_id": (pa.int64(), pa.int64(), [5, 6]),
    "author": (pa.string(), pa.dictionary(pa.int32(), pa.string()), ["ann", "\U00010000", "", None]),
    "country": (pa.int32(), pa.uint8(), [0, 158, 255, None]),
    "big": (pa.uint64(), pa.int64(), [0, (1 << 63) - 1, None]),
    "score": (pa.float32(), pa.float64(), [0.5, -0.0, 0.0, math.nan, None]),
    "flag": (pa.bool_(), pa.bool_(), [True, None]),
}  # fmt: skip
SPANS = {"1m": 60, "6h": 6 * HOUR, "1d": 24 * HOUR, "7d": 168 * HOUR}
drawn = st.fixed_dictionaries({name: st.sampled_from(values) for name, (_, _, values) in OF_ROWS.items()})
seconds = st.sampled_from([0, 1, 60, 61, HOUR, 7 * HOUR, 24 * HOUR, 25 * HOUR, 168 * HOUR, 169 * HOUR])
row_lists = st.lists(st.tuples(drawn, seconds), max_size=6)
event_lists = st.lists(st.tuples(drawn, seconds, st.sampled_from([None, 1, 2, 3]), st.sampled_from(["like", "view"])),
                       max_size=25)  # fmt: skip


@st.composite
def specs(draw):
    agg = draw(st.sampled_from(sorted(KINDS)))
    key, *match = draw(st.lists(st.sampled_from(sorted(OF_ROWS)), min_size=1, max_size=2, unique=True))
    column = "tags" if KINDS[agg].flatten else draw(st.sampled_from(["artwork_id", "user_id", "n"]))
    found = {"name": "x", "events": ["like"], "agg": agg, "key": key, "column": column,
             "windows": draw(st.just("cumulative") | st.lists(st.sampled_from(sorted(SPANS)), min_size=1, unique=True)),
             "exclude_self": draw(st.booleans())}  # fmt: skip
    found |= {"match": match[0]} if match else {}
    found |= {"where": {"country": [0, 158.0]}} if draw(st.integers(0, 3)) == 0 else {}
    return found | ({"max_items": draw(st.integers(1, 3))} if KINDS[agg].listed and draw(st.booleans()) else {})


def of_table(rows: list, side: int) -> pa.Table:
    found = {name: pa.array([row[0][name] for row in rows], kinds[side])
             for name, kinds in OF_ROWS.items()}  # fmt: skip
    times = pa.array([row[1] * 1_000_000 for row in rows], pa.int64()).cast(pa.timestamp("us"))
    return pa.table({**found, "event_timestamp": times})


def same_key(one: object, other: object) -> bool:
    return one is not None and (one == other or (one != one and other != other))


def by_hand(rows: list, events: list, spec: dict, width: int | None) -> list:
    """What the specification says, row by row."""
    found = []
    for row, t in rows:
        seen = []
        for event, ts, n, kind in events:
            value = {"n": n, "tags": None if n is None else [n, None, 3]}.get(spec["column"], event.get(spec["column"]))
            if kind != "like" or ts >= t or (width and ts < t - width) or value is None:
                continue
            if any(not same_key(row[c], event[c]) for c in (spec["key"], spec.get("match", spec["key"]))):
                continue
            if spec["exclude_self"] and event["artwork_id"] == row["artwork_id"]:
                continue
            if "where" in spec and event["country"] not in (0, 158):
                continue
            seen += [(ts * 1_000_000, v) for v in (value if isinstance(value, list) else [value]) if v is not None]
        found.append(_aggregated(spec, seen, t * 1_000_000))
    return found


@given(row_lists, event_lists, specs())
@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_engines_equal_the_specification(rows, events, spec):
    spine, history = of_table(rows, 0), of_table(events, 1)
    tags = [None if n is None else [n, None, 3] for _, _, n, _ in events]
    for name, column in (("n", pa.array([n for _, _, n, _ in events], pa.int64())),
                         ("tags", pa.array(tags, pa.list_(pa.int64()))),
                         ("event", pa.array([kind for *_, kind in events], pa.string()))):  # fmt: skip
        history = history.append_column(name, column)
    tables = [daedalus.aggregate_pit_table(spine, history, [spec], engine=one) for one in ("duckdb", "polars")]
    spans = [("x", None)] if spec["windows"] == "cumulative" else [(f"x_{w}", SPANS[w]) for w in spec["windows"]]
    assert tables[0].schema == tables[1].schema
    assert tables[0].select([out for out, _ in spans]).equals(tables[1].select([out for out, _ in spans]))
    for out, width in spans:
        want = by_hand(rows, events, spec, width)
        assert all(map(operator.eq, want, tables[0][out].to_pylist())), (want, tables[0][out])


def test_what_tables_refuse():
    spine = pa.table({"user_id": [1], "artwork_id": [5], "event_timestamp": pa.array([5], pa.timestamp("us")),
                      "tags": [[1]], "code": ["a"]})  # fmt: skip
    events = spine.append_column("event", pa.array(["like"])).set_column(4, "code", pa.array([1]))
    one = {"name": "x", "events": ["like"], "column": "user_id", "agg": "count", "windows": ["1d"]}
    for more, named in (({"key": "artwrk_id"}, "column of events is missing.*did you mean 'artwork_id'"),
                        ({"key": "event"}, "column of spine is missing"), ({"key": "tags"}, r"grouped.*specs\[0\].key"),
                        ({"match": "code"}, r"specs\[0\].match.*code: VARCHAR.*BIGINT"),
                        ({"match": "user_id"}, r"match and key.*specs\[0\].match"),
                        ({"key": "artwork_id", "match": "artwork_id"}, r"specs\[0\].match")):  # fmt: skip
        for engine in ("duckdb", "polars"):
            with pytest.raises(DaedalusError, match=f"(?s){named}"):
                daedalus.aggregate_pit_table(spine, events, [{**one, **more}], engine=engine)


def test_a_sum_past_bigint_names_the_key():
    spine = pa.table({"user_id": [1], "artwork_id": [5], "event_timestamp": pa.array([5], pa.timestamp("us"))})
    events = pa.table({"user_id": [2, 3], "artwork_id": [5, 5], "event_timestamp": pa.array([1, 2], pa.timestamp("us")),
                       "event": ["like"] * 2, "n": [(1 << 63) - 1] * 2})  # fmt: skip
    one = {"name": "x", "events": ["like"], "column": "n", "agg": "sum", "windows": ["1d"], "key": "artwork_id"}
    with pytest.raises(DayError, match="for artwork_id 5"):
        daedalus.aggregate_pit_table(spine, events, [one])
