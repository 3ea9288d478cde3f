"""Tiny projects of which anything may change, one change at a time: see test_warm_equals_cold.py."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import random
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

FIRST = dt.date(2026, 2, 1)
TARGETS = 3
EVENTS = ("click", "like", "click+like", "like.", "a@b", "view", "")
NAMES = ("score", "sign", "t", "key", "value", "text", 'Tag\'s "name"')  # of features; some are ours in places
NAN, MINUS_NAN = float("nan"), -float("nan")


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


@dataclass
class Anything:
    """Tables and settings; `write` puts them below a folder. `name` is that of the feature that changes its type."""

    rng: random.Random
    name: str = "score"
    feed: dict[str, pa.Table] = field(default_factory=dict)  # by path below the feed
    views: dict[str, dict[str, pa.Table]] = field(default_factory=dict)  # by view, by file
    pool: list[int] = field(default_factory=list)
    catalog: dict[str, Any] = field(default_factory=dict)
    runtime: dict[str, Any] = field(default_factory=dict)
    aggregations: list[dict] = field(default_factory=list)

    @property
    def range(self) -> str:
        return f"{day(0)}..{day(TARGETS - 1)}"

    def copy(self) -> Anything:
        """As it is now, with the same source of chance."""
        return copy.deepcopy(self, {id(self.rng): self.rng})

    def write(self, root: Path) -> None:
        for made in ("feed", "catalog", "config"):
            shutil.rmtree(root / made, ignore_errors=True)
        for path, table in self.feed.items():
            _write(root / "feed" / path, table)
        for view, files in self.views.items():
            for file, table in files.items():
                _write(root / "catalog" / view / file, table)
        self._write_pool(root)
        settings = {"catalog": self.catalog, "training/runtime": self.runtime}
        settings["training/aggregations"] = {"aggregations": self.aggregations}
        for file, value in settings.items():
            path = root / "config" / f"{file}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), encoding="utf-8")

    def _write_pool(self, root: Path) -> None:
        import lancedb

        table = pa.table({"artwork_id": pa.array(self.pool, pa.int64())})
        lancedb.connect(root / "pool").create_table("pool", table, mode="overwrite")


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


# The first state


def anything(seed: int) -> Anything:
    rng = random.Random(seed)
    world = Anything(rng, name=rng.choice(NAMES))
    for number in range(-2, TARGETS):
        world.feed[f"dt={day(number)}/a.parquet"] = feed_table(rng, number, sessions=seed % 2 == 0)
    world.views = {"Items": {"a.parquet": items(rng, world.name), "b.parquet": items(rng, world.name)},
                   "people": {"a.parquet": people(rng)}}  # fmt: skip
    world.pool = rng.sample(range(6), 4)
    view = {"timestamp_field": "updated_at", "as_of": rng.choice(["latest", "day"])}
    world.catalog = {"feed": {"path": "feed"}, "views": {
        "Items": {**view, "source": "catalog/Items/*.parquet", "entity": "artwork_id",
                  "features": [world.name, "tags", "made", "author"]},
        "people": {**view, "source": "catalog/people", "entity": "user_id", "features": ["born"]},
    }}  # fmt: skip
    world.aggregations = [aggregation(rng, world, i) for i in range(3)]
    world.runtime = {
        "feed_start": str(day(0)), "feed_end": str(day(TARGETS - 1)), "entity_spine_chunk_rows": 7,
        "compute": {"duckdb_config": {"threads": 1}}, "spine": {"lookback_days": 2},
        "embedding_coverage_filter": {"enabled": True, "events": ["view"], "uri": "pool", "table": "pool"},
        "feature_refs": [f"Items:{world.name}", "people:born"],
        "enrich": [f"Items:{world.name}", "Items:tags"], "ages": {"age": "people:born", "row": "Items:made"},
        "session_filter": {"drop_view_only": True},
        "recent_published": {"column": "recent", "published_at": "Items:made", "author": "Items:author",
                             "window": "30d"},
    }  # fmt: skip
    name_outputs(world)
    return world


def feed_table(rng: random.Random, number: int, *, sessions: bool) -> pa.Table:
    rows = rng.randrange(4, 12)
    times = [dt.datetime.combine(day(number), dt.time(rng.randrange(24), rng.choice([0, 0, 30]))) for _ in range(rows)]
    columns = {
        "user_id": pa.array([rng.randrange(3) for _ in range(rows)], pa.int64()),
        "artwork_id": pa.array([rng.randrange(6) for _ in range(rows)], pa.int64()),
        "event_timestamp": pa.array(times, pa.timestamp("us")),
        "event": pa.array(rng.choices(EVENTS, k=rows), pa.string()),
    }
    if sessions:
        columns["feed_session"] = pa.array(rng.choices(["s", "r", None], k=rows), pa.string())
    return pa.table(columns)


def items(rng: random.Random, name: str) -> pa.Table:
    ids = rng.sample(range(6), 4)
    return pa.table({
        "artwork_id": pa.array(ids, pa.int64()), "updated_at": pa.array(some_times(rng, 4), pa.timestamp("us")),
        name: pa.array([rng.choice([0, 1, 2, None]) for _ in ids], pa.int32()),
        "tags": pa.array([rng.choice([[], [1, 2], [2, None], None]) for _ in ids], pa.list_(pa.int32())),
        "made": pa.array(some_times(rng, 4), pa.timestamp("us")),
        "author": pa.array([rng.randrange(3) for _ in ids], pa.int64()),
    })  # fmt: skip


def people(rng: random.Random) -> pa.Table:
    born = pa.array(some_times(rng, 3), pa.timestamp("us"))
    return pa.table({"user_id": pa.array(range(3), pa.int64()), "updated_at": born, "born": born})


def some_times(rng: random.Random, count: int) -> list[dt.datetime | None]:
    return [
        rng.choice([None, *(dt.datetime.combine(day(n), dt.time(12)) for n in (-30, -1, 0, 1))]) for _ in range(count)
    ]


def aggregation(rng: random.Random, world: Anything, number: int) -> dict:
    agg, column = rng.choice([("list", "artwork_id"), ("distinct", world.name), ("flatten_distinct", "tags"),
                              ("count", world.name), ("distinct", "event"), ("sum", "artwork_id"), ("top", "event"),
                              ("last", world.name)])  # fmt: skip
    made = {"name": f"a{number}@%", "events": rng.sample(EVENTS, rng.choice([1, 2])), "column": column, "agg": agg,
            "windows": rng.choice([["1d"], ["2d", "12h"], ["1d", "20d"]]),
            "exclude_self": rng.random() < 0.3}  # fmt: skip
    if rng.random() < 0.3:
        made["windows"] = "cumulative"
    if rng.random() < 0.4:
        made["where"] = rng.choice([{"event": rng.sample(EVENTS, 2)}, {"artwork_id": rng.sample(range(6), 3)},
                                    {"feed_session": ["s"], "user_id": [0, 2]}])  # fmt: skip
    limited = rng.random() < 0.5 and agg not in ("count", "sum", "last")
    return made | ({"max_items": rng.choice([1, 3])} if limited else {})


def name_outputs(world: Anything) -> None:
    """Output columns for what the settings make now."""
    made = [f"{a['name']}_{w}" for a in world.aggregations if a["windows"] != "cumulative" for w in a["windows"]]
    made += [a["name"] for a in world.aggregations if a["windows"] == "cumulative"]
    columns = ["user_id", "artwork_id", "event_timestamp", "event", world.name, *world.runtime["ages"], "recent", *made]
    world.runtime["output_columns"] = [*columns, {"name": "nothing", "default": world.rng.choice([0, None, [0]])}]


# Changes: each alters a world, and says how


def other_type(world: Anything) -> str:
    """The same values in a column of another type, in one file of a view or in all."""
    column = world.rng.choice([world.name, "tags", "made", "author", "born"])
    view = "people" if column == "born" else "Items"
    kind = world.rng.choice(TYPES[column if column in TYPES else "score"])
    files = list(world.views[view]) if world.rng.random() < 0.8 else [world.rng.choice(list(world.views[view]))]
    retype(world, column, kind, files)
    return f"{view}.{column} becomes {kind} in {files}"


def retype(world: Anything, column: str, kind: pa.DataType, files: Collection[str] | None = None) -> None:
    """Writes a view's column as another type, in some of its files or in all."""
    for tables in world.views.values():
        for file, table in tables.items():
            if column in table.column_names and (files is None or file in files):
                values = pa.array([fitting(value, kind) for value in table[column].to_pylist()], kind)
                tables[file] = table.set_column(table.column_names.index(column), column, values)


