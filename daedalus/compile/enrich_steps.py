"""The steps of the enrich stage, with the config keys and inputs that each reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from daedalus.config import Config
from daedalus.config.columns import SPINE_COLUMNS
from daedalus.config.embeddings import id_lists
from daedalus.config.schema import EmbeddingColumn
from daedalus.config.steps import ENRICHED, PARTITION
from daedalus.stagecache.action_name import ActionName


def listed_for(config: Config) -> Iterator[tuple[Any, ...]]:
    """(step, subject) of what makes the lists that embeddings are means of; they need not be in the output."""
    lists = id_lists(config)
    for column in config.runtime.embeddings.columns.values() if config.runtime.embeddings else ():
        if column.mean_of:
            aggregation = lists[column.mean_of]
            yield ("rolling", aggregation) if aggregation else ("recent_published",)


def enrich_steps(config: Config) -> list[dict]:
    """The steps; none without `embeddings`."""
    embeddings, coverage = config.runtime.embeddings, config.runtime.embedding_coverage_filter
    if embeddings is None:
        return []
    pool = {f"embedding_coverage_filter.{key}": getattr(coverage, key) for key in ("table", "id_column")}
    vector, dtype = {"embeddings.vector_column": embeddings.vector_column}, {"embeddings.dtype": embeddings.dtype}
    found = [
        _step("fragment", {**pool, **vector}, ["pool"]),
        _step("pool_vectors", {}, [], "fragment"),
        _step("pool_places", {}, [], "fragment"),
    ]
    used = []
    for name, column in embeddings.columns.items():
        vectors = str(ActionName("vectors", name))
        keys = {f"embeddings.columns.{name}.{key}": value for key in ("of", "mean_of", "max_items")
                if (value := getattr(column, key)) is not None}  # fmt: skip
        ids = _ids_of(config, column)
        found.append(_step(vectors, {**keys, **vector}, ["pool"], "pool_vectors", "pool_places", "sessions", ids))
        used.append(vectors)
        if column.mean_of:
            means = str(ActionName("means", name))
            found.append(_step(means, {**keys, **dtype}, [], vectors, "sessions", ids))
            used[-1] = means
    names = {"embeddings.columns": sorted(embeddings.columns)}  # their order is that of the columns
    return [*found, _step(ENRICHED, {**names, **dtype}, [], PARTITION, "sessions", "content", *used)]


def _ids_of(config: Config, column: EmbeddingColumn) -> str:
    """The step that makes an entry's ids."""
    if column.of:
        return "sessions" if column.of in SPINE_COLUMNS else "attributes"
    aggregation = id_lists(config)[str(column.mean_of)]
    return str(ActionName("rolling", aggregation.name)) if aggregation else "recent_published"


def _step(step: str, config: dict, inputs: list[str], *upstream: str) -> dict:
    return {"step": step, "config": config, "inputs": inputs, "upstream": sorted(set(upstream))}
