"""A world of a few days with a pool of vectors, small enough to run in a second, in which some ids are rare.

Artworks 1 to 12 occur every day and have vectors. 50 has one and is only viewed, by user 2 on the last day. 60 has
none and is only liked, by user 1 on the second day. 70 and 71 are in the pool alone.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from enrich_worlds import Pool, vector_type
from small import edit
from tiny import project

from daedalus.pipelines.training import run_training_pipeline
from daedalus.stagecache.walk.outcome import Outcome
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.settings import Settings

FIRST = dt.date(2026, 2, 1)
DAYS = [FIRST + dt.timedelta(days=i) for i in range(3)]
BEFORE = [FIRST - dt.timedelta(days=i) for i in (2, 1)]
RANGE = f"{DAYS[0]}..{DAYS[-1]}"
VIEWED, LIKED, UNUSED = 50, 60, (70, 71)
ENTRIES: dict[str, dict[str, Any]] = {
    "image": {"of": "artwork_id"},
    "like_mean": {"mean_of": "likes_1d", "max_items": 3},
    "author_mean": {"mean_of": "authors_2d"},
}
AGGREGATIONS = [
    {"name": "likes", "events": ["like"], "column": "artwork_id", "agg": "list", "windows": ["1d"]},
    {"name": "authors", "events": ["like", "click"], "column": "author_id", "agg": "distinct", "windows": ["2d"]},
    {"name": "titles", "events": ["like"], "column": "title", "agg": "distinct", "windows": ["1d"]},
    {"name": "names", "events": ["like"], "column": "names", "agg": "flatten_distinct", "windows": ["1d"]},
    {"name": "tags", "events": ["like"], "column": "tags", "agg": "flatten_distinct", "windows": ["1d"]},
    {"name": "cnt", "events": ["like"], "column": "artwork_id", "agg": "count", "windows": ["1d"]},
]
OPTIONS = {"resume", "plan", "executor", "scheduler"}  # of a run, beside settings
COLUMNS = ["author_id", "title", "age", "likes_1d", {"name": "image", "default_sql": "CAST(NULL AS FLOAT[])"}]


class Ran(Progress):
    """What ran: the names of actions, and those of them that gave new bytes."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.computed: list[str] = []

    def finished(self, outcome: Outcome) -> None:
        self.names += [outcome.name] if outcome.ran else []
        self.computed += [outcome.name] if outcome.state == "computed" else []

    def steps(self) -> set[str]:
        """Names of actions without fragments' ids and feed days: `vectors:image@2026-02-01`, `fragment`."""
        return {"fragment" if name.startswith("fragment") else name for name in self.names}


class Stopping(Progress):
    """Raises when so many actions of a step have ended."""

    def __init__(self, error: type[BaseException], step: str, after: int) -> None:
        self.error, self.step, self.left = error, step, after
        self.why: dict[str, tuple] = {}

    def finished(self, outcome) -> None:
        self.why[outcome.name] = outcome.why
        self.left -= outcome.step == self.step
        if self.left == 0:
            raise self.error


class TinyWorld:
    """The world below a folder, which must be the working directory while it runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runtime = root / "config/training/runtime.yaml"
        self.aggregations = root / "config/training/aggregations.yaml"
        self.pool = Pool(root / "data/pool/art.lance", vector_type("float", 3, fixed=True))
        self.output, self.enriched = root / "data/skeleton", root / "data/enriched"

    def run(self, range: str = RANGE, *, progress: Progress | None = None, **settings: Any):
        options = {key: settings.pop(key) for key in OPTIONS & settings.keys()}
        return run_training_pipeline(Settings(**settings), range, progress=progress, **options)

    def ran(self, **settings: Any) -> Ran:
        """Runs, and says what ran."""
        progress = Ran()
        report = self.run(progress=progress, **settings)
        assert not report.failures, report.failures
        return progress

    def bytes(self) -> dict[str, bytes]:
        """The partitions of both stages."""
        roots = (self.output, self.enriched)
        return {str(path): path.read_bytes() for root in roots for path in sorted(root.rglob("*.parquet"))}

    def days_apart(self) -> set[str]:
        """Folders of days whose enriched partition has other parts, or other values, than the skeleton's beside it."""
        days = {path.name for path in self.enriched.glob("dt=*")}
        return {day for day in days if not _are_pair(self.output / day, self.enriched / day)}

    def embeddings(self, **values: Any) -> None:
        """Sets keys below `embeddings`."""
        edit(self.runtime, **{f"embeddings__{key}": value for key, value in values.items()})

    def entries(self, **values: Mapping | None) -> None:
        """Sets entries of `embeddings.columns`; None takes one out."""
        known = yaml.safe_load(self.runtime.read_text())["embeddings"]["columns"]
        changed = {**known, **{name: value and dict(value) for name, value in values.items()}}
        self.embeddings(columns={name: value for name, value in changed.items() if value is not None})


