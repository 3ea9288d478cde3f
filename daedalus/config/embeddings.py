"""Rules for `embeddings`: columns of vectors that the enrich stage adds to the skeleton's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.base.errors import did_you_mean
from daedalus.config.aggregation_kinds import Measure
from daedalus.config.columns import SPINE_COLUMNS, makers
from daedalus.config.config import RUNTIME, Config
from daedalus.config.refusals import between, refuse, reserved, unique

if TYPE_CHECKING:
    from daedalus.config.schema import Aggregation, EmbeddingColumn

_NOT_IDS = [name for name, kind in SPINE_COLUMNS.items() if kind != "BIGINT"]


def check_embeddings(config: Config) -> None:
    """Raises DaedalusError for the first rule that does not hold."""
    embeddings = config.runtime.embeddings
    if embeddings is None:
        return
    _pool(config)
    for key in ("output_root", "vector_column", "columns"):
        if not getattr(embeddings, key):
            refuse(config, RUNTIME, f"embeddings.{key}", "embeddings are incomplete", "nothing", f"a value for {key}")
    unique(config, RUNTIME, "embeddings.columns", embeddings.columns)
    known, outputs = makers(config), {column.name.casefold(): column.name for column in config.output_columns}
    for name, column in embeddings.columns.items():
        at = f"embeddings.columns.{name}"
        if reason := reserved(name):
            refuse(config, RUNTIME, at, "a reserved name", name, reason)
        if name in known:
            found = f"{name}: {', '.join(map(str, known[name]))}"
            refuse(
                config, RUNTIME, at, "a column that is already produced elsewhere", found, "a name that is not taken"
            )
        if outputs.get(name.casefold(), name) != name:
            found = outputs[name.casefold()]
            refuse(config, RUNTIME, at, "a name that appears twice", found, "names that differ in more than case")
        _source(config, at, column)


def _pool(config: Config) -> None:
    coverage = config.runtime.embedding_coverage_filter
    for key in ("uri", "table", "id_column"):
        if not getattr(coverage, key):
            at = f"embedding_coverage_filter.{key}"
            hint = "embeddings are read from this pool; enabled: false turns off only the filter"
            refuse(config, RUNTIME, at, "embeddings without a pool", "nothing", f"a value for {key}", hint)


def _source(config: Config, at: str, column: EmbeddingColumn) -> None:
    if (column.of is None) == (column.mean_of is None):
        found = "neither" if column.of is None else "both"
        refuse(config, RUNTIME, at, "an embedding column needs one source", found, "of or mean_of")
    if column.of is not None:
        if column.max_items is not None:
            refuse(config, RUNTIME, f"{at}.max_items", "max_items goes with mean_of", "of", "mean_of, or no max_items")
        _ids(config, f"{at}.of", column.of)
        return
    if column.max_items is not None:
        between(config, RUNTIME, f"{at}.max_items", column.max_items, 1)
    _list(config, f"{at}.mean_of", str(column.mean_of))


def _ids(config: Config, key: str, name: str) -> None:
    """Rejects what is not an output column that may hold ids; the type of a feature is known with the inputs."""
    outputs, known = [column.name for column in config.output_columns], makers(config)
    if name not in outputs:
        expected = f"one of output_columns: {', '.join(outputs)}"
        refuse(config, RUNTIME, key, "a column that is not in the output", name, expected, did_you_mean(name, outputs))
    made = config.made_from(name)
    maker = known[made][0].kind if made in known else "default"
    if maker not in ("feed", "feature") or made in _NOT_IDS:
        expected = "a column of ids: user_id, artwork_id, or a view's feature"
        refuse(config, RUNTIME, key, "a column that holds no ids", f"{name}, a {maker} column", expected)


def id_lists(config: Config) -> dict[str, Aggregation | None]:
    """The columns of lists that may hold ids, in the output or not; None is recent_published."""
    found: dict[str, Aggregation | None] = {
        output: aggregation for aggregation in config.aggregations
        if aggregation.kind.listed and not isinstance(aggregation.kind, Measure)
        for output in aggregation.outputs
    }  # fmt: skip
    if recent := config.runtime.recent_published:
        found[recent.column] = None
    return found


def _list(config: Config, key: str, name: str) -> None:
    known = id_lists(config)
    ranked = [a for a in config.aggregations if isinstance(a.kind, Measure) and a.kind.listed]
    if any(name in aggregation.outputs for aggregation in ranked):
        expected = "a column of list, distinct or flatten_distinct"
        refuse(
            config,
            RUNTIME,
            key,
            "mean_of needs a list in order of time",
            f"{name}, which is in order of frequency",
            expected,
        )
    if name not in known:
        expected = f"a list column of ids: {', '.join(known) or 'no aggregation makes one'}"
        refuse(config, RUNTIME, key, "not a list column of an aggregation", name, expected, did_you_mean(name, known))
    aggregation = known[name]
    if aggregation and aggregation.column in _NOT_IDS:
        found = f"{name}, of {aggregation.column}"
        refuse(config, RUNTIME, key, "a list that holds no ids", found, "a list of ids, such as of artwork_id")
