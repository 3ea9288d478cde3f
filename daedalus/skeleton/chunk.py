"""What ships: features joined by entity, ages, animated model type, content filter, in that order.

The order of the last two is load-bearing: upstream tags every animated artwork with the model type
that the content filter drops, so filtering first would lose legitimate animated artworks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import UNSET

from daedalus.config import Config
from daedalus.config.columns import Ref, makers, referenced_views
from daedalus.config.schema import AnimatedModelType
from daedalus.skeleton.sql import POSITION, ROW, TARGET, Sql, columns, in_list, literal, name, parquet

_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class FeatureView:
    """A view as the chunk joins it: its entity, and the features that are needed."""

    name: str
    entity: str
    features: tuple[str, ...]

    @property
    def bound(self) -> str:
        return f"view {self.name}"


@dataclass(frozen=True)
class Chunk:
    """What the attributes of a day's rows are made of."""

    feed: tuple[str, ...]  # feed columns needed here, beside the keys
    views: tuple[FeatureView, ...]
    ages: Mapping[str, tuple[str, str]]  # age -> (view name, feature)
    animated: AnimatedModelType | None
    drop: Mapping[str, list]  # column -> values
    outputs: tuple[str, ...]  # columns made here, in output order
    defaults: Mapping[str, str]  # output column -> constant SQL


def target_rows(chunk: Chunk) -> str:
    """SELECT of the target day's rows with what the joins need; `target` and `spine` are bound."""
    keys = dict.fromkeys(["user_id", "artwork_id", "event_timestamp", *(v.entity for v in chunk.views), *chunk.feed])
    return f"""
        SELECT t.{POSITION} AS {TARGET}, t.{ROW} AS {ROW}, {columns(keys, "s.")}
        FROM {parquet("target", positions=True)} t
        JOIN {parquet("spine", positions=True)} s ON s.{POSITION} = t.{ROW}"""


def join_preloaded_features(rows: str, chunk: Chunk) -> str:
    """LEFT JOIN of each view by entity; age sources come along under names of our own."""
    taken = [f"v{i}.{name(f)} AS {name(f)}" for i, view in enumerate(chunk.views) for f in view.features]
    index = {view.name: i for i, view in enumerate(chunk.views)}
    taken += [f"v{index[v]}.{name(f)} AS {name(_source(age))}" for age, (v, f) in chunk.ages.items()]
    joins = " ".join(
        f"LEFT JOIN {parquet(view.bound)} v{i} ON v{i}.{name(view.entity)} = r.{name(view.entity)}"
        for i, view in enumerate(chunk.views)
    )
    return f"SELECT {', '.join(['r.*', *taken])} FROM ({rows}) r {joins}"


def compute_age_columns(rows: str, chunk: Chunk) -> str:
    """Whole days from a source to the event, floored, never below 0; NULL when the source is NULL."""
    if not chunk.ages:
        return rows
    us = "(epoch_us(event_timestamp) - epoch_us(CAST({} AS TIMESTAMP)))"
    ages = ", ".join(
        f"CASE WHEN {name(_source(age))} IS NOT NULL "
        f"THEN CAST(greatest(0, {us.format(name(_source(age)))} // {_DAY_US}) AS INTEGER) END AS {name(age)}"
        for age in chunk.ages
    )
    return f"SELECT *, {ages} FROM ({rows})"


def _source(age: str) -> str:
    return f"daeda:{age}"


def curate_animated_model_type(rows: str, chunk: Chunk) -> str:
    """Gives animated artworks the model type that they have in truth."""
    rule = chunk.animated
    if rule is None:
        return rows
    wrong = f"artwork_type = {literal(rule.artwork_type)} AND model_type = {literal(rule.source)}"
    curated = f"CASE WHEN {wrong} THEN {literal(rule.target)} ELSE model_type END AS model_type"
    return f"SELECT * REPLACE ({curated}) FROM ({rows})"


def apply_content_filter(rows: str, chunk: Chunk) -> str:
    """Drops a row with any of the values; NULL never matches."""
    matches = [f"coalesce({in_list(name(column), values)}, FALSE)" for column, values in chunk.drop.items() if values]
    return f"SELECT * FROM ({rows}) WHERE NOT ({' OR '.join(matches)})" if matches else rows


CHUNK_STEPS: tuple[Callable[[str, Chunk], str], ...] = (
    join_preloaded_features,
    compute_age_columns,
    curate_animated_model_type,
    apply_content_filter,
)


def chunk_attributes(chunk: Chunk) -> Sql:
    """The rows that ship, by position in `target` and in `spine`, with the columns made here."""
    rows = target_rows(chunk)
    for step in CHUNK_STEPS:
        rows = step(rows, chunk)
    made = [f"({chunk.defaults[c]}\n) AS {name(c)}" if c in chunk.defaults else name(c) for c in chunk.outputs]
    return Sql(f"SELECT {', '.join([TARGET, ROW, *made])} FROM ({rows}) ORDER BY {TARGET}")


def default_literal(value: object) -> str:
    """SQL of a literal default. What has no type of its own is INTEGER, as it is in DuckDB's tables."""
    if value is None or value == []:
        return f"CAST({literal(value)} AS {'INTEGER' if value is None else 'INTEGER[]'})"
    return literal(value)


def chunk_definition(config: Config) -> Chunk:
    """What `chunk_attributes` must make for a config: only what ships or decides what ships."""
    runtime, known = config.runtime, makers(config)
    outputs = {column.name: column for column in config.output_columns}
    defaults = {
        name: str(column.default_sql) if column.default_sql is not UNSET else default_literal(column.default)
        for name, column in outputs.items()
        if name not in known
    }
    kinds = {name: known[name][0] for name in (*outputs, *runtime.content_filter.drop) if name in known}
    needed = {name: maker for name, maker in kinds.items() if maker.kind == "feature"}
    if runtime.animated_model_type:
        needed.update({name: known[name][0] for name in ("artwork_type", "model_type")})
    ages = {age: ref for age, text in sorted(runtime.ages.items()) if age in kinds and (ref := Ref.parse(text))}
    joined = {maker.source for maker in needed.values()} | {ref.view for ref in ages.values()}
    views = tuple(
        FeatureView(view, config.catalog.views[view].entity,
                    tuple(sorted(name for name, maker in needed.items() if maker.source == view)))
        for view in sorted(referenced_views(config)) if view in joined
    )  # fmt: skip
    return Chunk(
        feed=tuple(sorted(c for c in runtime.content_filter.drop if c in kinds and kinds[c].kind == "feed")),
        views=views,
        ages={age: (ref.view, ref.feature) for age, ref in ages.items()},
        animated=runtime.animated_model_type,
        drop={c: sorted(values, key=repr) for c, values in sorted(runtime.content_filter.drop.items())},
        outputs=tuple(sorted(name for name in outputs if name in defaults or kinds[name].kind in ("feature", "age"))),
        defaults=defaults,
    )
