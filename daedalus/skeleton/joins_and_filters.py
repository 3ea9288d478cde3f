"""Joins views to the rows of a day: features, ages, the animated model type, the content filter, in that order.

The order of the last two matters: upstream tags every animated artwork with the model type that the content
filter drops, so to filter first would lose legitimate animated artworks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from daedalus.actions.actions import Reading
from daedalus.actions.unaffected import Keyed
from daedalus.base.days import DAY_US
from daedalus.config import Config
from daedalus.config.columns import SPINE_COLUMNS, Ref, makers, referenced_views
from daedalus.config.schema import AnimatedModelType, Runtime
from daedalus.skeleton.context import Make
from daedalus.skeleton.feed_day import day_start
from daedalus.skeleton.steps.view import keyed_by_entity
from daedalus.sql.among import among
from daedalus.sql.text import POSITION, TIME, Sql, columns, literal, name, parquet
from daedalus.stagecache.action import Parts
from daedalus.stagecache.action_name import ActionName


def preload_filtered_features(
    bound: str, entity: str, features: Sequence[str], ids: str, *, as_of_day: bool = False
) -> str:
    """SELECT of one row per entity of a view, with `features`, to be joined by entity.

    With `as_of_day` it is the latest row before the end of the day (variable `day_start`) of the entities in
    `ids`; a NULL time always qualifies. Else the view's artifact already has one row per entity.
    """
    kept = columns([entity, *(feature for feature in features if feature != entity)])
    if not as_of_day:
        return f"SELECT {kept} FROM {parquet(bound)}"
    # By position, since the artifact is sorted by entity and time. DuckDB would turn a window function's first row into
    # arg_max of a struct of the features, in which -0.0 becomes 0.0.
    versions = parquet(bound, positions=True)
    latest = f"""
        SELECT max({POSITION}) FROM {versions} WHERE {name(entity)} IN ({ids})
        AND ({TIME} IS NULL OR {TIME} < getvariable('day_start') + INTERVAL 1 DAY) GROUP BY {name(entity)}"""
    return f"SELECT {kept} FROM {versions} WHERE {POSITION} IN ({latest})"


_SINCE = name("daeda:since")


@dataclass(frozen=True)
class FeatureView:
    """A view to join: its entity, the features that are needed, and whether as of the row's day."""

    name: str
    entity: str
    features: tuple[str, ...]
    as_of_day: bool

    @property
    def bound(self) -> str:
        """The name of the variable with its files, also unique if case is ignored, as DuckDB does."""
        cased = self.name != self.name.lower()
        return f"cased view {self.name.encode().hex()} {self.name}" if cased else f"view {self.name}"


@dataclass(frozen=True)
class Join:
    """The views, ages, model type rule and filter from which some columns of a day's rows are made."""

    views: tuple[FeatureView, ...]
    ages: Mapping[str, tuple[str, str]]  # age -> (view name, feature)
    animated: AnimatedModelType | None
    drop: Mapping[str, list]  # column -> values
    types: Mapping[str, str] = field(default_factory=dict)  # of the columns in `drop`

    @property
    def needs(self) -> list[str]:
        """Feed columns that the join reads."""
        entities = {view.entity for view in self.views}
        return sorted({*entities, "event_timestamp"} | (set(self.drop) & set(SPINE_COLUMNS)))


@dataclass(frozen=True)
class WiderJoin(Join):
    """A join over a feed with `extra` columns. Apart from `Join`, which is in the keys of the steps that join."""

    extra: Collection[str] = ()

    @property
    def needs(self) -> list[str]:
        """Feed columns that the join reads, extra ones too."""
        return sorted({*super().needs, *(column for column in self.drop if column in self.extra)})


def joined_to_events(
    bound: str, view: FeatureView, alias: str, source: str, *, of_many_days: bool = False
) -> str:  # fmt: skip
    """JOIN of a view by entity to events, aliased s, to be appended to the FROM clause `source`: no row, no event.

    A view as of the day is as of the variable `day_start`; with `of_many_days`, as of each event's own day.
    """
    on = f"{alias}.{name(view.entity)} = s.{name(view.entity)}"
    if not (view.as_of_day and of_many_days):
        ids = f"SELECT s.{name(view.entity)} FROM {source}"
        rows = preload_filtered_features(bound, view.entity, view.features, ids, as_of_day=view.as_of_day)
        return f" JOIN ({rows}) {alias} ON {on}"
    kept = columns([view.entity, *(feature for feature in view.features if feature != view.entity)])
    versions = f"SELECT {kept}, coalesce({TIME}, TIMESTAMP '-infinity') AS {_SINCE} FROM {parquet(bound)}"
    before = f"{alias}.{_SINCE} < date_trunc('day', s.event_timestamp) + INTERVAL 1 DAY"
    return f" ASOF JOIN ({versions}) {alias} ON {on} AND {before}"


def join_preloaded_features(rows: str, join: Join) -> str:
    """LEFT JOINs each view by entity; the times that ages are computed from get names of our own."""
    taken = [f"v{i}.{name(f)} AS {name(f)}" for i, view in enumerate(join.views) for f in view.features]
    index = {view.name: i for i, view in enumerate(join.views)}
    taken += [f"v{index[v]}.{name(f)} AS {name(_source(age))}" for age, (v, f) in join.ages.items()]
    joins = " ".join(
        f"LEFT JOIN ({_preloaded(view, rows, join)}) v{i} ON v{i}.{name(view.entity)} = r.{name(view.entity)}"
        for i, view in enumerate(join.views)
    )
    return f"SELECT {', '.join(['r.*', *taken])} FROM ({rows}) r {joins}"