TYPES: dict[str, list[pa.DataType]] = {
    "score": [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64(), pa.float32(),
              pa.float64(), pa.decimal128(9, 2), pa.decimal128(12, 2), pa.decimal128(12, 3), pa.string(),
              pa.large_string(), pa.null(), pa.bool_(), pa.dictionary(pa.int32(), pa.string()), pa.date32()],
    "tags": [pa.list_(pa.int32()), pa.list_(pa.int64()), pa.list_(pa.float64()), pa.list_(pa.string()),
             pa.large_list(pa.int16()), pa.list_(pa.decimal128(9, 1))],
    "made": [pa.timestamp("us"), pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("us", "Asia/Taipei"),
             pa.date32()],
    "born": [pa.timestamp("us"), pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.date32(), pa.null()],
    "author": [pa.int64(), pa.int32(), pa.int16(), pa.uint8()],
}  # fmt: skip


def fitting(value: Any, kind: pa.DataType) -> Any:
    """A value as a column of the type takes it."""
    if value is None or pa.types.is_null(kind):
        return None
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [fitting(member, kind.value_type) for member in value]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        known = value if isinstance(value, dt.date) else day(int(float(value)) % 5)
        known = known.replace(tzinfo=None) if isinstance(known, dt.datetime) else known
        whole = isinstance(known, dt.datetime)
        return (
            (known.date() if whole else known)
            if pa.types.is_date(kind)
            else (known if whole else dt.datetime.combine(known, dt.time()))
        )
    number = (value - day(-90)).days % 100 if type(value) is dt.date else float(value)
    number = 0.0 if number != number else number
    if pa.types.is_floating(kind):
        return number
    if pa.types.is_decimal(kind):
        return decimal.Decimal(int(number))
    if pa.types.is_boolean(kind):
        return bool(number)
    return int(number) % 128 if pa.types.is_integer(kind) else str(int(number))


