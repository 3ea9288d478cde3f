"""Rebuilds an earlier partition from what its trace names, as far as the cache still has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.errors import DaedalusError
from daedalus.config.steps import ENRICH, PARTITION, Stage
from daedalus.output.cut_partition import ParquetSink
from daedalus.output.earlier_partition import RENAMED
from daedalus.stagecache.action_name import ActionName, kind_of
from daedalus.stagecache.records.traces import Trace

if TYPE_CHECKING:
    from daedalus.enrich.assembly import Enriched
    from daedalus.workspace.workspace import Workspace

_ONE_PART = 1 << 40  # rows


def columns_of(trace: Trace) -> list[tuple[str, str]]:
    """The columns of a skeleton's partition, each with the step that it comes from."""
    return [(name, source) for name, source in json.loads(trace.manifest["config:output_columns"])]


def renamed_in(trace: Trace) -> dict[str, str]:
    """Names in a skeleton's partition by those under which columns are made, where they differ."""
    return json.loads(trace.manifest.get(RENAMED, "{}"))


def vector_columns(trace: Trace) -> dict[str, str | None]:
    """The columns of vectors of an enriched partition: the id column that one is of, None for means."""
    listed = json.loads(trace.manifest["config:embeddings.columns"])
    return {name: source if kind == "of" else None for name, kind, source in listed}


def sources_of(trace: Trace) -> dict[str, str]:
    """The artifacts that a partition was built from, by step."""
    labels = (label.partition(":") for label in trace.manifest if label.startswith("upstream:"))
    return {kind_of(name): trace.manifest[f"{kind}:{name}"] for kind, _, name in labels}


def skeleton_of(workspace: Workspace, trace: Trace) -> Trace | None:
    """The trace of the skeleton's partition that an enriched partition was made of."""
    day = trace.name.partition("@")[2]
    return workspace.traces.with_artifact(f"{PARTITION}@{day}", sources_of(trace)[PARTITION])


def rebuilt(workspace: Workspace, stage: Stage, trace: Trace, wanted: Callable[[str], bool]) -> Sequence[Path]:
    """Files with those columns of the partition of a trace whose names are wanted. Raises DaedalusError."""
    if stage is ENRICH:
        return _enriched(workspace, trace, wanted)
    return _skeleton(workspace, trace, wanted)


def _skeleton(workspace: Workspace, trace: Trace, wanted: Callable[[str], bool]) -> Sequence[Path]:
    names = renamed_in(trace)
    columns = [(name, source) for name, source in columns_of(trace) if wanted(names.get(name, name))]
    artifacts = _artifacts(workspace, trace)
    if "sessions" not in artifacts:
        raise DaedalusError("that run has artifacts in the format of daedalus 0.2", where=trace.name,
                            hint="compare with a later run; daeda runs lists them")  # fmt: skip
    folder = workspace.scratch.path()
    ParquetSink(tuple(columns), _ONE_PART).write(folder, artifacts)
    parts = sorted(folder.iterdir())
    if names:
        from daedalus.parquet.rename import rename_columns

        for part in parts:
            rename_columns(part, names)
    return parts


def _enriched(workspace: Workspace, trace: Trace, wanted: Callable[[str], bool]) -> Sequence[Path]:
    from daedalus.enrich.assembly import Entry

    before = skeleton_of(workspace, trace)
    if before is None:
        raise DaedalusError("the cache has no trace of the skeleton that it was made of", where=trace.name)
    entries = [Entry(name, of, f"embeddings.columns.{name}") for name, of in vector_columns(trace).items()]
    ids = {entry.of for entry in entries}
    parts = _skeleton(workspace, before, lambda name: wanted(name) or name in ids)
    artifacts = _artifacts(workspace, trace)
    means = {one.name: artifacts[str(ActionName("means", one.name))] for one in entries if one.of is None}
    vectors = {one.name: artifacts[str(ActionName("vectors", one.name))] for one in entries if one.of is not None}
    vectors |= means  # of these they are read only for an error, that there was none of then
    folder = workspace.scratch.path()
    dtype = json.loads(trace.manifest["config:embeddings.dtype"])
    made = _writer(list(vectors.values()))
    made(tuple(entries), dtype).write(folder, parts, vectors, means, artifacts.get("content"))
    return sorted(folder.iterdir())


def _writer(vectors: Sequence[Path]) -> type[Enriched]:
    """What wrote the enriched partition that has these vectors: some are by text."""
    import pyarrow.parquet as pq

    if not any("name" in pq.read_schema(path).names for path in vectors):
        from daedalus.enrich.assembly import Enriched

        return Enriched
    from daedalus.enrich.text_ids.assembly import TextEnriched

    return TextEnriched


def _artifacts(workspace: Workspace, trace: Trace) -> Mapping[str, Path]:
    """Paths of the upstream artifacts by step, without partitions. Raises DaedalusError for one that is gone."""
    found = {}
    for label, artifact in trace.manifest.items():
        kind, _, name = label.partition(":")
        if kind != "upstream" or kind_of(name) == PARTITION:
            continue
        path = None if workspace.shelf.problem(name, artifact) else workspace.shelf.path(name, artifact)
        if path is None:
            raise DaedalusError("an artifact of that run is no longer in the cache", where=trace.name, found=name)
        found[kind_of(name)] = path
    return found
