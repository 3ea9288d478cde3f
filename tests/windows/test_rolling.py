"""The compiled kernel against the SQL that says the same, on events made by hypothesis."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daedalus.base.errors import DayError
from daedalus.config.aggregation_kinds import KINDS
from daedalus.output.cut_partition import Wanted, cut, row_groups
from daedalus.parquet import list_writer
from daedalus.parquet import writer as parquet
from daedalus.sql.duck import Bindings, Duck
from daedalus.tables.held import HELD
from daedalus.windows import roll as kernel_side
from daedalus.windows.roll import roll
from daedalus.windows.rolling_sql import rolling_sql
from daedalus.windows.spec import Rolling
from daedalus.windows.windows_file import ITEMS

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
START = dt.datetime(2026, 5, 1)
HOUR = 3600
VALUES = {"BIGINT": (pa.int64(), st.integers(1, 5)), "VARCHAR": (pa.string(), st.sampled_from(["a", "b", "", "é"])),
          "DOUBLE": (pa.float64(), st.sampled_from([0.5, -1.0, 0.0, -0.0])),
          "DATE": (pa.date32(), st.dates(dt.date(2026, 1, 1), dt.date(2026, 1, 3)))}  # fmt: skip
INF = float("inf")
USERS = [  # three of each type that users may have, ascending
    (pa.int64(), [-(1 << 63), 0, (1 << 63) - 1]), (pa.int32(), [-4, 7, 9]), (pa.uint64(), [0, 1 << 62, (1 << 64) - 1]),
    (pa.string(), ["", "Z", "é"]), (pa.string(), ["a", "\uffff", "\U00010000"]), (pa.binary(), [b"", b"\x7f", b"\xff"]),
    (pa.float64(), [-1.5, 0.0, float("nan")]), (pa.float32(), [-INF, -0.0, INF]), (pa.float64(), [-2.0, -1.0, 1e-300]),
    (pa.decimal128(30, 2), [Decimal("-1.50"), Decimal(0), Decimal("1E27")]),
    (pa.date32(), [dt.date(1, 1, 1), dt.date(2026, 5, 1), dt.date(2026, 5, 2)]),
    (pa.timestamp("us"), [START, START + dt.timedelta(1), START + dt.timedelta(2)]),
]  # fmt: skip


@st.composite
def cases(draw):
    """A rolling, its rows, and pieces of events whose times follow one another."""
    agg = draw(st.sampled_from(["list", "distinct", "flatten_distinct", "count"]))
    rule = draw(st.sampled_from(["", "value", "event"]))
    kind = "BIGINT" if rule == "value" else draw(st.sampled_from(sorted(VALUES)))
    spans = draw(st.sampled_from([(HOUR, 3 * HOUR, 9 * HOUR), (2 * HOUR,), (None,)]))
    limit = None if agg == "count" else draw(st.sampled_from([None, 1, 2, 4]))
    rolling = Rolling(KINDS[agg], tuple((f"w{i}", span) for i, span in enumerate(spans)), rule, limit)
    ids, users = st.integers(1, 5), st.integers(1, 3)
    row = st.tuples(users, ids, st.integers(0, 24))
    event = st.tuples(users, st.integers(0, 7), VALUES[kind][1], ids)
    pieces = [
        sorted((u, START + dt.timedelta(hours=8 * i + h), v, a) for u, h, v, a in draw(st.lists(event, max_size=25)))
        for i in range(3)
    ]
    rows = sorted(draw(st.lists(row, max_size=25)), key=lambda r: r[0])  # a user's rows in any order of time
    users_kind, named = draw(st.sampled_from(USERS))
    pieces = [[(named[u - 1], *event) for u, *event in piece] for piece in pieces]
    rows = [(named[u - 1], a, START + dt.timedelta(hours=h)) for u, a, h in rows]
    return rolling, VALUES[kind][0], users_kind, rows, pieces


@pytest.mark.parametrize("rule", ["", "value", "event"])
@pytest.mark.parametrize("agg", ["list", "distinct", "count"])
def test_users_of_many_events_and_long_lists_have_room(duck, tmp_path, monkeypatch, agg, rule):
    """Room for a user's events, and for lists, is found out as they are read: also in the midst of a user's rows."""
    monkeypatch.setattr(kernel_side, "_ROOM", 1)
    chance = np.random.default_rng(7)
    users = np.where(np.arange(5_000) % 9, 2, chance.integers(1, 4, 5_000))  # most are of one
    drawn = [users, *(chance.integers(1, most, 5_000) for most in (9 * HOUR, 900, 900))]
    events = sorted((u, START + dt.timedelta(seconds=s), v, a) for u, s, v, a in np.stack(drawn).T.tolist())
    event = {"user_id": pa.int64(), "ts": pa.timestamp("us"), "value": pa.int64(), "artwork_id": pa.int64()}
    pq.write_table(table(event, events), tmp_path / "events.parquet")
    drawn = [chance.integers(1, most, 60) for most in (4, 900, 600)]
    rows = sorted((u, a, START + dt.timedelta(minutes=m)) for u, a, m in np.stack(drawn).T.tolist())
    made = {"user_id": pa.int64(), "artwork_id": pa.int64(), "event_timestamp": pa.timestamp("us")}
    pq.write_table(table(made, rows), tmp_path / "rows.parquet")
    rolling = Rolling(KINDS[agg], (("hour", HOUR), ("all", None)), rule, None)
    monkeypatch.setattr(list_writer, "_firsts", checked_firsts)
    roll(rolling, tmp_path / "rows.parquet", [tmp_path / "events.parquet"], tmp_path / "out.parquet")
    bindings = Bindings({"rows": [tmp_path / "rows.parquet"], "events": [tmp_path / "events.parquet"]})
    expected = duck.table(rolling_sql(rolling, once=ITEMS), bindings)
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == expected.to_pydict()


def table(names: dict[str, pa.DataType], rows: list[tuple]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    return pa.table({n: pa.array(list(c), k) for (n, k), c in zip(names.items(), columns, strict=True)})


@pytest.fixture(scope="module")
def duck():
    # DuckDB 2.0 passes over row groups with NaN where it joins by NaN, which it has equal, and files have statistics.
    duck = Duck({"threads": 1, "disabled_optimizers": "join_filter_pushdown"})
    yield duck
    duck.close()


@pytest.fixture(params=[4 << 30, 1], ids=["held", "streamed"], autouse=True)
def memory(request):
    """Files are read as a whole and held, or in pieces as they are needed."""
    HELD.limit(request.param, 1)
    yield
    HELD.limit(None, 1)


def checked_firsts(lists, known=list_writer._firsts):
    """What the kernel noted of values is what is found in their lists."""
    found = known(lists)
    assert found.tolist() == known(replace(lists, firsts=None)).tolist()
    return found


@given(case=cases())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_kernel_gives_what_the_sql_gives(duck, tmp_path_factory, case):
    rolling, kind, users, rows, pieces = case
    folder = tmp_path_factory.mktemp("rolling")
    event = {"user_id": users, "ts": pa.timestamp("us"), "value": kind, "artwork_id": pa.int64()}
    paths = [folder / f"{i}.parquet" for i in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        pq.write_table(table(event, piece), path, row_group_size=7)
    made = {"user_id": users, "artwork_id": pa.int64(), "event_timestamp": pa.timestamp("us")}
    pq.write_table(table(made, rows), folder / "rows.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(list_writer, "_firsts", checked_firsts)
        roll(rolling, folder / "rows.parquet", paths, folder / "out.parquet")
    bindings = Bindings({"rows": [folder / "rows.parquet"], "events": paths})
    expected, kept = (duck.table(rolling_sql(rolling, once=once), bindings) for once in ("", ITEMS))
    assert pq.read_table(folder / "out.parquet").to_pydict() == kept.to_pydict()
    groups = row_groups(np.arange(len(rows)), [len(rows)])
    cut([Wanted(folder / "out.parquet", expected.column_names)], groups, folder / "whole.parquet")
    found = pq.read_table(folder / "whole.parquet")
    assert found.to_pydict() == expected.to_pydict()
    assert [str(field.type) for field in found.schema] == [
        str(field.type).replace("child 0", "element").replace("list<l:", "list<element:") for field in expected.schema
    ]


@pytest.mark.parametrize("rows_per_block", [1, 3])
@pytest.mark.parametrize(("kind", "before", "user"), [(pa.int64(), 0, 1), (pa.string(), "", "é")])
def test_a_user_may_span_blocks_of_rows(tmp_path, monkeypatch, rows_per_block, kind, before, user):
    event = {"user_id": kind, "ts": pa.timestamp("us"), "value": pa.int64()}
    times = [START + dt.timedelta(minutes=i) for i in range(8)]
    events = [(before, times[0], 9), *((user, t, i) for i, t in enumerate(times))]
    pq.write_table(table(event, events), tmp_path / "events.parquet", row_group_size=2)
    made = {"user_id": kind, "artwork_id": pa.int64(), "event_timestamp": pa.timestamp("us")}
    pq.write_table(table(made, [(user, 9, t) for t in reversed(times)]), tmp_path / "rows.parquet")
    for module in (kernel_side, parquet):
        monkeypatch.setattr(module, "ROWS_PER_GROUP", rows_per_block)
    rolling = Rolling(KINDS["list"], (("w", None),))
    roll(rolling, tmp_path / "rows.parquet", [tmp_path / "events.parquet"], tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {
        ITEMS: [list(range(i))[::-1] for i in range(7, -1, -1)], "w": list(range(7, -1, -1)),
    }  # fmt: skip


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_there_is_one_zero_among_distinct_values(tmp_path, kind):
    event = {"user_id": pa.int64(), "ts": pa.timestamp("us"), "value": kind}
    times = [START + dt.timedelta(minutes=i) for i in range(4)]
    pq.write_table(
        table(event, [(1, t, v) for t, v in zip(times, [0.0, -0.0, 1.0, -0.0], strict=True)]), tmp_path / "e"
    )
    made = {"user_id": pa.int64(), "artwork_id": pa.int64(), "event_timestamp": pa.timestamp("us")}
    pq.write_table(table(made, [(1, 9, START + dt.timedelta(1))]), tmp_path / "rows")
    for agg, expected in (("distinct", ["0.0", "1.0"]), ("list", ["-0.0", "1.0", "-0.0", "0.0"])):
        roll(Rolling(KINDS[agg], (("w", None),)), tmp_path / "rows", [tmp_path / "e"], tmp_path / agg)
        assert [str(value) for value in pq.read_table(tmp_path / agg)[ITEMS][0].as_py()] == expected


def test_lists_that_no_column_can_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_side, "_LONGEST_COLUMN", 3)
    event = {"user_id": pa.int64(), "ts": pa.timestamp("us"), "value": pa.int64()}
    pq.write_table(table(event, [(1, START, i) for i in range(4)]), tmp_path / "events.parquet")
    made = {"user_id": pa.int64(), "artwork_id": pa.int64(), "event_timestamp": pa.timestamp("us")}
    pq.write_table(table(made, [(1, 9, START + dt.timedelta(1))]), tmp_path / "rows.parquet")
    with pytest.raises(DayError, match="max_items"):
        roll(
            Rolling(KINDS["list"], (("w", None),)),
            tmp_path / "rows.parquet",
            [tmp_path / "events.parquet"],
            tmp_path / "o",
        )


@settings(max_examples=EXAMPLES, deadline=None)
@given(times=st.lists(st.integers(0, 50), max_size=400), first=st.integers(0, 3))
def test_rows_of_a_user_are_put_in_order_of_time(times, first):
    """However many they are: longer ones are sorted by wider steps first."""
    from daedalus.windows import kernel

    order = np.zeros(len(times), np.int64)
    kernel.time_order(np.array([99] * first + times, np.int64), first, order)
    assert sorted(order) == list(range(first, first + len(times)))
    assert [times[row - first] for row in order] == sorted(times)