def other_value(world: Anything) -> str:
    view, file, column = world.rng.choice([(v, f, c) for v, files in world.views.items() for f, t in files.items()
                                           for c in t.column_names])  # fmt: skip
    table = world.views[view][file]
    values = table[column].to_pylist()
    at = world.rng.randrange(len(values))
    kind = table.schema.field(column).type
    pick = world.rng.choice([None, values[world.rng.randrange(len(values))]])
    if pa.types.is_floating(kind):
        pick = world.rng.choice([0.0, -0.0, NAN, MINUS_NAN, 1.5, float("inf")])
    values[at] = pick
    world.views[view][file] = table.set_column(table.column_names.index(column), column, pa.array(values, kind))
    return f"{view}/{file}: {column}[{at}] = {pick!r}"


def rows_of_the_feed(world: Anything) -> str:
    path = world.rng.choice(list(world.feed))
    table, do = world.feed[path], world.rng.choice(["drop", "repeat", "turn", "types", "move", "day"])
    rows = list(range(table.num_rows))
    if do == "drop":
        rows = rows[1:]
    elif do == "repeat":
        rows = [*rows, *rows[:1]]
    elif do == "turn":
        rows = rows[::-1]
    elif do == "types":
        world.feed[path] = retyped(world.rng, table)
        return f"{path}: other types"
    elif do == "move" and len(rows) > 1:
        world.feed[path.replace(".parquet", "x.parquet")] = table.take(rows[:1])
        rows = rows[1:]
    elif do == "day":
        path = f"dt={day(world.rng.randrange(-3, TARGETS + 1))}/new.parquet"
        world.feed[path] = table
        return f"{path} of the rows of another"
    world.feed[path] = table.take(pa.array(rows, pa.int64()))
    return f"{path}: {do}"