def _are_pair(skeleton: Path, enriched: Path) -> bool:
    names = [sorted(path.name for path in folder.glob("*")) for folder in (skeleton, enriched)]
    if names[0] != names[1]:
        return False
    shared = [name for name in pq.read_schema(skeleton / names[0][0]).names if name not in ENTRIES]
    schema = pq.read_schema(enriched / names[0][0])
    return {*shared} <= {*schema.names} and all(
        pq.read_table(skeleton / name, columns=shared) == pq.read_table(enriched / name, columns=shared)
        for name in names[0]
    )


def tiny_world(root: Path) -> TinyWorld:
    """Writes it; `root` must be the working directory when it runs."""
    rng = random.Random(7)
    edges = {DAYS[1]: [(1, LIKED, "like", 23)], DAYS[2]: [(2, VIEWED, "view", 9)]}
    days = {str(day): feed_of(day, rng, edges.get(day, [])) for day in [*BEFORE, *DAYS]}
    view = art_view()
    project(
        root, days, view, AGGREGATIONS, COLUMNS,
        feed_start=str(DAYS[0]), feed_end=str(DAYS[-1]), output_root="data/skeleton", entity_spine_chunk_rows=17,
        spine={"lookback_days": 2}, enrich=[f"art:{name}" for name in ("author_id", "title", "tags", "names")],
        ages={"age": "art:made"}, content_filter={"drop": {"kind": ["dropped"]}},
        recent_published={"column": "recent", "published_at": "art:made", "author": "art:author_id", "window": "90d"},
        embedding_coverage_filter={"events": ["view"], "uri": "data/pool", "table": "art", "id_column": "artwork_id"},
        embeddings={"output_root": "data/enriched", "columns": ENTRIES},
    )  # fmt: skip
    world = TinyWorld(root)
    world.pool.append([(number, vector(rng)) for number in range(1, 8)])
    world.pool.append([(3, vector(rng)), (None, vector(rng)), (11, None), *((n, vector(rng)) for n in range(8, 13))])
    world.pool.append([(VIEWED, vector(rng)), *((number, vector(rng)) for number in UNUSED)])
    return world


def vector(rng: random.Random) -> list[float]:
    return [rng.uniform(-2, 2) for _ in range(3)]


def a_vector() -> list[float]:
    return vector(random.Random())


def feed_of(day: dt.date, rng: random.Random, more: list[tuple[int, int, str, int]]) -> pa.Table:
    """24 rows of five users, and `more`: (user, artwork, event, hour)."""
    rows = [(rng.randrange(1, 6), rng.randrange(1, 13), rng.choice(["view", "like", "like", "click"]), 4 + i % 20)
            for i in range(24)]  # fmt: skip
    rows += more
    times = [dt.datetime.combine(day, dt.time(row[3], i)) for i, row in enumerate(rows)]
    return pa.table({
        "user_id": pa.array([row[0] for row in rows], pa.int64()),
        "artwork_id": pa.array([row[1] for row in rows], pa.int64()),
        "event_timestamp": pa.array(times, pa.timestamp("us")),
        "event": [row[2] for row in rows],
        "feed_session": [f"{day} of {row[0]}" for row in rows],
    })  # fmt: skip


def art_view() -> pa.Table:
    """Every artwork of the feed; its authors are 1 to 6, and 4 is of a kind that is dropped."""
    ids = [*range(1, 13), VIEWED, LIKED]
    made = [dt.datetime(2026, 1, 1 + i) for i in range(len(ids))]
    return pa.table({
        "artwork_id": pa.array(ids, pa.int64()),
        "updated_at": pa.array(made, pa.timestamp("us")),
        "author_id": pa.array([1 + i % 6 for i in range(len(ids))], pa.int64()),
        "title": [f"title {i}" for i in ids],
        "kind": ["dropped" if i == 4 else "kept" for i in ids],
        "tags": pa.array([[i % 4] for i in ids], pa.list_(pa.int64())),
        "names": pa.array([["a", "b"]] * len(ids), pa.list_(pa.string())),
        "score": pa.array([0.5] * len(ids), pa.float64()),
        "made": pa.array(made, pa.timestamp("us")),
    })  # fmt: skip
