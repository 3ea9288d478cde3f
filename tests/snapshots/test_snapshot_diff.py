"""`daeda snapshot diff` finds what a plain comparison in Python finds, and reads nothing that is the same."""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enrich_tiny import DAYS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import answered, edit
from snapshot_world import said

from daedalus.explain import value_differences
from daedalus.explain.value_differences import KEYS
from daedalus.snapshots.commands import create_snapshot, remove_snapshot
from daedalus.upkeep.snapshot_diff import diff_lines, diff_snapshots
from daedalus.workspace.settings import Settings

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "12"))


def plain(then: pa.Table, now: pa.Table) -> dict[str, float]:
    """The share of rows of both in which each column differs; rows are told by their keys and order among equals."""
    sides = []
    for table in (then, now):
        among: Counter = Counter()
        rows = {}
        for row in table.to_pylist():
            key = tuple(row[name] for name in KEYS if name in row)
            rows[(key, among[key])] = row
            among[key] += 1
        sides.append(rows)
    both = sides[0].keys() & sides[1].keys()
    shares: dict[str, float] = {}
    for name in dict.fromkeys([*now.schema.names, *then.schema.names]):
        if (
            name not in then.schema.names
            or name not in now.schema.names
            or then.schema.field(name).type != now.schema.field(name).type
        ):
            shares[name] = 1.0
        elif differ := sum(not same(sides[0][one][name], sides[1][one][name]) for one in both):
            shares[name] = differ / len(both)
    return shares


def same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return one == other


def moved(tables: list[tuple[pa.Table, pa.Table]], name: str) -> list[float | None]:
    """The share of NULLs in a column, then and now."""
    found = []
    for side in (0, 1):
        values = [value for pair in tables if name in pair[side].schema.names for value in pair[side][name].to_pylist()]
        found.append(sum(value is None for value in values) / len(values) if values else None)
    return found


VALUES = {
    "n": st.none() | st.integers(-3, 3),
    "x": st.none() | st.sampled_from([0.5, math.nan, math.inf, -1.0]),
    "l": st.none() | st.lists(st.integers(0, 2), max_size=2),
}
TYPES = {"n": pa.int64(), "x": pa.float64(), "l": pa.list_(pa.int64())}


@st.composite
def partitions(draw) -> pa.Table:
    """A few rows with keys that repeat, and some of the columns."""
    rows = draw(st.integers(1, 8))
    users = sorted(draw(st.lists(st.integers(1, 3), min_size=rows, max_size=rows)))
    columns = {"user_id": pa.array(users, pa.int64()), "event": pa.array(["like"] * rows)}
    for name in draw(st.sets(st.sampled_from([*VALUES]), min_size=1)):
        given = draw(st.lists(VALUES[name], min_size=rows, max_size=rows))
        columns[name] = pa.array(given, TYPES[name])
    return pa.table(columns)


