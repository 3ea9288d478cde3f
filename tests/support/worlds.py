"""Small dirty worlds: what hypothesis draws, and how it becomes files and YAML."""

from __future__ import annotations

import datetime as dt
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st

START = dt.date(2026, 2, 27)  # the targets cross the end of a month
SLOTS = (0, 1, 3_600_000_000, 43_200_000_000, 43_200_000_001, 43_200_001_000, 86_399_999_999)
EVENTS = ("reco_artwork_view", "reco_artwork_view2", "click", "like", "dislike_click", "share")
VIEWS = EVENTS[:2]


def when(day: int, slot: int) -> int:
    """Microseconds of a slot of the day that lies `day` days after START."""
    return ((START - dt.date(1970, 1, 1)).days + day) * 86_400_000_000 + SLOTS[slot]


@dataclass
class World:
    """Rows and settings; `build` writes them out and returns the config folder."""

    feed: list[dict]
    views: dict[str, list[dict]]
    runtime: dict[str, Any]
    aggregations: list[dict]
    pool: tuple[int, ...]
    targets: int
    kinds: list[int] = field(default_factory=lambda: [0])
    as_of: str = "latest"

    @property
    def days(self) -> list[dt.date]:
        return [START + dt.timedelta(days=i) for i in range(self.targets)]

    @property
    def range(self) -> str:
        return f"{self.days[0]}..{self.days[-1]}"

    def build(self, root: Path, pools: Path) -> Path:
        self.write_feed(root)
        for name, rows in self.views.items():
            write_view(root / "catalog" / name, VIEW_SCHEMAS[name], rows, self.kinds)
        return self.write_config(root, pools)

    def write_feed(self, root: Path) -> None:
        shutil.rmtree(root / "feed", ignore_errors=True)
        files: dict[tuple, list[dict]] = defaultdict(list)
        for i, row in enumerate(self.feed):
            partition = START + dt.timedelta(days=row["partition"])
            files[partition, self.kinds[i % len(self.kinds)]].append(row)
        files.setdefault((START + dt.timedelta(days=40), 0), [])  # so that there always is a feed
        for (partition, kind), rows in files.items():
            folder = root / "feed" / f"dt={partition}"
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(feed_table(rows, kind), folder / f"part-{kind}.parquet")

    def write_config(self, root: Path, pools: Path) -> Path:
        views = {}
        for name, schema in VIEW_SCHEMAS.items():
            entity, *features = [column for column in schema if column != "updated_at"]
            views[name] = {
                "source": str(root / "catalog" / name / "*.parquet"),
                "entity": entity,
                "timestamp_field": "updated_at",
                "features": features,
                "as_of": self.as_of,
            }
        pool = {"uri": str(pools), "table": "pool_" + "_".join(map(str, self.pool)), "id_column": "artwork_id"}
        coverage = {**self.runtime["embedding_coverage_filter"], **pool}
        runtime = {**self.runtime, "embedding_coverage_filter": coverage}
        write_yaml(root / "config/catalog.yaml", {"feed": {"path": str(root / "feed")}, "views": views})
        write_yaml(root / "config/training/runtime.yaml", runtime)
        write_yaml(root / "config/training/aggregations.yaml", {"aggregations": self.aggregations})
        return root / "config"


def write_yaml(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(value, sort_keys=False))


VIEW_SCHEMAS = {
    "user_profile": {
        "user_id": pa.int64(), "updated_at": pa.timestamp("us"), "safe": pa.bool_(), "joined": pa.timestamp("us"),
    },
    "artwork_properties": {
        "artwork_id": pa.int64(), "updated_at": pa.timestamp("us"), "author_id": pa.int64(),
        "artwork_type": pa.string(), "created_at": pa.timestamp("us"),
    },
    "artwork_generation": {
        "artwork_id": pa.int64(), "updated_at": pa.timestamp("us"), "model_id": pa.int64(), "model_type": pa.string(),
    },
    "artwork_tack": {"artwork_id": pa.int64(), "updated_at": pa.timestamp("us"), "tack_ids": pa.list_(pa.int64())},
}  # fmt: skip


