"""A Lance table, a day or two that use its vectors, and the steps that read it, walked as in a run."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daedalus.actions.actions import Actions
from daedalus.actions.unaffected import Unaffected
from daedalus.config import Config
from daedalus.config.schema import (
    Aggregation,
    Catalog,
    CoverageFilter,
    EmbeddingColumn,
    Embeddings,
    Feed,
    Runtime,
)
from daedalus.enrich.steps import fragment, pool_places, pool_vectors, vectors
from daedalus.enrich.vectors_file import VectorsFile
from daedalus.inputs.input_file import Inputs
from daedalus.inputs.input_files import InputFiles
from daedalus.inputs.local_files import LocalFiles
from daedalus.inputs.pool import PoolInput, newest_manifest
from daedalus.inputs.pool_fragments import look_at_fragments
from daedalus.inputs.remote_files import open_remote_files
from daedalus.parquet.list_writer import Lists
from daedalus.skeleton.context import Publishing, Skeleton, Sources
from daedalus.sql.duck import Ducks
from daedalus.stagecache.action_name import ActionName
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.walk import Walk
from daedalus.windows.windows_file import write_windows

DAY = dt.date(2026, 5, 15)
NEXT = DAY + dt.timedelta(days=1)
OF, MEAN = "image", "liked"
LIKES = Aggregation(name="likes", events=["like"], column="artwork_id", agg="distinct", windows=["1d", "7d"])


def vectors_of(rows: list, kind: pa.DataType, ids: pa.DataType | None = None) -> pa.Table:
    """A table of (id, vector) rows."""
    found = [None if vector is None else list(vector) for _, vector in rows]
    if pa.types.is_float16(kind.value_type):
        found = [row and [None if x is None else np.float16(x) for x in row] for row in found]
    return pa.table({"id": pa.array([row[0] for row in rows], ids or pa.int64()), "vector": pa.array(found, kind)})


@dataclass
class Use:
    """What a day uses: ids of its rows, and lists of ids with the length of the shorter window."""

    ids: list
    lists: list[list[int]]
    short: int = 1


def written_lists(path: Path, use: Use) -> None:
    values = sorted({one for row in use.lists for one in row})
    codes = np.array([values.index(one) for row in use.lists for one in row], np.uint16)
    long = np.array([len(row) for row in use.lists], np.int64)
    sizes = np.stack([np.minimum(long, use.short), long], axis=1)
    kind = pa.list_(pa.field("element", pa.int64()))
    schema = pa.schema([("likes_1d", kind), ("likes_7d", kind)])
    write_windows(path, schema, [Lists(codes, np.cumsum(long) - long, sizes, pa.array(values, pa.int64()))])


class Bench:
    """A cache, and a pool at `folder`/db/t.lance that tests write as they like."""

    kind = pa.list_(pa.float32(), 2)

    def __init__(
        self, folder: Path, column: str = "vector", *, uri: str = "", options: dict[str, str] | None = None,
        **entries: EmbeddingColumn,
    ) -> None:  # fmt: skip
        self.folder, self.uri = folder, uri or folder / "db"
        self.table = f"{uri}/t.lance" if uri else self.uri / "t.lance"
        self.uses = {DAY: Use([], []), NEXT: Use([], [])}
        entries = entries or {OF: EmbeddingColumn(of="artwork_id"), MEAN: EmbeddingColumn(mean_of="likes_7d")}
        coverage = CoverageFilter(enabled=False, uri=str(self.uri), table="t", id_column="id")
        runtime = Runtime(feed_start="202605", feed_end="202605", embedding_coverage_filter=coverage,
                          embeddings=Embeddings(vector_column=column, columns=entries),
                          output_columns=["artwork_id"], object_store=options or {})  # fmt: skip
        self.config = Config(folder, Catalog(feed=Feed(path="feed")), runtime, (LIKES,))
        self.scratch, self.traces = Scratch(folder / "tmp"), Traces(folder / "traces.db")
        self.digests = FileDigests(self.traces)
        self.store = ArtifactStore(folder, self.scratch, self.digests)
        self.ducks = Ducks({"threads": 1, "memory_limit": "1GB"}, self.scratch)
        self.look_anew()

    def look_anew(self) -> None:
        """As another run does: objects are listed again."""

        def remote(say):
            return open_remote_files(self.config, self.traces, self.folder / "fetched", self.scratch)

        self.files = InputFiles(LocalFiles(self.digests, self.scratch), remote)

    def close(self) -> None:
        self.ducks.close()
        self.traces.close()
        self.scratch.close()

    def write(self, rows, kind=None, *, ids=None, **options) -> lance.LanceDataset:
        """Writes the rows to the table."""
        return lance.write_dataset(vectors_of(rows, kind or self.kind, ids), str(self.table), **options)

    def fragments(self):
        path = newest_manifest(self.files, str(self.uri), "t", "here")
        inputs = Inputs(self.files, self.traces)
        self.pool = PoolInput(inputs.look_whole(path, "newest Lance manifest"))
        return look_at_fragments(inputs, self.config, self.pool, self.files)

    def walk(self, **options) -> dict:
        """Walks all days; outcomes by name."""
        fragments = self.fragments()
        sources = Sources(None, [], {}, self.pool, fragments)
        context = Skeleton(self.config, sources, Publishing(self.store, None, False))
        unaffected = Unaffected(self.ducks, self._last, self.store_path)
        steps = {"fragment": fragment.build, "pool_vectors": pool_vectors.build, "pool_places": pool_places.build,
                 "vectors": vectors.build, "spine": self._spine, "sessions": self._sessions,
                 "rolling": self._rolling}  # fmt: skip
        make = Actions(steps, context, self.store, self.ducks, self.files, unaffected)
        for day in self.uses:
            for entry in self.config.runtime.embeddings.columns:
                make.need("vectors", entry, day)
        self.outcomes = Walk(list(make.actions.values()), self.traces, **options).execute({})
        return self.outcomes

    def states(self) -> dict[str, str]:
        return {name: outcome.state for name, outcome in self.walk().items() if outcome.state != "hit"}

    def ran(self) -> Counter:
        """How many actions of each step ran, or failed."""
        return Counter(name.partition(":")[0].partition("@")[0] for name in self.states())

    def artifact(self, name: str) -> list[dict]:
        return pq.read_table(self.path(name)).to_pylist()

    def path(self, name: str) -> Path:
        return self.store.path(name, self.outcomes[name].artifact)

    def vectors(self, entry: str, day=DAY) -> dict[int, object]:
        """The vector of each id of a day: a list, a length where it is not usable, None for none."""
        with VectorsFile(self.path(f"vectors:{entry}@{day}")) as file:
            found = file.find(file.ids)
            taken = iter(file.take(found[found >= 0]).tolist())
            self.dtype, self.dim = file.dtype, file.dim
            return {int(one): next(taken) if at >= 0 else int(length) if at == -2 else None
                    for one, at, length in zip(file.ids, found, file.lengths, strict=True)}  # fmt: skip

    def _last(self, action: str) -> str | None:
        trace = self.traces.latest(action)
        return trace.artifact if trace else None

    def store_path(self, artifact: str) -> Path | None:
        return None if self.store.problem("", artifact) else self.store.path("", artifact)

    def _spine(self, make, day):
        make.unaffected.watch(str(day))
        return self._stub(make, "spine", day, lambda out: pq.write_table(pa.table({"x": [1]}), out), "")

    def _sessions(self, make, day):
        table = pa.table({"artwork_id": pa.array(self.uses[day].ids, pa.int64())})
        return self._stub(make, "sessions", day, lambda out: pq.write_table(table, out), str(self.uses[day]))

    def _rolling(self, make, day, aggregation):
        use = self.uses[day]
        return self._stub(make, "rolling", day, lambda out: written_lists(out, use), str(use), aggregation.name)

    def _stub(self, make, step, day, write, holds, part=""):
        def run(upstream, out):
            write(out)
            return {"rows": 1}

        return make.add(ActionName(step, part, day), run, {"config:holds": holds}, ())


def expected(table: Path, used, column="vector", id_column="id") -> dict[int, object]:
    """What `Bench.vectors` must give, from all rows of the table in order."""
    last: dict[int, list | None] = {}
    for row in lance.dataset(str(table)).to_table(columns=[id_column, column]).to_pylist():
        number, vector = row[id_column], row[column]
        if number is not None and (vector is not None or number not in last):
            last[number] = vector
    found = {one: last.get(one) for one in sorted(set(used) - {None})}
    whole = [len(vector) for vector in found.values() if vector is not None and None not in vector]
    usual = min(whole, key=lambda size: (-whole.count(size), size)) if whole else 0
    return {one: vector if vector is None or (len(vector) == usual and None not in vector)
            else -1 - len(vector) if None in vector else len(vector) for one, vector in found.items()}  # fmt: skip
