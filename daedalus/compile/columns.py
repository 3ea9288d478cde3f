"""The columns of a dataset in order: what each is called, its type, whether it can be NULL, and what makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from daedalus.compile import meanings
from daedalus.compile.inputs import Resolved
from daedalus.config import Config
from daedalus.config.aggregation_kinds import Measure
from daedalus.config.columns import CODES, REQUIRED_COLUMNS, Maker, Ref, makers, spine_columns
from daedalus.config.schema import Aggregation
from daedalus.windows.spec import measured_type

_NEVER_NULL = (*REQUIRED_COLUMNS, *CODES)  # of the feed's columns
QID = "qid"


@dataclass(frozen=True)
class Column:
    """A column; `type` is DuckDB's name, `source` what makes it, `meaning` a sentence for people."""

    name: str
    type: str
    nullable: bool
    source: str
    meaning: str


def skeleton_columns(config: Config, resolved: Resolved) -> list[Column]:
    """The columns of the skeleton's partitions."""
    known = makers(config)
    columns = []
    for output in config.output_columns:
        made = output.made_from
        maker = known[made][0] if made in known else None
        column = _MAKERS[maker.kind](config, resolved, made, maker) if maker else _default(resolved, made)
        columns.append(replace(column, name=output.name))
    qid = [Column(QID, "BIGINT", True, "qid of feed_session", meanings.QID)] if resolved.numbered else []
    return [*columns, *qid]


def enriched_columns(config: Config, skeleton: Sequence[Column]) -> list[Column]:
    """The columns of the enriched partitions: embeddings in the place of their names, else last, before qid."""
    embeddings = config.runtime.embeddings
    assert embeddings is not None
    made = {name: _embedding(config, name) for name in embeddings.columns}
    columns = [made.pop(column.name, column) for column in skeleton]
    end = len(columns) - (bool(columns) and columns[-1].name == QID)
    return [*columns[:end], *made.values(), *columns[end:]]


def _feed(config: Config, resolved: Resolved, name: str, maker: Maker) -> Column:
    text = meanings.of_feed(config, name)
    own = config.catalog.feed.columns.get(name, name)
    return Column(name, spine_columns(config)[name], name not in _NEVER_NULL, f"feed {own}", text)


def _feature(config: Config, resolved: Resolved, name: str, maker: Maker) -> Column:
    kind = resolved.views[maker.source].types[name]
    return Column(name, kind, True, f"view {maker.source}:{name}", meanings.of_feature(config, maker.source, name))


def _age(config: Config, resolved: Resolved, name: str, maker: Maker) -> Column:
    ref = config.runtime.ages[name]
    return Column(name, "INTEGER", True, f"age {ref}", meanings.of_age(config, ref))


def _aggregation(config: Config, resolved: Resolved, name: str, maker: Maker) -> Column:
    aggregation = next(one for one in config.aggregations if one.name == maker.source)
    window = "cumulative" if aggregation.cumulative else name.removeprefix(f"{aggregation.name}_")
    text = meanings.of_aggregation(config, aggregation, None if aggregation.cumulative else window)
    nullable = isinstance(aggregation.kind, Measure) and aggregation.kind.empty == "NULL"
    source = f"aggregation {aggregation.name}, {window}"
    return Column(name, _type(config, resolved, aggregation), nullable, source, text)


def _type(config: Config, resolved: Resolved, aggregation: Aggregation) -> str:
    made = aggregation.kind
    if not made.listed and not isinstance(made, Measure):
        return "BIGINT"
    view = view_of(config, aggregation.column)
    kind = resolved.views[view].types[aggregation.column] if view else spine_columns(config)[aggregation.column]
    if isinstance(made, Measure):
        return measured_type(made, kind)
    return kind if made.flatten else f"{kind}[]"


def view_of(config: Config, column: str) -> str:
    """The view that a column of aggregations comes from; "" for the feed."""
    refs = [ref for text in config.runtime.enrich if (ref := Ref.parse(text))]
    return next((ref.view for ref in refs if ref.feature == column), "")


def _recent(config: Config, resolved: Resolved, name: str, maker: Maker) -> Column:
    kind = f"{spine_columns(config)['artwork_id']}[]"
    return Column(name, kind, False, "recent_published", meanings.of_recent(config))


def _step(config: Config, resolved: Resolved, name: str, maker: Maker) -> Column:
    return Column(name, "", True, str(maker), f"Made by the step {maker.source}.")


def _default(resolved: Resolved, name: str) -> Column:
    default = resolved.defaults[name]
    return Column(name, default.type, default.value is None, "default", meanings.of_default(default.value))


def _embedding(config: Config, name: str) -> Column:
    embeddings = config.runtime.embeddings
    assert embeddings is not None
    column = embeddings.columns[name]
    source = f"embedding of {column.of}" if column.of else f"mean of {column.mean_of}"
    return Column(name, "FLOAT[]", True, source, meanings.of_embedding(config, column))


_MAKERS: Mapping[str, Callable[[Config, Resolved, str, Maker], Column]] = {
    "feed": _feed,
    "feature": _feature,
    "age": _age,
    "aggregation": _aggregation,
    "recent": _recent,
    "step": _step,
}
