"""Checks of the config against column types, made once the views' files have been looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daedalus.base.errors import DaedalusError
from daedalus.config import AGGREGATIONS, RUNTIME, Config
from daedalus.config.aggregation_kinds import Measure
from daedalus.config.columns import Ref, makers, spine_columns
from daedalus.config.embeddings import id_lists
from daedalus.config.load import yaml_hint
from daedalus.inputs.views import ViewInput
from daedalus.sql.column_types import holds, id_type, is_integer, is_nested, is_number, is_time


def check_types(config: Config, views: Mapping[str, ViewInput]) -> None:
    """Raises DaedalusError (exit 2), naming the config file and the key path, for a column of a wrong type."""
    _aggregated(config, views)
    _times(config, views)
    _filters(config, views)
    _wheres(config, views)
    _keys(config, views)
    _embedded(config, views)


def _type_of(ref: str, views: Mapping[str, ViewInput]) -> str:
    parsed = Ref.parse(ref)
    assert parsed is not None
    return views[parsed.view].types[parsed.feature]


def _refuse(config: Config, file: str, key: str, what: str, found: str, expected: str,
            hint: str = "") -> None:  # fmt: skip
    raise DaedalusError(what, where=config.where(file, key), found=found, expected=expected, hint=hint)


def _aggregated(config: Config, views: Mapping[str, ViewInput]) -> None:
    enriched = {ref.partition(":")[2]: ref for ref in config.runtime.enrich}
    for i, aggregation in enumerate(config.aggregations):
        key, column = f"aggregations[{i}].column", aggregation.column
        kind = _type_of(enriched[column], views) if column in enriched else spine_columns(config)[column]
        found = f"{column}: {kind}"
        if isinstance(aggregation.kind, Measure) and (wrong := refusal(aggregation.kind, kind)):
            _refuse(config, AGGREGATIONS, key, f"agg: {aggregation.agg} takes {wrong[0]}", found, wrong[1])
        if column not in enriched:
            continue
        if aggregation.kind.flatten:
            if not kind.endswith("[]"):
                _refuse(config, AGGREGATIONS, key, "flatten_distinct needs a list column", found, "a list")
            kind = kind.removesuffix("[]")
        if aggregation.kind.listed and is_nested(kind):
            expected = "a plain column, or a list of plain values with agg: flatten_distinct; agg: count takes any"
            _refuse(config, AGGREGATIONS, key, "nested values cannot be listed", found, expected)


def event_column_type(config: Config, views: Mapping[str, ViewInput], column: str) -> tuple[str, str]:
    """(view, type) of a column of an aggregation's events; the view is "" for the feed's columns."""
    refs = [ref for text in config.runtime.enrich if (ref := Ref.parse(text))]
    view = next((ref.view for ref in refs if ref.feature == column), "")
    return view, views[view].types[column] if view else spine_columns(config)[column]


def refusal(kind: Measure, type: str) -> tuple[str, str] | None:
    """(what a kind takes, what is expected) if its values cannot be of a type."""
    if kind.takes == "numbers" and not is_number(type):
        return "numbers", "a column of whole numbers, floats or decimals"
    if kind.takes == "ordered" and is_nested(type):
        return "values that have an order", "numbers, text, times, dates or booleans"
    return ("plain values", "a column that is no list, struct or map") if is_nested(type) and not kind.unread else None


def _times(config: Config, views: Mapping[str, ViewInput]) -> None:
    recent = config.runtime.recent_published
    refs = [(f"ages.{age}", ref) for age, ref in config.runtime.ages.items()]
    refs += [("recent_published.published_at", recent.published_at)] if recent else []
    for key, ref in refs:
        if not is_time(kind := _type_of(ref, views)):
            _refuse(config, RUNTIME, key, "not a time", f"{ref}: {kind}", "a TIMESTAMP or DATE feature")
    wanted = spine_columns(config)["user_id"]
    if recent and id_type(kind := _type_of(recent.author, views)) != wanted:
        _refuse(config, RUNTIME, "recent_published.author", "not a user id", f"{recent.author}: {kind}", wanted)


def _embedded(config: Config, views: Mapping[str, ViewInput]) -> None:
    """The ids of embedding columns have the type of the feed's artwork_id, as those of the pool: of a feature, and the
    members of a list of one."""
    columns = config.runtime.embeddings.columns if config.runtime.embeddings else {}
    known, lists, feed = makers(config), id_lists(config), spine_columns(config)
    wanted = feed["artwork_id"]
    enriched = {ref.partition(":")[2]: ref for ref in config.runtime.enrich}
    for name, column in columns.items():
        at = f"embeddings.columns.{name}"
        if column.of is not None:
            source = config.made_from(column.of)
            maker = known[source][0]
            kind = views[maker.source].types[source] if maker.kind == "feature" else feed[source]
            if id_type(kind) != wanted:
                _refuse(config, RUNTIME, f"{at}.of", "a column that holds no ids", f"{column.of}: {kind}", wanted)
        elif made := lists[str(column.mean_of)]:
            kind = _type_of(enriched[made.column], views) if made.column in enriched else feed[made.column]
            if id_type(kind.removesuffix("[]") if made.kind.flatten else kind) != wanted:
                found = f"{column.mean_of}, of {made.column}: {kind}"
                _refuse(config, RUNTIME, f"{at}.mean_of", "a list that holds no ids", found, f"a list of {wanted}")


def filter_types(config: Config, views: Mapping[str, ViewInput]) -> dict[str, str]:
    """The types of the columns that the content filter uses."""
    known = {column: makers(config)[column][0] for column in config.runtime.content_filter.drop}
    feed = spine_columns(config)
    return {
        column: views[maker.source].types[column] if maker.kind == "feature" else feed.get(column, "INTEGER")
        for column, maker in known.items()
    }


def idle_filters(config: Config, views: Mapping[str, ViewInput]) -> list[str]:
    """A line for each value of the content filter that no row can have, and of a `where` that no event can."""
    types, drop = filter_types(config, views), config.runtime.content_filter.drop
    found = [
        f"content_filter.drop.{column}: no {types[column]} is {value!r}, so it drops nothing"
        for column, values in drop.items()
        for value in values
        if not holds(types[column], value)
    ]
    return found + [
        f"aggregation {aggregation.name}: where.{column}: no {kind} is {value!r}, so it matches nothing"
        for aggregation in config.aggregations
        for column, values in aggregation.where.items()
        for kind in [event_column_type(config, views, column)[1]]
        for value in values
        if not holds(kind, value)
    ]


def _filters(config: Config, views: Mapping[str, ViewInput]) -> None:
    types = filter_types(config, views)
    for column, values in config.runtime.content_filter.drop.items():
        kind = types[column]
        for j, value in enumerate(values):
            if not _comparable(kind, value):
                key = f"content_filter.drop.{column}[{j}]"
                what = "a value of another type than its column"
                _refuse(config, RUNTIME, key, what, repr(value), f"{column}: {kind}", yaml_hint(value))


def _wheres(config: Config, views: Mapping[str, ViewInput]) -> None:
    for i, aggregation in enumerate(config.aggregations):
        for column, values in aggregation.where.items():
            key, kind = f"aggregations[{i}].where.{column}", event_column_type(config, views, column)[1]
            if wrong := where_refusal(column, kind, values):
                _refuse(config, AGGREGATIONS, key, *wrong)


def _keys(config: Config, views: Mapping[str, ViewInput]) -> None:
    for i, aggregation in enumerate(config.aggregations):
        for key in ("key", "match"):
            column = getattr(aggregation, key)
            if column is None:
                continue
            if wrong := key_refusal(column, event_column_type(config, views, column)[1]):
                _refuse(config, AGGREGATIONS, f"aggregations[{i}].{key}", *wrong)


def key_refusal(column: str, kind: str) -> tuple[str, str, str] | None:
    """(what is wrong, found, expected) if rows cannot be grouped by a column of type `kind`."""
    if is_nested(kind) or kind == "INTERVAL":
        return (
            "a column that rows cannot be grouped by",
            f"{column}: {kind}",
            "ids, codes, text, numbers, times or such",
        )
    return None


def where_refusal(column: str, kind: str, values: Sequence[object]) -> tuple[str, str, str, str] | None:
    """(what is wrong, found, expected, a hint) if values cannot be compared with a column of type `kind`."""
    if is_nested(kind):
        return "a where of lists, structs or maps", f"{column}: {kind}", "a column of plain values", ""
    for value in values:
        if not _comparable(kind, value):
            return "a value of another type than its column", repr(value), f"{column}: {kind}", yaml_hint(value)
    return None


def _comparable(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "BOOLEAN"
    if isinstance(value, int | float):
        return is_integer(kind) or kind in ("FLOAT", "DOUBLE", "UBIGINT") or kind.startswith("DECIMAL")
    return kind in ("VARCHAR", "UUID")