def _preloaded(view: FeatureView, rows: str, join: Join) -> str:
    features = {*view.features, *(feature for source, feature in join.ages.values() if source == view.name)}
    ids = f"SELECT {name(view.entity)} FROM ({rows})"
    return preload_filtered_features(view.bound, view.entity, sorted(features), ids, as_of_day=view.as_of_day)


def compute_age_columns(rows: str, join: Join) -> str:
    """Adds ages: whole days from a time to the event, rounded down, at least 0; NULL when the time is NULL."""
    if not join.ages:
        return rows
    us = "(epoch_us(event_timestamp) - epoch_us(CAST({} AS TIMESTAMP)))"
    ages = ", ".join(
        f"CASE WHEN {name(_source(age))} IS NOT NULL "
        f"THEN CAST(greatest(0, {us.format(name(_source(age)))} // {DAY_US}) AS INTEGER) END AS {name(age)}"
        for age in join.ages
    )
    return f"SELECT *, {ages} FROM ({rows})"


def _source(age: str) -> str:
    return f"daeda:age {age}"


def curate_animated_model_type(rows: str, join: Join) -> str:
    """Replaces the model type of animated artworks, which upstream tags wrongly."""
    rule = join.animated
    if rule is None:
        return rows
    wrong = f"artwork_type = {literal(rule.artwork_type)} AND model_type = {literal(rule.source)}"
    curated = f"CASE WHEN {wrong} THEN {literal(rule.target)} ELSE model_type END AS model_type"
    return f"SELECT * REPLACE ({curated}) FROM ({rows})"


def apply_content_filter(rows: str, join: Join) -> str:
    """Drops a row with any of the values; NULL never matches."""
    found = [among(name(column), join.types[column], values) for column, values in join.drop.items()]
    matches = [f"coalesce({match}, FALSE)" for match in found if match]
    return f"SELECT * FROM ({rows}) WHERE NOT ({' OR '.join(matches)})" if matches else rows


JOIN_STEPS: tuple[Callable[[str, Join], str], ...] = (
    join_preloaded_features,
    compute_age_columns,
    curate_animated_model_type,
    apply_content_filter,
)


def _definition(config: Config, needed: Collection[str], drop: Mapping[str, list]) -> Join:
    """The join that makes the columns `needed`."""
    runtime, known = config.runtime, makers(config)
    animated = runtime.animated_model_type if "model_type" in needed else None
    names = {*needed, *(("artwork_type", "model_type") if animated else ())}
    kinds = {name: known[name][0] for name in sorted(names) if name in known}
    ages = {age: ref for age, text in sorted(runtime.ages.items()) if age in kinds and (ref := Ref.parse(text))}
    features = {name: maker.source for name, maker in kinds.items() if maker.kind == "feature"}
    joined = {*features.values(), *(ref.view for ref in ages.values())}
    catalog = config.catalog.views
    views = tuple(
        FeatureView(view, catalog[view].entity, tuple(f for f, source in features.items() if source == view),
                    catalog[view].as_of == "day")
        for view in sorted(referenced_views(config)) if view in joined
    )  # fmt: skip
    of_ages, extra = {age: (ref.view, ref.feature) for age, ref in ages.items()}, config.catalog.feed.extra_columns
    if extra:
        return WiderJoin(views, of_ages, animated, drop, extra=extra)
    return Join(views, of_ages, animated, drop)


def join_in_order(rows: str, join: Join) -> str:
    """SELECT of `rows` with the joined columns, without those that the content filter drops."""
    for step in JOIN_STEPS:
        rows = step(rows, join)
    return rows


def joined(
    make: Make, name: ActionName, sql: Sql, join: Join, config: Mapping[str, object], arrow: partial,
    parts: Callable[[partial, str], Parts] | None = None,
) -> str:  # fmt: skip
    """Adds an action that joins views to the rows of the sessions. `parts(run, the action of these rows)` are those
    that it may be computed in."""
    assert name.day is not None
    by_day = any(view.as_of_day for view in join.views)
    views, keyed = make.once(_joined_views, join.views)
    rows = make.need("sessions", name.day)
    reading = Reading({"rows": [rows], **views}, variables=day_start(name.day) if by_day else {})
    return make.sql(name, sql, reading, config, keyed=keyed, arrow=partial(arrow, day=name.day) if by_day else arrow,
                    parts=(lambda run: parts(run, rows)) if parts else None)  # fmt: skip


def _joined_views(make: Make, views: Sequence[FeatureView]) -> tuple[dict[str, list[str]], list[Keyed]]:
    """(the actions of views by the names that they are bound to; their tables that are joined by key)."""
    bound = {view.bound: [make.need("view", view.name)] for view in views}
    return bound, keyed_by_entity(make, [view.name for view in views])


def join_settings(join: Join, runtime: Runtime) -> dict[str, object]:
    """The values of the config that a join depends on besides its columns, by key path."""
    settings: dict[str, object] = {f"ages.{age}": runtime.ages[age] for age in join.ages}
    if rule := join.animated:
        settings.update({f"animated_model_type.{k}": getattr(rule, a) for k, a in
                         (("artwork_type", "artwork_type"), ("from", "source"), ("to", "target"))})  # fmt: skip
    return settings
