"""Small dirty worlds with a pool of vectors, a Lance table of any history, and embedding columns."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from enrich_reference import Embeddings, converted
from hypothesis import strategies as st
from worlds import EVENTS, VIEW_SCHEMAS, World, outputs, when, worlds, write_yaml

Rows = list[tuple[int | None, list | None]]
WIDTHS = {"halffloat": 16, "float": 32, "double": 64}
NAMES = {"halffloat": "float16", "float": "float32"}
EXTREMES = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 65504.0, -65504.0, 2.0**-24]
EXTREMES_32 = [*EXTREMES, 65520.0, 3.4028234663852886e38, -3.4028234663852886e38, 2.0**-149, -(2.0**-149)]
EXTREMES_64 = [*EXTREMES_32, 1.7976931348623157e308, -1.7976931348623157e308, 3.4028235677973366e38, 5e-324,
               1.00048828125, 65519.99999999999, 1 + 2.0**-24 + 2.0**-50]  # fmt: skip
BY_WIDTH = {16: EXTREMES, 32: EXTREMES_32, 64: EXTREMES_64}


def vector_type(kind: str, dim: int, *, fixed: bool) -> pa.DataType:
    """The type of a vector column; `kind` is halffloat, float or double."""
    member = pa.type_for_alias(kind)
    return pa.list_(member, dim) if fixed else pa.list_(member)


@dataclass
class Pool:
    """A Lance table of `artwork_id` and `vector`; every change is a new version of it."""

    path: Path
    type: pa.DataType

    def rows(self) -> Rows:
        """The rows in the table's order."""
        import lance

        table = lance.dataset(str(self.path)).to_table(columns=["artwork_id", "vector"])
        vectors = table["vector"].to_pylist()
        plain = [v and [None if c is None else float(c) for c in v] for v in vectors]
        return list(zip(table["artwork_id"].to_pylist(), plain, strict=True))

    def append(self, rows: Rows) -> None:
        self._write(rows, "append" if self.path.exists() else "create")

    def delete(self, ids: Sequence[int]) -> None:
        import lance

        lance.dataset(str(self.path)).delete(f"artwork_id IN ({', '.join(map(str, ids))})")

    def compact(self) -> None:
        import lance

        lance.dataset(str(self.path)).optimize.compact_files()

    def remake(self, rows_per_file: int = 1000) -> None:
        """Drops the table, and makes it again of the same rows."""
        rows = self.rows()
        shutil.rmtree(self.path)
        self._write(rows, "create", max_rows_per_file=rows_per_file)

    def _write(self, rows: Rows, mode: str, **options: Any) -> None:
        import lance

        ids, vectors = zip(*rows, strict=True)
        columns = {"artwork_id": pa.array(ids, pa.int64()), "vector": _vectors(vectors, self.type)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lance.write_dataset(pa.table(columns), str(self.path), mode=mode, **options)


def _vectors(vectors: Sequence[list | None], kind: pa.DataType) -> pa.Array:
    if kind.value_type == pa.float16():
        vectors = [v and [None if c is None else np.float16(c) for c in v] for v in vectors]  # which pyarrow asks for
    return pa.array(vectors, kind)


Step = tuple[str, Any]  # a method of Pool and its argument


@dataclass
class EnrichWorld:
    """A world of the skeleton's tests, how its pool came about, and its embeddings."""

    world: World = field(repr=False)  # which is long
    type: pa.DataType
    history: list[Step]
    embeddings: Embeddings

    def build(self, root: Path) -> None:
        self.write(root)
        pool = self.pool(root)
        for step in self.history:
            do(pool, step)

    def pool(self, root: Path) -> Pool:
        return Pool(root / "pools" / f"pool_{'_'.join(map(str, self.world.pool))}.lance", self.type)

    def write(self, root: Path) -> None:
        """Feed, views, the config, and beside it one whose output has every list, and one that drops nothing."""
        settings = {"columns": self.embeddings.columns, "dtype": self.embeddings.dtype}
        self.world.runtime["embeddings"] = {**settings, "output_root": str(root / "enriched")}
        config = self.world.build(root, root / "pools")
        shutil.rmtree(root / "wide", ignore_errors=True)
        shutil.copytree(config, root / "wide")
        columns = outputs(self.world.aggregations)
        pool = {"uri": str(root / "pools"), "table": self.pool(root).path.stem, "id_column": "artwork_id"}
        coverage = {**self.world.runtime["embedding_coverage_filter"], **pool}
        wide = {**self.world.runtime, "output_columns": columns, "embedding_coverage_filter": coverage}
        write_yaml(root / "wide/training/runtime.yaml", wide)
        shutil.rmtree(root / "unfiltered", ignore_errors=True)
        shutil.copytree(root / "wide", root / "unfiltered")
        write_yaml(root / "unfiltered/training/runtime.yaml", {**wide, "content_filter": {}})


def do(pool: Pool, step: Step) -> None:
    name, argument = step
    getattr(pool, name)(*([] if argument is None else [argument]))


# Drawing: hypothesis draws what there is, and a seed; rows come from the seed, so that there are enough of them

Source = random.Random
seeds = st.integers(0, 2**32 - 1).map(random.Random)
IDS = [*(1, 2, 3, 4, 5) * 4, 7, 8, 99, None]
PLAIN = [1.0, -1.0, 0.5, 3.0, 0.0999755859375]


def feed_row(rng: Source, targets: int) -> dict:
    """A row of the feed, mostly a like, of few users and artworks."""
    day = rng.randrange(-2, targets)
    return {
        "user": rng.choice([1, 1, 1, 2]), "artwork": rng.choice([1, 2, 3, 4, 5, 5]),
        "ts": when(day, rng.randrange(7)) + rng.choice([0, 1, 60_000_000]),
        "event": rng.choice(["like", "like", "click", *EVENTS]), "session": rng.choice([None, "a", "b"]),
        "likes": rng.choice([None, 1, 2]), "country": None, "country_name": "tw", "platform": 2, "platform_name": "ios",
        "retriever": None, "partition": day,
    }  # fmt: skip


def view_row(rng: Source, name: str, entity: int) -> dict:
    """A row of a view; `artwork_type` and `model_type` leave most rows in."""
    values = {
        "safe": True, "joined": when(-5, 1), "author_id": rng.choice([1, 2, 3, 3, None]),
        "artwork_type": rng.choice([None, "ANIMATED_ARTWORK", "IMAGE"]), "created_at": when(rng.randrange(-3, 2), 1),
        "model_id": rng.choice([7, 8, None]), "model_type": rng.choice([None, "OTHER", "OTHER", "SD_V1_MODEL"]),
        "tack_ids": rng.choice([[1, 2, None], [3], [], [2, 3]]),
    }  # fmt: skip
    columns = {column: values[column] for column in VIEW_SCHEMAS[name] if column in values}
    key = "user_id" if name == "user_profile" else "artwork_id"
    return {key: entity, "updated_at": when(rng.randrange(-4, 2), rng.randrange(7)), **columns}


def pool_row(rng: Source, kind: pa.DataType, dim: int, *, odd: bool) -> tuple[int | None, list | None]:
    """A row of the pool; with `odd` now and then one of another length, or with a NULL component."""
    if rng.random() < 0.15:
        return rng.choice(IDS), None
    fixed = pa.types.is_fixed_size_list(kind)
    length = rng.randrange(4) if odd and not fixed and rng.random() < 0.15 else dim
    vector: list = [component(rng, str(kind.value_type)) for _ in range(length)]
    if odd and vector and rng.random() < 0.1:
        vector[rng.randrange(length)] = None
    return rng.choice(IDS), vector


def component(rng: Source, kind: str) -> float:
    """A number of a type: a plain one, one of any size, or one at an edge."""
    way = rng.random()
    if way < 0.3:
        return rng.choice(PLAIN)
    if way < 0.9:
        exponents = {"halffloat": (-24, 15), "float": (-60, 60), "double": (-160, 130)}[kind]
        size = rng.choice([1.0, 1.0, 2.0 ** rng.randrange(*exponents)])
        return converted(rng.gauss(0, 1) * size, NAMES[kind]) if kind in NAMES else rng.gauss(0, 1) * size
    return rng.choice(BY_WIDTH[WIDTHS[kind]])


@st.composite
def steps(draw: st.DrawFn, kind: pa.DataType, dim: int, *, odd: bool) -> Step:
    """A change of the pool."""
    name = draw(st.sampled_from(["append", "append", "delete", "compact", "remake"]))
    rng = draw(seeds)
    if name == "append":
        return name, [pool_row(rng, kind, dim, odd=odd) for _ in range(rng.randrange(1, 5))]
    return name, {"delete": rng.sample(range(1, 6), 2), "compact": None, "remake": rng.choice([1, 2, 1000])}[name]


def lists_of(world: World) -> list[str]:
    """The list columns that the world makes, in the output or not."""
    listed = [agg for agg in world.aggregations if agg["agg"] != "count"]
    windows = [agg["name"] + (f"_{w}" if w else "") for agg in listed
               for w in ([""] if agg["windows"] == "cumulative" else agg["windows"])]  # fmt: skip
    return [*windows, "published"]


@st.composite
def entries(draw: st.DrawFn, world: World) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"of": draw(st.sampled_from(["artwork_id", "artwork_id", "author_id", "user_id", "model_id"]))}
    entry: dict[str, Any] = {"mean_of": draw(st.sampled_from(lists_of(world)))}
    return entry | ({"max_items": draw(st.integers(1, 5))} if draw(st.booleans()) else {})


