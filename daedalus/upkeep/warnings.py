"""Warnings about a valid configuration that probably is not what was meant. Nothing here raises."""

from __future__ import annotations

from collections.abc import Iterator

from daedalus.config import Config
from daedalus.config.load import yaml_hint

KNOWN_EVENTS = ("reco_artwork_view", "reco_artwork_view2", "click", "like", "dislike_click")
_CLOSE = 0.75


def doubts(config: Config) -> list[str]:
    """The warnings, a line each."""
    return [*_not_shipped(config), *_odd_events(config), *_odd_defaults(config)]


def _not_shipped(config: Config) -> Iterator[str]:
    shipped = {column.made_from for column in config.output_columns}
    if embeddings := config.runtime.embeddings:
        shipped |= {column.mean_of for column in embeddings.columns.values() if column.mean_of}
    unused = [a.name for a in config.aggregations if shipped.isdisjoint(a.outputs)]
    if unused:
        yield f"output_columns names no column of {', '.join(unused)} (aggregations.yaml), so nothing computes it"
    for aggregation in config.aggregations:
        missing = [name for name in aggregation.outputs if name not in shipped]
        if missing and aggregation.name not in unused:
            yield f"aggregation {aggregation.name}: output_columns does not name {', '.join(missing)}"


def _odd_defaults(config: Config) -> Iterator[str]:
    for column in config.output_columns:
        if isinstance(column.default, str) and (hint := yaml_hint(column.default)):
            yield f"output_columns: the default of {column.name}: {hint}"


def _odd_events(config: Config) -> Iterator[str]:
    named = [(f"aggregation {a.name}", event) for a in config.aggregations for event in a.events]
    coverage = config.runtime.embedding_coverage_filter
    named += [("embedding_coverage_filter", event) for event in coverage.events]
    for place, event in dict.fromkeys(named):
        if event in KNOWN_EVENTS:
            continue
        from difflib import get_close_matches

        if close := get_close_matches(event, KNOWN_EVENTS, n=1, cutoff=_CLOSE):
            yield f"{place}: no known event is called {event!r}; did you mean {close[0]!r}?"
