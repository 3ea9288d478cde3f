"""A step on Arrow writes the very bytes that its SQL does, and lets the SQL run where it does not know a type."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from anything import anything, change
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small import Small, by_sql, edit, groups_of
from test_extra_columns import with_extra
from worlds import worlds

from daedalus.actions import actions
from daedalus.base.errors import DaedalusError
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.skeleton.arrow import views
from daedalus.skeleton.arrow.views import rows_by_entity
from daedalus.skeleton.steps import history
from daedalus.tables import artifacts, side_by_side, sorting, taken
from daedalus.tables.held import Held, _give_back, _resident
from daedalus.tables.sorting import (
    first_of_equal,
    has_one_order,
    keys_of,
    order_of,
    order_of_nearly_sorted,
    ranked,
    sort_keys,
)
from daedalus.workspace.settings import Settings

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "9"))
ROUNDS = int(os.environ.get("DAEDA_ROUNDS", "4"))
STEPS = {"write_spine", "write_coverage", "write_sessions", "write_event_values", "write_history", "write_content",
         "write_attributes", "write_pool", "write_view", "write_published"}  # fmt: skip


@contextlib.contextmanager
def counted(ran: Counter) -> Iterator[None]:
    """Counts by function how often the Arrow form wrote, and how often it left it to SQL."""
    real = actions._on_arrow

    def on_arrow(arrow, bound, out):
        found = real(arrow, bound, out)
        ran[arrow.func.__name__, found is not None] += 1
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actions, "_on_arrow", on_arrow)
        yield


def made(root: Path, range: str, name: str) -> object:
    """All that a cold run leaves: artifacts by their digests, partitions, the map, what failed; or the refusal."""
    output, cache = root / f"out-{name}", root / f"cache-{name}"
    try:
        report = run_skeleton_stage(Settings(str(root / "config"), str(cache), str(output)), range, allow_empty=True)
    except DaedalusError as error:
        return error.one_line().replace(str(output), "out")
    files = {path.relative_to(output): path.read_bytes() for path in sorted(output.rglob("*.parquet"))}
    failed = sorted((f.day, f.step, f.error) for f in report.failures)
    return files, sorted(path.name for path in cache.glob("artifacts/*/*")), failed, report.rows


@contextlib.contextmanager
def as_of_many_rows() -> Iterator[None]:
    """What is done otherwise for many rows is done so for any; and they are in many row groups."""
    with pytest.MonkeyPatch.context() as patch:
        groups_of(3, patch)
        patch.setattr(side_by_side, "_ROWS", 0)
        patch.setattr(sorting, "_SEEN", 1)
        patch.setattr(sorting, "_FEW", 0)
        patch.setattr(sorting, "_SHORT", 0)
        patch.setattr(artifacts, "_NUMBERED", 0)
        patch.setattr(taken, "_MANY", 0)
        yield


def both(root: Path, range: str, ran: Counter | None = None, name: str = "", *, many: bool = False) -> None:
    with as_of_many_rows() if many else contextlib.nullcontext():
        with counted(Counter() if ran is None else ran):
            on_arrow = made(root, range, f"arrow{name}")
        with by_sql():
            in_sql = made(root, range, f"sql{name}")
    assert on_arrow == in_sql


@given(worlds(), st.booleans())
@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)  # fmt: skip
def test_any_world_has_the_bytes_that_sql_writes(pools, world, many):
    with tempfile.TemporaryDirectory() as folder:
        world.build(Path(folder), pools)
        both(Path(folder), world.range, many=many)


@pytest.mark.parametrize("seed", range(4))
def test_any_types_have_the_bytes_that_sql_writes(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    world = anything(seed)
    for number in range(ROUNDS):
        world.write(tmp_path)
        both(tmp_path, world.range, name=str(number), many=number % 2 == 1)
        change(world)


@pytest.mark.parametrize("seed", range(6))
def test_extra_columns_have_the_bytes_that_sql_writes(tmp_path, monkeypatch, seed):
    """Floats with two zeros and NaNs, days, times with and without a zone, and types that differ by file."""
    monkeypatch.chdir(tmp_path)
    world = with_extra(seed)
    days = [None, dt.date(1970, 1, 1), dt.date(1969, 12, 30), dt.date(2400, 2, 29)]
    zones = [None, "UTC", "America/New_York"]
    for number, (path, table) in enumerate(world.feed.items()):
        chance = np.random.default_rng([seed, number])
        made = pa.array([days[i] for i in chance.integers(0, len(days), table.num_rows)], pa.date32())
        zone = zones[number % len(zones)] if seed % 2 else None
        seen = made.cast(pa.timestamp("ms")).cast(pa.timestamp(str(chance.choice(["ms", "us"])), zone))
        if seed % 2 and "seconds" in table.column_names:  # one zero: floats have one order
            place = table.column_names.index("seconds")
            table = table.set_column(place, "seconds", pc.add(table["seconds"], pa.scalar(0, table["seconds"].type)))
        world.feed[path] = table.append_column("on_day", made).append_column("seen_at", seen)
    world.catalog["feed"]["extra_columns"] += ["on_day", "seen_at"]
    world.runtime["spine"] |= {"deduplicate": seed != 3}
    world.runtime["output_columns"] += ["on_day", "seen_at"]
    world.write(tmp_path)
    ran: Counter = Counter()
    both(tmp_path, world.range, ran, many=seed == 5)
    of_floats = {"write_event_values", "write_feed_events", "write_gathered", "write_looked_up"}
    assert {name for name, wrote in ran if not wrote} <= {"write_content", *(set() if seed % 2 else of_floats)}
    assert ran["write_spine", True] and ran["write_sessions", True] and ran["write_feed_events", True]


FAR = st.sampled_from([0, 1, 7, 2**62, -(2**62), 2**63 - 1, 2**63 - 2, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
NEAR = st.integers(-3, 3)
TEXT = st.sampled_from(["", "a", "A", "ab", "é", "z\x00", "💡"])


@given(st.lists(st.tuples(*(st.none() | one for one in (FAR, TEXT, NEAR, FAR, st.booleans()))), max_size=40))
@settings(max_examples=10 * EXAMPLES, deadline=None)
def test_rows_are_sorted_as_their_values_are(rows):
    kinds = [pa.int64(), pa.string(), pa.int32(), pa.int64(), pa.bool_()]
    columns = [pa.chunked_array([pa.array([row[i] for row in rows], kind)]) for i, kind in enumerate(kinds)]
    keys = sort_keys(columns)
    ranks = [ranked(column) for column in columns]
    before = [[key.tolist() for key, _ in of_column] for of_column in ranks]
    assert list(map(np.ndarray.tolist, keys_of(ranks))) == list(map(np.ndarray.tolist, keys))
    assert [[key.tolist() for key, _ in of_column] for of_column in ranks] == before  # they are of use to others
    order = order_of(keys)

    def placed(row):  # NULL last, text by its bytes
        return [(value is None, value.encode() if isinstance(value, str) else value or 0) for value in row]

    assert [rows[i] for i in order] == sorted(rows, key=placed)
    assert order_of_nearly_sorted(keys).tolist() == order.tolist()
    assert [rows[i] for i in first_of_equal(keys, order)] == sorted(set(rows), key=placed)


SPREAD = {
    "even": lambda chance, rows: chance.integers(0, 1 << 62, rows),
    "few": lambda chance, rows: chance.integers(0, 3, rows) << 40,
    "alike": lambda chance, rows: np.full(rows, 7),
    "uneven": lambda chance, rows: np.exp(chance.normal(0, 8, rows)).astype(np.int64),
    "one far": lambda chance, rows: np.append(chance.integers(0, 1000, rows - 1), 1 << 61),
    "sorted": lambda chance, rows: np.sort(chance.integers(0, 1 << 50, rows)),
}


@pytest.mark.parametrize("rows", [0, 1, 23, 24, 25, 300, 5_000, 100_000])
@pytest.mark.parametrize("first", SPREAD)
def test_many_rows_are_sorted_as_few_are(rows, first):
    """Buckets, of all sizes, of one word and of the next, and buckets of buckets."""
    chance = np.random.default_rng(rows)
    for second in SPREAD:
        words = [SPREAD[name](chance, max(rows, 1))[:rows].astype(np.int64) for name in (first, second, "few")]
        for keys in (words, words[:1]):
            assert (order_of(keys) == np.lexsort(keys[::-1])).all()


NAN = float("nan")
FLOATS = st.sampled_from([0.0, -0.0, 1.5, -1.5, 5e-324, float("inf"), -float("inf"), NAN, -NAN, None])


@given(
    st.lists(FLOATS | st.floats(width=32, allow_nan=False), max_size=9), st.sampled_from([pa.float32(), pa.float64()])
)
@settings(max_examples=20 * EXAMPLES, deadline=None)
def test_floats_are_sorted_as_sql_sorts_them_where_they_have_one_order(numbers, kind):
    column = pa.array(numbers, kind)
    signed = [number for number in column.to_pylist() if number is not None and math.copysign(1, number) < 0]
    assert has_one_order(column) == (not any(number == 0 or math.isnan(number) for number in signed))
    if numbers and has_one_order(column):
        with duckdb.connect() as duck:
            duck.register("given", pa.table({"number": column, "place": range(len(numbers))}))
            expected = duck.sql("SELECT place FROM given ORDER BY number NULLS LAST, place").fetchall()
        assert order_of(sort_keys([column])).tolist() == [place for (place,) in expected]


@given(st.lists(TEXT | st.text(max_size=20), min_size=1, max_size=40), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=10 * EXAMPLES, deadline=None)
def test_many_texts_have_the_ranks_of_few(texts, before, behind):
    column = pa.array([*["~"] * before, *texts, *["~"] * behind]).slice(before, len(texts))
    ranks = sorting._ranks(column).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "_MANY_TEXTS", 0)
        assert sorting._ranks(column).tolist() == ranks
    ascending = sorted({text.encode() for text in texts})
    assert ranks == [1 + ascending.index(text.encode()) for text in texts]


@given(st.lists(FAR, max_size=40), st.lists(FAR, max_size=40, unique=True))
@settings(max_examples=10 * EXAMPLES, deadline=None)
def test_entities_of_rows_are_found_however_many_there_are(rows, entities):
    entities.sort()
    columns = [pa.chunked_array([pa.array(values, pa.int64())]) for values in (rows, entities)]
    expected = [entities.index(row) if row in entities else None for row in rows]
    for few in (0, 1 << 60):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(views, "_FEW", few)
            assert rows_by_entity(*columns).to_pylist() == expected


VERSION = st.tuples(st.integers(0, 4), st.none() | st.integers(-2, 3))  # (entity, days since the day that is asked for)


@given(st.sets(VERSION, max_size=20), st.booleans(), st.sampled_from([0, 1, -1]))
@settings(max_examples=10 * EXAMPLES, deadline=None)
def test_of_versions_the_last_before_the_end_of_the_day_is_found(versions, text, late):
    """Also where a version is of the first or of the last microsecond of a day."""
    day = dt.date(1969, 12, 31)
    ordered = sorted(versions, key=lambda version: (version[0], version[1] is not None, version[1] or 0))
    entities = pa.array([str(entity) if text else entity for entity, _ in ordered], pa.string() if text else pa.int64())
    micros = [None if days is None else (days - 1) * 86_400_000_000 + late for _, days in ordered]
    times = pa.array(micros, pa.int64()).cast(pa.timestamp("us"))
    last = {entity: i for i, (entity, _) in enumerate(ordered) if micros[i] is None or micros[i] < 0}
    found = views.latest_before_end_of(day, pa.chunked_array([entities]), pa.chunked_array([times]))
    assert found.to_pylist() == [place for _, place in sorted(last.items())]


@given(st.sets(VERSION, max_size=20), st.lists(st.tuples(st.integers(-1, 5), st.integers(-3, 3))), st.booleans(),
       st.sampled_from([0, 1, -1]))  # fmt: skip
@settings(max_examples=10 * EXAMPLES, deadline=None)
def test_of_versions_the_last_of_each_row_s_own_day_is_found(versions, rows, text, late):
    """A version of the same day is seen, also one that is later than the row."""
    ordered = sorted(versions, key=lambda version: (version[0], version[1] is not None, version[1] or 0))

    def of(entities):
        return pa.array([f"{e:+}" for e in entities] if text else entities, pa.string() if text else pa.int64())

    def at(days):
        micros = [None if days is None else days * 86_400_000_000 + late for days in days]
        return pa.array(micros, pa.int64()).cast(pa.timestamp("us"))

    ordered = sorted(ordered, key=lambda version: f"{version[0]:+}") if text else ordered
    found = views.versions_of_own_days(
        pa.chunked_array([of([e for e, _ in rows])]), pa.chunked_array([at([day for _, day in rows])]),
        of([e for e, _ in ordered]), pa.chunked_array([at([day for _, day in ordered])]),
    )  # fmt: skip
    expected = []
    for entity, day in rows:
        seen = [i for i, (e, since) in enumerate(ordered) if e == entity and (since is None or since <= day)]
        expected.append(seen[-1] if seen else None)
    assert found.to_pylist() == expected


def test_ids_that_are_hashes_are_no_reason_for_sql(cofacts, tmp_path):
    ran: Counter = Counter()
    with counted(ran):
        run_skeleton_stage(Settings(str(cofacts), str(tmp_path / "cache"), str(tmp_path / "out")), "2018-10-02")
    assert {name for name, wrote in ran if not wrote} == set()


@pytest.mark.parametrize("as_of", ["latest", "day"])
def test_every_step_runs_on_arrow_where_types_are_usual(warm: Small, as_of):
    catalog = yaml.safe_load(warm.catalog.read_text())
    for view in catalog["views"].values():
        view["as_of"] = as_of
    warm.catalog.write_text(yaml.safe_dump(catalog))
    ran: Counter = Counter()
    both(warm.root, "2026-02-01..2026-02-04", ran, many=as_of == "day")
    assert {name for name, wrote in ran if wrote} == STEPS
    assert {name for name, wrote in ran if not wrote} == set()


@pytest.mark.parametrize("as_of", ["latest", "day"])
def test_conditions_and_keys_are_no_reason_for_sql(warm: Small, as_of):
    edit(warm.catalog, views__artwork_properties__as_of=as_of)
    authors = pq.read_table(warm.root / "data/catalog/artwork_properties", columns=["author_id"])["author_id"]

    def conditions(specs: list[dict]) -> None:
        specs[0]["where"] = {"author_id": sorted({*authors.drop_null().to_pylist()})[::2], "country_code": [0, 840]}
        specs[5]["where"] = {"platform_code": [0, 1, 2]}
        (endless,) = (spec for spec in specs if spec["windows"] == "cumulative")
        endless["where"] = {"platform_code": [1, 2]}
        specs.append({**endless, "name": "of_the_artwork", "column": "user_id", "key": "artwork_id"})
        specs.append({**endless, "name": "of_the_author", "windows": ["3d"], "match": "author_id"})

    warm.edit_aggregations(conditions)
    outputs = yaml.safe_load(warm.runtime.read_text())["output_columns"]
    edit(warm.runtime, output_columns=[*outputs, "of_the_artwork", "of_the_author_3d"])
    ran: Counter = Counter()
    both(warm.root, "2026-02-03..2026-02-04", ran)
    assert {name for name, wrote in ran if wrote} == {*STEPS, "write_row_keys"}
    assert {name for name, wrote in ran if not wrote} == set()


@pytest.mark.parametrize("as_of", ["latest", "day"])
def test_history_that_is_looked_up_runs_on_arrow(warm: Small, as_of):
    """In a view, in the pool or in both, and in versions as of the days of its events."""
    edit(warm.catalog, views__artwork_properties__as_of=as_of)
    authors = pq.read_table(warm.root / "data/catalog/artwork_properties", columns=["author_id"])["author_id"]

    def longer(specs: list[dict]) -> None:
        for spec in specs:
            if spec["windows"] != "cumulative":
                spec["windows"] = [*spec["windows"], "9d"]
        (views,) = (spec for spec in specs if spec["name"] == "view_artwork_ids")
        views["where"] = {"author_id": sorted({*authors.drop_null().to_pylist()})[::2]}

    warm.edit_aggregations(longer)
    ran: Counter = Counter()
    both(warm.root, "2026-02-03", ran)
    assert {name for name, wrote in ran if wrote} == {*STEPS, "write_feed_events", "write_looked_up"}
    assert {name for name, wrote in ran if not wrote} == set()


def test_history_of_many_days_is_gathered_on_arrow(warm: Small, monkeypatch):
    monkeypatch.setattr(history, "_FEW_ROWS", -1)
    ran: Counter = Counter()
    both(warm.root, "2026-02-14", ran)
    assert ran["write_gathered", True] and not ran["write_gathered", False]


@pytest.mark.parametrize("spine", [{}, {"lateness_days": {"before": 1, "after": 2}}, {"deduplicate": False}])
def test_days_of_few_rows_are_read_at_once_and_have_the_bytes_of_those_gathered(warm: Small, monkeypatch, spine):
    edit(warm.runtime, **{f"spine__{key}": value for key, value in spine.items()})
    late = warm.feed_file("2026-01-30")
    pq.write_table(pa.concat_tables([pq.read_table(late, partitioning=None)] * 2), warm.feed_file("2026-01-31", 9))
    ran: Counter = Counter()
    both(warm.root, "2026-02-13..2026-02-14", ran)
    assert not ran["write_gathered", True]
    at_once = made(warm.root, "2026-02-13..2026-02-14", "at-once")
    monkeypatch.setattr(history, "_FEW_ROWS", -1)
    gathered = made(warm.root, "2026-02-13..2026-02-14", "gathered")
    assert at_once[0] == gathered[0] and at_once[3] == gathered[3]
    assert {*at_once[1]} < {*gathered[1]}  # the block that is read at once has the bytes of the one that is gathered


def test_a_bad_file_fails_its_own_day_though_its_block_is_small(warm: Small):
    warm.feed_file("2026-01-30").write_bytes(b"no parquet")
    report = warm.run("2026-02-13..2026-02-14")
    assert {failure.day for failure in report.failures if "history" in failure.step} == {"2026-01-30"}


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_text_runs_on_arrow_however_a_feed_file_encodes_it(warm: Small, encoding):
    """pyarrow gives no numbers of values for text in delta encodings, which some writers choose."""
    for path in warm.root.glob("data/feed/dt=2026-02-0*/*.parquet"):
        table = pq.ParquetFile(path).read()
        text = {field.name: encoding for field in table.schema if pa.types.is_string(field.type)}
        pq.write_table(table, path, use_dictionary=False, column_encoding=text, row_group_size=50)
    ran: Counter = Counter()
    both(warm.root, "2026-02-01..2026-02-04", ran)
    assert {name for name, wrote in ran if not wrote} == set()


def test_what_is_held_stays_within_its_limit():
    held = Held()
    held.limit(8 * 8 * 100, 2)
    for number in range(20):
        held.put(f"file {number}", number, 90)
    held.put("too large", 0, 401)
    assert [number for number in range(20) if held.get(f"file {number}") is not None] == list(range(12, 20))
    held.moved("file 19", "its name")
    assert (held.get("file 19"), held.get("its name"), held.get("too large")) == (None, 19, None)


def test_above_its_memory_a_process_gives_back_what_was_freed(monkeypatch):
    held, gave = Held(), []
    held.limit(1 << 30, 2)
    monkeypatch.setattr("daedalus.tables.held._give_back", lambda: gave.append(held.get("large") is not None))
    for resident in ((1 << 30) - 1, (1 << 30) + 1):
        monkeypatch.setattr("daedalus.tables.held._resident", lambda resident=resident: resident)
        held.put("small", 1, 1000)
        held.put("large", 1, 2 << 20)
    Held().put("large", 1, 2 << 20)  # of a process that has no limit
    assert gave == [True]
    monkeypatch.undo()
    assert _resident() > 1 << 20
    _give_back()


def test_nothing_of_a_file_is_held_once_it_is_forgotten():
    held, forms = Held(), ("table", "numbers", "events of some kind")
    held.limit(8 * 1_000_000, 2)  # a million of it is for what is held
    for number in range(3):
        for form in forms:
            held.put(f"file {number}", (number, form), 70_000, form)
    held.put("file 1", "new", 80_000, "numbers")
    held.put("file 0", "small", 100, "small")
    held.forget("file 0")
    held.forget("file 1")
    held.forget("no file")
    assert [held.get(f"file {number}", form) for number in range(2) for form in forms] == [None] * 6
    assert [held.get("file 2", form) for form in forms] == [(2, form) for form in forms]
    assert held.get("file 0", "small") == "small"
    for number in range(3, 13):  # no room was lost: as many fit as before
        held.put(f"file {number}", number, 78_000)
    assert [number for number in range(2, 13) if held.get(f"file {number}") is not None] == [*range(2, 13)]
