"""Kinds of the same events find what rows see once, and give the same as alone; `std` of whole numbers is exact."""

from __future__ import annotations

import datetime as dt
import math
import os
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small import DAYS, edit

from daedalus.config.aggregation_kinds import KINDS, Measure
from daedalus.skeleton.arrow import pool_and_sessions
from daedalus.tables.artifacts import read_events
from daedalus.tables.held import HELD
from daedalus.windows import roll as reader
from daedalus.windows import seen
from daedalus.windows.kinds import compiled_spread
from daedalus.windows.kinds.kind import kind_of
from daedalus.windows.measured import measure
from daedalus.windows.roll import roll
from daedalus.windows.spec import Measured, Rolling

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
HOUR = 3600
START = dt.datetime(2026, 5, 1)
ROWS, EVENTS = 40, 60
BATCH = 16  # rows
READING = ["sum", "mean", "std", "last", "first", "count_distinct", "min", "max", "top"]  # the values of events


@pytest.fixture
def files(tmp_path, monkeypatch):
    """(rows, events by day), rows in batches."""
    monkeypatch.setattr(reader, "ROWS_PER_GROUP", BATCH)
    hours = [START + dt.timedelta(hours=i) for i in range(EVENTS)]
    users, artworks = [i % 3 for i in range(EVENTS)], [i % 7 for i in range(EVENTS)]
    events = pa.table({"user_id": users, "ts": pa.array(hours, pa.timestamp("us")), "value": artworks,
                       "artwork_id": artworks}).sort_by([("user_id", "ascending"), ("ts", "ascending")])  # fmt: skip
    late = pc.greater_equal(events["ts"], pa.scalar(hours[EVENTS // 2], pa.timestamp("us")))
    paths = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    for path, some in zip(paths, (pc.invert(late), late), strict=True):
        pq.write_table(events.filter(some), path)
    times = pa.array([hours[(7 * i) % EVENTS] for i in range(ROWS)], pa.timestamp("us"))
    users, artworks = sorted(i % 3 for i in range(ROWS)), [i % 7 for i in range(ROWS)]
    rows = pa.table({"user_id": users, "artwork_id": artworks, "event_timestamp": times})
    pq.write_table(rows, tmp_path / "rows.parquet")
    HELD.limit(4 << 30, 1)
    yield tmp_path / "rows.parquet", paths
    HELD.limit(None, 1)


@pytest.fixture
def finds(monkeypatch):
    """A list with an item for each batch of which it is found what it sees."""
    found, seen_of = [], seen.seen_of
    monkeypatch.setattr(seen, "seen_of", lambda *given: found.append(1) or seen_of(*given))
    return found


def made(files, agg, spans=(HOUR, 9 * HOUR), rule=""):
    """The bytes of an aggregation's artifact."""
    rows, events = files
    kind, out = KINDS[agg], rows.parent / "out"
    windows = tuple((f"w{i}", span) for i, span in enumerate(spans))
    if isinstance(kind, Measure):
        what = Measured(kind=kind, windows=windows, without_self=rule, agg=agg, column="value", type="BIGINT")
        found = kind_of(what)
        measure(what, kind.gives, found.reads, found.compute, rows, events, out)
    else:
        roll(Rolling(kind, windows, rule), rows, events, out)
    return out.read_bytes()


@pytest.mark.parametrize("rule", ["", "value", "event"])
def test_kinds_of_the_same_events_find_what_rows_see_once(files, finds, rule):
    alone = {}
    for agg in READING:
        HELD.limit(1, 1)
        alone[agg] = made(files, agg, rule=rule)
    batches = -(-ROWS // BATCH)
    assert len(finds) == batches * len(READING)
    HELD.limit(4 << 30, 1)
    finds.clear()
    assert {agg: made(files, agg, rule=rule) for agg in READING} == alone
    assert len(finds) == batches
    for spans in ((HOUR,), (HOUR, 9 * HOUR + 1)):  # what sees others finds it itself
        made(files, "sum", spans, rule)
    rows, events = files
    made((rows, events[1:]), "sum", rule=rule)
    assert len(finds) == 4 * batches


def test_what_reads_no_values_shares_too(files, finds):
    for agg in ("count", "since_last"):
        made(files, agg)
    assert len(finds) == -(-ROWS // BATCH)


def test_aggregations_of_the_same_events_read_a_spine_once(warm, monkeypatch):
    """Three kinds added at once need one pass over the events of each feed day; a fourth computes itself alone."""
    asked: list[object] = []
    monkeypatch.setattr(pool_and_sessions, "read_events", lambda path: asked.append(path) or read_events(path))

    def added(*aggs):
        specs = [{"name": f"{agg}_likes", "events": ["click"], "column": "current_like_count", "agg": agg,
                  "windows": ["1d", "3d"]} for agg in aggs]  # fmt: skip
        warm.edit_aggregations(lambda known: known.extend(specs))
        names = [f"{agg}_likes_{span}" for agg in aggs for span in ("1d", "3d")]
        edit(warm.runtime, output_columns=[*outputs(warm), *names])
        return warm.run()

    report = added("sum", "mean", "max")
    assert not report.failures
    feed_days = len(asked)
    assert len(DAYS) <= feed_days == len(set(asked))
    assert report.steps["computed"] + report.steps["unchanged"] == feed_days + (3 + 1) * len(DAYS)
    report = added("std")
    assert len(asked) == feed_days
    assert report.steps["computed"] == (1 + 1) * len(DAYS)


def outputs(world):
    return yaml.safe_load(world.runtime.read_text())["output_columns"]


NEAR = st.integers(0, 20) | st.integers(2**32 - 20, 2**32 - 1) | st.integers(0, 2**32 - 1)
FAR = st.sampled_from([0, 1, 2**32, 2**63, 2**64 - 1])


def deviations(numbers, windows, running):
    """By window, of uint64s that all are seen."""
    away = np.array(numbers, np.uint64)
    begins, ends = (np.array([window[i] for window in windows], np.int64) for i in range(2))
    begins = begins[:, None]
    counts, found = np.empty_like(begins), np.empty(begins.shape)
    if running:
        compiled_spread.from_running(begins, ends, away, counts, found)
    else:
        own = np.full(len(ends), -1)
        doubles = away.astype(np.float64)
        compiled_spread.from_whole(begins, ends, np.zeros(len(away), np.int64), own, away, doubles, counts, found)
    return counts[:, 0].tolist(), found[:, 0].tolist()


@given(st.lists(NEAR, min_size=1, max_size=12), st.integers(0, 2**64 - 2**32))
@settings(max_examples=EXAMPLES, deadline=None)
def test_std_of_whole_numbers_is_exact_and_the_same_from_any_base(numbers, base):
    windows = [(i, j) for j in range(len(numbers) + 1) for i in range(j + 1)]
    counts, found = deviations(numbers, windows, running=True)
    others = deviations([base + x for x in numbers], windows, running=False)
    assert counts == others[0] and np.array_equal(found, others[1], equal_nan=True)
    for (i, j), number, one in zip(windows, counts, found, strict=True):
        some = numbers[i:j]
        assert number == j - i
        if number < 2:
            assert math.isnan(one)
            continue
        squares = number * sum(x * x for x in some) - sum(some) ** 2
        exact = math.sqrt(Fraction(squares, number * (number - 1)))
        assert abs(one - exact) <= 2 * math.ulp(exact)


@given(st.lists(FAR, min_size=2, max_size=8))
@settings(max_examples=EXAMPLES, deadline=None)
def test_std_of_whole_numbers_that_are_far_apart(numbers):
    _, (one,) = deviations(numbers, [(0, len(numbers))], running=False)
    squares = len(numbers) * sum(x * x for x in numbers) - sum(numbers) ** 2
    exact = math.sqrt(Fraction(squares, len(numbers) * (len(numbers) - 1)))
    assert abs(one - exact) <= 1e-9 * max(numbers)