def feed_table(rows: list[dict], kind: int) -> pa.Table:
    """The rows as one of six kinds of file: full, narrow, bare, with zones and names, in ns, with dictionaries."""
    ids = pa.int32() if kind == 1 else pa.int64()
    unit = {1: pa.timestamp("ms"), 3: pa.timestamp("us", "Asia/Taipei"), 4: pa.timestamp("ns")}.get(
        kind, pa.timestamp("us")
    )
    texts = pa.dictionary(pa.int32(), pa.string()) if kind == 5 else pa.string()
    times = [row["ts"] for row in rows]
    scaled = {1: [t and t // 1000 for t in times], 4: [t and t * 1000 + 999 for t in times]}.get(kind, times)
    columns: dict[str, pa.Array] = {
        "user_id": pa.array([row["user"] for row in rows], ids),
        "artwork_id": pa.array([row["artwork"] for row in rows], ids),
        "event_timestamp": pa.array(scaled, pa.int64()).cast(unit),
        "event": pa.array([row["event"] for row in rows], pa.string()).cast(texts),
    }
    if kind != 2:
        codes = pa.string() if kind == 3 else pa.int32()
        countries, platforms = ("country_name", "platform_name") if kind == 3 else ("country", "platform")
        columns |= {
            "feed_session": pa.array([row["session"] for row in rows], pa.string()).cast(texts),
            "current_like_count": pa.array([row["likes"] for row in rows], ids),
            "country_code": pa.array([row[countries] for row in rows], codes),
            "platform_code": pa.array([row[platforms] for row in rows], codes),
            'ignored; "column': pa.array([1] * len(rows), pa.int8()),
        }
    if kind in (0, 3):
        columns["retriever_id"] = pa.array([row["retriever"] for row in rows], pa.string())
    if kind == 4:
        columns["member_source"] = pa.nulls(len(rows))
    return pa.table(columns)


def write_view(folder: Path, schema: dict[str, pa.DataType], rows: list[dict], kinds: list[int]) -> None:
    """The rows over two files; the second may be narrower, in milliseconds, or lack the last feature."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    half = len(rows) // 2
    for name, part, kind in (("b", rows[:half], 0), ("c/nested", [], 0), ("d", rows[half:], kinds[0])):
        if "/" in name:
            continue
        types = dict(schema)
        if kind == 1:
            types = {k: pa.int32() if v == pa.int64() else v for k, v in types.items()}
        if kind == 2:
            types.popitem()
        if kind == 3:
            types["updated_at"] = pa.timestamp("us", "UTC")
        columns = {column: pa.array([row.get(column) for row in part], pa.int64()).cast(kind_)
                   if pa.types.is_timestamp(kind_) else pa.array([row.get(column) for row in part], kind_)
                   for column, kind_ in types.items()}  # fmt: skip
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


# Drawing

ids = st.integers(1, 4)
two_sided = st.fixed_dictionaries({"before": st.integers(0, 2), "after": st.integers(0, 2)})
lateness = st.one_of(st.integers(0, 2), two_sided)
maybe_id = st.one_of(ids, ids, ids, ids, ids, ids, st.none())
times = st.builds(when, st.one_of(st.integers(-9, 3), st.integers(-95, -8)), st.integers(0, len(SLOTS) - 1))


@st.composite
def feed_rows(draw: st.DrawFn, targets: int) -> dict:
    near = st.integers(-7, targets - 1)
    day = draw(st.one_of(near, near, near, st.integers(-95, -8)))
    missing = draw(st.integers(0, 30))
    return {
        "user": None if missing == 0 else draw(st.integers(1, 3)),
        "artwork": None if missing == 1 else draw(st.integers(1, 5)),
        "ts": None if missing == 2 else when(day, draw(st.integers(0, len(SLOTS) - 1))),
        "event": None if missing == 3 else draw(st.sampled_from(EVENTS)),
        "session": draw(st.sampled_from([None, "a", "b", "c"])),
        "likes": draw(st.sampled_from([None, 1, 2])),
        "country": draw(st.sampled_from([None, 0, 158])),
        "country_name": draw(st.sampled_from([None, "tw", "TW", "xx", "158"])),
        "platform": draw(st.sampled_from([None, 0, 2])),
        "platform_name": draw(st.sampled_from([None, "ios", "web", "IOS"])),
        "retriever": draw(st.sampled_from([None, "r", "s"])),
        "partition": day + draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3, -1])),
    }


def view_rows(name: str) -> st.SearchStrategy[dict]:
    entity = "user_id" if name == "user_profile" else "artwork_id"
    values: dict[str, st.SearchStrategy] = {
        "safe": st.sampled_from([None, True, False]),
        "joined": st.one_of(st.none(), times),
        "author_id": st.sampled_from([None, 1, 2, 3]),
        "artwork_type": st.sampled_from([None, "ANIMATED_ARTWORK", "IMAGE"]),
        "created_at": st.one_of(st.none(), times),
        "model_id": st.sampled_from([None, 7, 8]),
        "model_type": st.sampled_from([None, "SD_V1_MODEL", "OTHER", "DEFAULT_I2V_MODEL"]),
        "tack_ids": st.one_of(st.none(), st.lists(st.sampled_from([None, 1, 2, 3]), max_size=3)),
    }
    columns = {c: values[c] for c in VIEW_SCHEMAS[name] if c in values}
    return st.fixed_dictionaries({entity: maybe_id, "updated_at": st.one_of(st.none(), times), **columns})


WHERE: dict[str, list] = {  # of the feed
    "platform_code": [0, 1, 2, 3.0], "country_code": [0, 158, 2**40], "retriever_id": ["r", "s", "t"],
    "current_like_count": [1, 2.0, 0.5],
}  # fmt: skip
VIEW_WHERE: dict[str, list] = {"author_id": [1, 2, 3], "model_id": [7, 8.0]}


@st.composite
def wheres(draw: st.DrawFn, known: dict[str, list]) -> dict[str, list]:
    columns = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=2, unique=True))
    return {name: draw(st.lists(st.sampled_from(known[name]), min_size=1, max_size=2)) for name in columns}


KEYS = ["user_id", "artwork_id", "author_id", "model_id", "retriever_id", "platform_code", "current_like_count"]
SINGLE = ["sum", "mean", "std", "min", "max", "last", "first", "count_distinct", "since_last"]  # of one value each


@st.composite
def aggregations(draw: st.DrawFn) -> list[dict]:
    found = []
    for i in range(draw(st.integers(1, 4))):
        agg = draw(st.sampled_from(["list", "distinct", "distinct", "flatten_distinct", "count", "top", *SINGLE]))
        cumulative = draw(st.integers(0, 3)) == 0
        columns = ["artwork_id", "artwork_id", "current_like_count", "author_id", "model_id"]
        column = "tack_ids" if agg == "flatten_distinct" else draw(st.sampled_from(columns))
        windows = ["1m", "12h", "1d", "2d", "3d", "9d", "30d", "90d"]
        spec: dict[str, Any] = {
            "name": f"agg{i}",
            "events": draw(st.lists(st.sampled_from(EVENTS), min_size=1, max_size=3, unique=True)),
            "column": column,
            "agg": agg,
            "windows": "cumulative"
            if cumulative
            else draw(st.lists(st.sampled_from(windows), min_size=1, max_size=3, unique=True)),
            "exclude_self": draw(st.booleans()),
        }
        if agg not in ("count", *SINGLE) and draw(st.booleans()):
            spec["max_items"] = draw(st.integers(1, 5))
        if draw(st.integers(0, 2)) == 0:
            spec["where"] = draw(wheres({**WHERE, **VIEW_WHERE}))
        if draw(st.integers(0, 2)) == 0:
            key, *match = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=2, unique=True))
            spec |= {"key": key, **({"match": match[0]} if match else {})}
        found.append(spec)
    return found


def outputs(aggs: list[dict]) -> list:
    names: list = ["user_id", "artwork_id", "event_timestamp", "event", "current_like_count", "country_code",
                   "platform_code", "retriever_id", "member_source", "safe", "user_age", "author_id", "artwork_type",
                   "artwork_age", "model_id", "model_type", "tack_ids"]  # fmt: skip
    for agg in aggs:
        names += [agg["name"]] if agg["windows"] == "cumulative" else [f"{agg['name']}_{w}" for w in agg["windows"]]
    names += ["published", {"name": "absent", "default": 5}, {"name": "late", "default_sql": "CAST(NULL AS FLOAT[])"}]
    return names


@st.composite
def worlds(draw: st.DrawFn) -> World:
    targets, lookback = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    aggs = draw(aggregations())
    runtime = {
        "feed_start": "202602",
        "feed_end": "202602",
        "entity_spine_chunk_rows": draw(st.sampled_from([1, 2, 3, 1000])),
        "compute": {"duckdb_config": {"threads": 1}},
        "spine": {
            "lookback_days": lookback,
            "lateness_days": draw(lateness),
            "deduplicate": draw(st.integers(0, 3)) > 0,
        },
        "embedding_coverage_filter": {"enabled": draw(st.integers(0, 3)) > 0, "events": list(VIEWS)},
        "feature_refs": ["user_profile:safe", "artwork_generation:model_type"],
        "enrich": ["artwork_properties:author_id", "artwork_generation:model_id", "artwork_tack:tack_ids"],
        "ages": {"user_age": "user_profile:joined", "artwork_age": "artwork_properties:created_at"},
        "session_filter": {"drop_view_only": draw(st.booleans()), "drop_single_like": draw(st.booleans())},
        "recent_published": {
            "column": "published",
            "published_at": "artwork_properties:created_at",
            "author": "artwork_properties:author_id",
            "window": draw(st.sampled_from(["1d", "4d"])),
            "max_items": draw(st.sampled_from([1, 2, 100])),
        },
        "animated_model_type": {"artwork_type": "ANIMATED_ARTWORK", "from": "SD_V1_MODEL", "to": "DEFAULT_I2V_MODEL"},
        "content_filter": {"drop": {"model_type": ["SD_V1_MODEL"]}},
        "platforms": {"ios": 1, "web": 3},
        "output_columns": outputs(aggs),
    }
    return World(
        feed=draw(st.lists(feed_rows(targets), min_size=4, max_size=40)),
        views={name: draw(st.lists(view_rows(name), max_size=8)) for name in VIEW_SCHEMAS},
        runtime=runtime,
        aggregations=aggs,
        pool=draw(st.sampled_from([(1, 2, 3), (1, 3, 5), (9,)])),
        targets=targets,
        kinds=draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)),
        as_of=draw(st.sampled_from(["latest", "day"])),
    )


POOLS = ((1, 2, 3), (1, 3, 5), (9,))
