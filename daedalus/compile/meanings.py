"""What a column means, a sentence each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from daedalus.base.days import parse_duration
from daedalus.base.terminal_text import counted
from daedalus.compile.canonical import in_units
from daedalus.config import Config
from daedalus.config.aggregation_kinds import Measure
from daedalus.config.columns import Ref
from daedalus.config.schema import Aggregation, EmbeddingColumn
from daedalus.windows.spec import self_rule

QID = "The number of the row's session, the same on all days; NULL for a row without one."
_FEED = {
    "user_id": "The user whose event the row is.",
    "artwork_id": "The artwork that the event is about.",
    "event_timestamp": "When the event happened, in UTC.",
    "event": "The kind of event, as the feed names it.",
    "feed_session": "The session of the event; NULL if the feed has none.",
    "country_code": "The country of the event as its ISO 3166-1 number; 0 if absent or unknown.",
}


def of_feed(config: Config, name: str) -> str:
    if name == "platform_code":
        mapped = ", ".join(f"{text} {code}" for text, code in sorted(config.runtime.platforms.items()))
        names = f", of a name by platforms ({mapped})" if mapped else ""
        return f"The platform of the event as a code{names}; 0 if absent or unknown."
    return _FEED.get(name, f"The feed's {name}, unchanged; NULL if the feed has none.")


def of_feature(config: Config, view: str, name: str) -> str:
    text = f"{name} of {_latest(config, view)}; NULL where there is none"
    rule = config.runtime.animated_model_type
    if rule and name == "model_type":
        text += f"; {rule.source} becomes {rule.target} where artwork_type is {rule.artwork_type}"
    return f"{text}."


def _latest(config: Config, view: str) -> str:
    """Which row of a view is joined."""
    found = config.catalog.views[view]
    until = " before the end of the row's day" if found.as_of == "day" else ""
    return f"the row's {found.entity} in {view}, from its latest row by {found.timestamp_field}{until}"


def of_age(config: Config, text: str) -> str:
    ref = Ref.parse(text)
    assert ref is not None
    since = f"{ref.feature} of {_latest(config, ref.view)}"
    return f"Whole days from {since}, to the event, rounded down and never below 0; NULL where there is no such time."


def of_aggregation(config: Config, aggregation: Aggregation, window: str | None) -> str:
    """The sentence of one window; None is all of the past."""
    when = "of all time" if window is None else f"in the {_duration(window)}"
    events = f"{_whose(aggregation)}{_where(aggregation)} {when} strictly before the row"
    without = {"": "", "value": ", without the row's own artwork",
               "event": ", without events of the row's own artwork"}[self_rule(aggregation)]  # fmt: skip
    kind, column = aggregation.kind, aggregation.column
    if isinstance(kind, Measure):
        return f"{_measured(kind, aggregation, events + without)}{_covered(config, aggregation)}."
    if not kind.listed:
        return f"The number of {events} whose {column} is not NULL{without}{_covered(config, aggregation)}."
    what = f"The distinct members of {column}" if kind.flatten else f"The {'distinct ' * kind.distinct}{column}"
    order = "by most recent occurrence, newest first" if kind.distinct else "newest first, repeats kept"
    limit = f", at most {aggregation.max_items:,}" if aggregation.max_items is not None else ""
    return f"{what} of {events}, {order}{without}{limit}{_covered(config, aggregation)}."


def _whose(aggregation: Aggregation) -> str:
    """The events, by whose they are."""
    events = f"{_listed(aggregation.events)} events"
    found = f"the user's {events}"
    if aggregation.key != "user_id":
        found = f"the {events} of the same {_thing(aggregation.key)}"
    return f"{found} with the same {_thing(aggregation.match)}" if aggregation.match else found


def _thing(column: str) -> str:
    """What a column tells apart: artwork for artwork_id."""
    return column.removesuffix("_id").replace("_", " ")


def _where(aggregation: Aggregation) -> str:
    tests = [f"{column} {' or '.join(map(str, values))}" for column, values in aggregation.where.items()]
    return f" with {' and '.join(tests)}" if tests else ""


def _measured(kind: Measure, aggregation: Aggregation, events: str) -> str:
    """What a kind of windows/kinds/ makes, and what of no events."""
    limit = f", at most {aggregation.max_items:,}" if aggregation.max_items is not None else ""
    said = kind.says.format(column=aggregation.column, events=events, limit=limit)
    return said if kind.listed else f"{said}; {kind.empty} where there is none"


def _covered(config: Config, aggregation: Aggregation) -> str:
    coverage = config.runtime.embedding_coverage_filter
    found = set(aggregation.events) & set(coverage.events) if coverage.enabled else set()
    if not found:
        return ""
    which = "such events" if found == set(aggregation.events) else _listed(found)
    return f"; {which} count only for artworks in the pool"


def of_recent(config: Config) -> str:
    recent = config.runtime.recent_published
    assert recent is not None
    limit = f", at most {recent.max_items:,}" if recent.max_items is not None else ""
    return (
        f"The artworks that the row's user published, by {recent.author} and {recent.published_at}, in the "
        f"{_duration(recent.window)} strictly before the row, newest first{limit}."
    )


def of_default(value: Any) -> str:
    return f"Always {'NULL' if value is None else repr(value)}: nothing makes this column."


def of_embedding(config: Config, column: EmbeddingColumn) -> str:
    embeddings, table = config.runtime.embeddings, config.runtime.embedding_coverage_filter.table
    assert embeddings is not None
    kind = f"as {embeddings.dtype}"
    if column.of:
        return f"The vector of {column.of} in the pool {table}, {kind}; NULL where it has none."
    first = "all ids" if column.max_items is None else f"the first {counted(column.max_items, 'id')}"
    return (
        f"The mean, component by component, of the vectors in the pool {table} of {first} of {column.mean_of} "
        f"that have one, a repeat as often as it occurs, {kind}; NULL where none has."
    )


def _duration(text: str) -> str:
    return counted(*in_units(parse_duration(text, "windows")))


def _listed(names: Iterable[str]) -> str:
    *most, last = sorted(set(names))
    return f"{', '.join(most)} and {last}" if most else last
