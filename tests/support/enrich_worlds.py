"""Small dirty worlds with a pool of vectors, a Lance table of any history, and embedding columns."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from enrich_reference import Embeddings
from hypothesis import strategies as st
from worlds import World, feed_rows, outputs, view_rows, worlds, write_yaml

Rows = list[tuple[int | None, list | None]]
WIDTHS = {"halffloat": 16, "float": 32, "double": 64}
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
    import numpy as np

    if kind.value_type == pa.float16():
        vectors = [v and [None if c is None else np.float16(c) for c in v] for v in vectors]
    return pa.array(vectors, kind)


Step = tuple[str, Any]  # a method of Pool and its argument


@dataclass
class EnrichWorld:
    """A world of the skeleton's tests, how its pool came about, and its embeddings."""

    world: World
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
        """Feed, views, the config, and beside it one whose output has every list."""
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


def do(pool: Pool, step: Step) -> None:
    name, argument = step
    getattr(pool, name)(*([] if argument is None else [argument]))


# Drawing

some_id = st.sampled_from([1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 7, 8, 99, None])


@st.composite
def pool_rows(draw: st.DrawFn, kind: pa.DataType, dim: int, *, odd: bool) -> tuple[int | None, list | None]:
    """A row of the pool; with `odd` now and then one of another length, or with a NULL component."""
    width = WIDTHS[str(kind.value_type)]
    if draw(st.integers(0, 6)) == 0:
        return draw(some_id), None
    plain = st.sampled_from([1.0, -1.0, 0.5, 3.0, 0.0999755859375])
    component = st.one_of(plain, plain, st.floats(width=width), st.sampled_from(BY_WIDTH[width]))
    fixed = pa.types.is_fixed_size_list(kind)
    length = draw(st.integers(0, 3)) if odd and not fixed and draw(st.integers(0, 5)) == 0 else dim
    vector: list = draw(st.lists(component, min_size=length, max_size=length))
    if odd and vector and draw(st.integers(0, 7)) == 0:
        vector[draw(st.integers(0, length - 1))] = None
    return draw(some_id), vector


def steps(kind: pa.DataType, dim: int, *, odd: bool) -> st.SearchStrategy[Step]:
    """A change of the pool."""
    rows = st.lists(pool_rows(kind, dim, odd=odd), min_size=1, max_size=4)
    ids = st.lists(st.integers(1, 5), min_size=1, max_size=2)
    return st.one_of(
        st.tuples(st.just("append"), rows), st.tuples(st.just("append"), rows), st.tuples(st.just("delete"), ids),
        st.tuples(st.just("compact"), st.none()), st.tuples(st.just("remake"), st.sampled_from([1, 2, 1000])),
    )  # fmt: skip


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
def enrich_worlds(draw: st.DrawFn) -> EnrichWorld:
    world = draw(worlds())
    dim, odd = draw(st.integers(0, 3)), draw(st.integers(0, 3)) == 0
    fixed = dim > 0 and draw(st.booleans())
    kind = vector_type(draw(st.sampled_from(list(WIDTHS))), dim, fixed=fixed)
    names = draw(st.lists(st.sampled_from(["late", "absent", "image", "Ünsorted name"]), min_size=1, unique=True))
    hidden = draw(st.sets(st.sampled_from(lists_of(world))))
    world.runtime["output_columns"] = [name for name in world.runtime["output_columns"] if str(name) not in hidden]
    first = draw(st.lists(pool_rows(kind, dim, odd=odd), min_size=1, max_size=10))
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
        world.feed.append(data.draw(feed_rows(world.targets)))
    else:
        view = data.draw(st.sampled_from(sorted(world.views)))
        world.views[view].append(data.draw(view_rows(view)))
    made.embeddings.columns = columns
    made.write(root)
    return f"edit {kind}: {columns}"