def retyped(rng: random.Random, table: pa.Table) -> pa.Table:
    kinds = {"user_id": [pa.int16(), pa.int64()], "artwork_id": [pa.int32(), pa.uint32()],
             "event_timestamp": [pa.timestamp("ns"), pa.timestamp("s"), pa.timestamp("us", "UTC")],
             "event": [pa.dictionary(pa.int32(), pa.string()), pa.string()]}  # fmt: skip
    for column, choice in kinds.items():
        kind = rng.choice(choice)
        table = table.set_column(table.column_names.index(column), column, table[column].cast(kind))
    return table


def ids_of_the_pool(world: Anything) -> str:
    world.pool = world.rng.sample(range(6), world.rng.randrange(1, 6))
    return f"pool {world.pool}"


def an_aggregation(world: Anything) -> str:
    at = world.rng.randrange(len(world.aggregations))
    world.aggregations[at] = aggregation(world.rng, world, at)
    name_outputs(world)
    return f"aggregation {world.aggregations[at]}"


def a_setting(world: Anything) -> str:
    rng, runtime = world.rng, world.runtime
    key, value = rng.choice([
        ("spine", {"lookback_days": rng.choice([2, 3]), "deduplicate": rng.random() < 0.5,
                   "lateness_days": rng.choice([0, 1])}),
        ("session_filter", {"drop_view_only": rng.random() < 0.5, "drop_single_like": rng.random() < 0.5}),
        ("content_filter", {"drop": {rng.choice(["event", "row", "artwork_id"]): [1]}} if rng.random() < 0.5 else {}),
        ("entity_spine_chunk_rows", rng.choice([1, 7, 100])),
        ("ages", rng.choice([{"age": "people:born", "row": "Items:made"}, {"row": "people:born"}])),
        ("enrich", rng.sample([f"Items:{world.name}", "Items:tags"], 2)),
    ])  # fmt: skip
    if key == "content_filter" and "event" in value.get("drop", {}):
        value = {"drop": {"event": ["click"]}}
    runtime[key] = value
    if key == "ages" and "row" in runtime.get("content_filter", {}).get("drop", {}):
        runtime["content_filter"] = {}
    name_outputs(world)
    return f"{key}: {value}"


def a_view(world: Anything) -> str:
    name = world.rng.choice(list(world.catalog["views"]))
    view, what = world.catalog["views"][name], world.rng.choice(["as_of", "features", "timestamp_field", "file"])
    if what == "as_of":
        view["as_of"] = world.rng.choice(["latest", "day"])
    elif what == "features":
        world.rng.shuffle(view["features"])
    elif what == "timestamp_field" and name == "Items":
        view["timestamp_field"] = world.rng.choice(["updated_at", "made"])
    elif what == "file":
        file = world.rng.choice(list(world.views[name]))
        world.views[name]["0" + file] = world.views[name].pop(file)
    return f"view {name}: {what} {view['as_of']} {view['timestamp_field']}"


def nothing(world: Anything) -> str:
    """The same bytes, written again."""
    return "nothing"


CHANGES: tuple[Callable[[Anything], str], ...] = (
    other_type, other_type, other_type, other_value, other_value, rows_of_the_feed, rows_of_the_feed, ids_of_the_pool,
    an_aggregation, a_setting, a_view, nothing,
)  # fmt: skip


def change(world: Anything) -> str:
    """Does one of them, or several at once."""
    return "; ".join(world.rng.choice(CHANGES)(world) for _ in range(world.rng.choice([1, 1, 2])))