@st.composite
def aggregations(draw: st.DrawFn) -> list[dict]:
    found = []
    for number in range(draw(st.integers(1, 3))):
        column, agg = draw(st.sampled_from([("artwork_id", "list"), ("artwork_id", "distinct"), ("author_id", "list"),
                                            ("tack_ids", "flatten_distinct"), ("model_id", "distinct")]))  # fmt: skip
        windows = [["1d"], ["12h", "2d"], ["1d", "30d"], "cumulative"]
        spec = {"name": f"agg{number}", "column": column, "agg": agg, "windows": draw(st.sampled_from(windows)),
                "events": draw(st.sampled_from([["like"], ["click", "like"], list(EVENTS)])),
                "exclude_self": draw(st.booleans())}  # fmt: skip
        found.append(spec | ({"max_items": draw(st.integers(1, 4))} if draw(st.booleans()) else {}))
    return found


@st.composite
def dense_worlds(draw: st.DrawFn) -> World:
    """Worlds of the skeleton's tests whose settings vary less, and in which most rows ship and have lists."""
    world, rng = draw(worlds()), draw(seeds)
    world.aggregations = draw(aggregations())
    world.feed = [feed_row(rng, world.targets) for _ in range(rng.randrange(20, 60))]
    world.views = {
        name: [view_row(rng, name, entity) for entity in (1, 2, 3, 4, 5, 2)] for name in VIEW_SCHEMAS
    }  # fmt: skip
    world.runtime["spine"] = {"lookback_days": 2, "deduplicate": draw(st.booleans())}
    world.runtime["output_columns"] = outputs(world.aggregations)
    return world