def put(world, day, table: pa.Table | None, parts: int) -> None:
    folder = world.output / f"dt={day}"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    if table is None:
        folder.rmdir()
        return
    step = max(-(-table.num_rows // parts), 1)
    for place, start in enumerate(range(0, table.num_rows, step)):
        pq.write_table(table.slice(start, step), folder / f"part-{place}-0.parquet")


@pytest.fixture
def world(tiny_enriched):
    tiny_enriched.run()
    return tiny_enriched


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=EXAMPLES,
)
@given(
    then=st.lists(st.none() | partitions(), min_size=3, max_size=3).filter(any),
    now=st.lists(st.none() | partitions(), min_size=3, max_size=3),
    parts=st.integers(1, 3),
)
def test_it_finds_what_a_plain_comparison_finds(world, then, now, parts):
    for day, table in zip(DAYS, then, strict=True):
        put(world, day, table, 1)
    span = f"{DAYS[0]}..{DAYS[-1]}"
    create_snapshot(Settings(), "then", span)
    try:
        for day, table in zip(DAYS, now, strict=True):
            put(world, day, table, parts)
        found = diff_snapshots(Settings(), "then")
        wanted: dict[str, dict] = {}
        pairs = []
        for day, old, new in zip(DAYS, then, now, strict=True):
            if old is None and new is None:
                continue
            columns = plain(old, new) if old is not None and new is not None else {}
            rows = [table.num_rows if table is not None else 0 for table in (old, new)]
            wanted[str(day)] = {"rows": rows, "columns": columns}
            if columns:
                pairs.append((old, new, columns))
        equal = set(wanted.keys() - found["days"].keys())
        for day in equal:
            place = [str(one) for one in DAYS].index(day)
            assert (then[place] is not None and then[place].equals(now[place])) or str(then[place]) == str(now[place])
        assert {day: one["rows"] for day, one in found["days"].items()} == {
            day: one["rows"] for day, one in wanted.items() if day not in equal
        }
        for day, one in found["days"].items():
            assert one["columns"] == pytest.approx(wanted[day]["columns"])
        by_column = defaultdict(list)
        for old, new, columns in pairs:
            for name in columns:
                by_column[name].append((old, new))
        assert {name: one["null_share"] for name, one in found["moved"].items()} == {
            name: pytest.approx(moved(tables, name)) for name, tables in by_column.items()
        }
        assert diff_lines(found)
    finally:
        remove_snapshot(Settings(), "then")


def test_what_an_edit_changed_is_told(world, monkeypatch):
    said("create", "v1")
    assert said("diff", "v1") == {
        "schema": 1, "name": "v1", "other": "now", "same_days": 3, "days": {}, "moved": {},
    }  # fmt: skip
    read = []
    plain_changes = value_differences.row_changes
    monkeypatch.setattr(
        "daedalus.upkeep.snapshot_diff.row_changes", lambda *arguments: (read.append(1), plain_changes(*arguments))[1]
    )
    assert said("diff", "v1", "v1")["days"] == {} and not read
    late = world.root / f"data/feed/dt={DAYS[-1]}/p.parquet"
    pq.write_table(pq.ParquetFile(late).read().slice(1), late)
    world.run()
    found = said("diff", "v1", code=1)
    assert [*found["days"]] == [str(DAYS[-1])] and found["same_days"] == 2 and len(read) == 1
    said("create", "v2")
    assert said("diff", "v1", "v2", code=1)["days"] == found["days"]
    back = said("diff", "v2", "v1", code=1)["days"][str(DAYS[-1])]
    assert back["rows"] == found["days"][str(DAYS[-1])]["rows"][::-1]
    edit(
        world.runtime,
        output_columns=[
            "user_id",
            "artwork_id",
            "event_timestamp",
            {"name": "what", "from": "event"},
            {"name": "writer", "from": "author_id"},
        ],
    )
    edit(world.runtime, embeddings=None)
    assert answered("skeleton").returncode == 0
    columns = said("diff", "v1", code=1)["days"][str(DAYS[0])]["columns"]
    assert {name for name, share in columns.items() if share == 1} >= {"writer", "author_id", "title", "event", "what"}
    assert "user_id" not in columns


def test_days_of_one_side_and_other_bytes_of_the_same_values(world):
    said("create", "all")
    said("create", "one", "--range", str(DAYS[0]))
    found = said("diff", "all", "one", code=1)
    rows = {day: one["rows"] for day, one in said("show", "all")["days"].items()}
    assert found["days"] == {str(day): {"rows": [rows[str(day)], 0], "columns": {}} for day in DAYS[1:]}
    assert "only here" in answered("snapshot", "diff", "all", "one").stdout
    assert "only there" in answered("snapshot", "diff", "one", "all").stdout
    assert said("diff", "one")["days"] == {}  # of what is published, its range counts
    edit(world.runtime, entity_spine_chunk_rows=5)
    assert answered("skeleton").returncode == 0
    found = said("diff", "all", code=1)
    assert found["days"] == {day: {"rows": [n, n], "columns": {}} for day, n in rows.items()} and not found["moved"]
    assert "values are the same" in answered("snapshot", "diff", "all").stdout


def test_lines_fit_a_terminal_of_80_columns(world):
    said("create", "before-the-great-change-of-the-content-filter")
    edit(world.runtime, content_filter={"drop": {"kind": ["kept"]}})
    world.entries(author_mean={"mean_of": "authors_2d", "max_items": 1})
    world.run()
    found = json.loads(answered("snapshot", "diff", "before-the-great-change-of-the-content-filter", "--json").stdout)
    assert found["days"] and all(len(line) <= 80 for line in diff_lines(found)[1:])
