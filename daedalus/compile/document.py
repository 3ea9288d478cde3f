"""The canonical document of a configuration: columns, steps and a digest; and beside them what has no part in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from daedalus.base import digest
from daedalus.base.errors import bare
from daedalus.compile.canonical import canonical
from daedalus.compile.columns import Column, enriched_columns, skeleton_columns
from daedalus.compile.inputs import Resolved
from daedalus.compile.steps import steps_of
from daedalus.config import Config
from daedalus.config.schema import Runtime
from daedalus.config.steps import SKELETON
from daedalus.stagecache.fingerprint import version
from daedalus.workspace.code_stamp import ENGINES

if TYPE_CHECKING:
    from daedalus.shapes.runs import Compiled

_FORM = 1  # version of what the digest is taken of


def document_of(config: Config, resolved: Resolved) -> Compiled:
    """The document, as JSON has it.

    `columns` are those of the last stage; with `embeddings`, `skeleton_columns` are those of the skeleton's partitions.
    `digest` is SHA-256 over columns (without their meanings) and steps: where inputs and outputs are, the machine and
    the range have no part in it.
    """
    skeleton = skeleton_columns(config, resolved)
    stages = {"columns": skeleton}
    if config.runtime.embeddings:
        stages = {"columns": enriched_columns(config, skeleton), "skeleton_columns": skeleton}
    steps = steps_of(canonical(config, resolved), resolved)
    span = config.range(None)
    return cast("Compiled", {
        "digest": _digest(stages, steps),
        **{name: [asdict(column) for column in columns] for name, columns in stages.items()},
        "steps": steps,
        "engines": _engines(),
        "range": [str(span.first), str(span.last)],
        "paths": _paths(config),
        "resources": dict(_resources(config.runtime)),
    })  # fmt: skip


def columns_of(document: Mapping[str, Any], stage: str) -> list[dict]:
    """The columns of a stage's partitions."""
    return document.get("skeleton_columns" if stage == SKELETON.name else "columns") or document["columns"]


def _digest(stages: dict[str, list[Column]], steps: Sequence[dict]) -> str:
    columns = {name: [[c.name, c.type, c.nullable, c.source] for c in found] for name, found in stages.items()}
    meant = {"form": _FORM, "columns": columns, "steps": steps}
    return hashlib.sha256(digest.canonical_json(meant).encode()).hexdigest()


def _paths(config: Config) -> dict[str, str]:
    """Where inputs, outputs and cache are, by key, without what addresses keep secret."""
    runtime, catalog = config.runtime, config.catalog
    found = {"feed.path": catalog.feed.path}
    found |= {f"views.{name}.source": view.source for name, view in catalog.views.items()}
    found["embedding_coverage_filter.uri"] = runtime.embedding_coverage_filter.uri
    found |= {"output_root": runtime.output_root, "cache_root": runtime.cache_root}
    if runtime.cache_remote:
        found["cache_remote"] = runtime.cache_remote
    if runtime.embeddings:
        found["embeddings.output_root"] = runtime.embeddings.output_root
    return {key: bare(path) for key, path in found.items() if path}


def _engines() -> dict[str, str]:
    """Versions of what the bytes of an output depend on, beside the configuration."""
    return {name: version(name) for name in ENGINES}


def _resources(runtime: Runtime) -> Iterator[tuple[str, Any]]:
    """What a run may use of the machine: no part of what a configuration means."""
    yield "day_workers", runtime.day_workers
    yield "day_shards", runtime.day_shards
    yield "compute.engine", runtime.compute.engine
    for key, value in runtime.compute.duckdb_config.items():
        yield f"compute.duckdb_config.{key}", value