@st.composite
def enrich_worlds(draw: st.DrawFn) -> EnrichWorld:
    world, rng = draw(dense_worlds()), draw(seeds)
    dim, odd = draw(st.sampled_from([3, 3, 2, 2, 1, 0])), draw(st.integers(0, 3)) == 0
    kind = vector_type(draw(st.sampled_from(list(WIDTHS))), dim, fixed=dim > 0 and draw(st.booleans()))
    names = draw(st.lists(st.sampled_from(["late", "absent", "image", "Ünsorted name"]), min_size=2, unique=True))
    hidden = draw(st.sets(st.sampled_from(lists_of(world))))
    world.runtime["output_columns"] = [name for name in world.runtime["output_columns"] if str(name) not in hidden]
    first = [pool_row(rng, kind, dim, odd=odd) for _ in range(rng.randrange(6, 20))]
    history: list[Step] = [("append", [(99, [0.5] * dim), *first])]
    history += draw(st.lists(steps(kind, dim, odd=odd), max_size=3))
    columns = {name: draw(entries(world)) for name in names}
    return EnrichWorld(world, kind, history, Embeddings(columns, draw(st.sampled_from(["float32", "float16"]))))


def edit(made: EnrichWorld, root: Path, data: st.DataObject) -> str:
    """Changes one thing in the pool, the settings or the feed; says what."""
    world, columns = made.world, dict(made.embeddings.columns)
    dim = made.type.list_size if pa.types.is_fixed_size_list(made.type) else len(made.history[0][1][0][1])
    kind = data.draw(st.integers(0, 8))
    if kind < 4:
        step = data.draw(steps(made.type, dim, odd=False))
        do(made.pool(root), step)
        return f"pool: {step}"
    name = data.draw(st.sampled_from(sorted(columns)))
    if kind == 4:
        columns[name] = data.draw(entries(world))
    elif kind == 5:
        columns = {**columns, "added": data.draw(entries(world))} if "added" not in columns else columns
    elif kind == 6:
        value = data.draw(st.sampled_from(["SD_V1_MODEL", "OTHER", "DEFAULT_I2V_MODEL"]))
        world.runtime["content_filter"] = {"drop": {"model_type": [value]}} if data.draw(st.booleans()) else {}
    elif kind == 7:
        made.embeddings.dtype = "float16" if made.embeddings.dtype == "float32" else "float32"
    elif data.draw(st.booleans()):
        world.feed.append(feed_row(data.draw(seeds), world.targets))
    else:
        view = data.draw(st.sampled_from(sorted(world.views)))
        world.views[view].append(view_row(data.draw(seeds), view, data.draw(st.integers(1, 5))))
    made.embeddings.columns = columns
    made.write(root)
    return f"edit {kind}: {columns}"
