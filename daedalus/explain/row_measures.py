"""Which of the events that a row sees made the value of a kind that measures: all of them, or the one it is of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daedalus.config.aggregation_kinds import Measure
from daedalus.config.schema import Aggregation

Pair = tuple[dict, Any]  # an event and a value of it


def made_by(aggregation: Aggregation, kind: Measure, pairs: Sequence[Pair]) -> list[tuple[dict, Any, str]]:
    """(event, value, why it is left out; "" for those that the value is of), newest first, equal times by value."""
    pairs = sorted(pairs, key=lambda pair: _rank(pair[1])) if not kind.unread else pairs
    pairs = sorted(pairs, key=lambda pair: pair[0]["event_timestamp"], reverse=True)
    if kind.listed:
        return _most_frequent(aggregation, pairs)
    if kind.made_by == "all" or not pairs:
        return [(*pair, "") for pair in pairs]
    if kind.made_by in ("newest", "oldest"):
        chosen = pairs[0 if kind.made_by == "newest" else -1]
        return [(*pair, "" if pair is chosen else f"not the {kind.made_by}") for pair in pairs]
    end = min if kind.made_by == "smallest" else max
    best = end(_rank(value) for _, value in pairs)
    return [(*pair, "" if _rank(pair[1]) == best else f"not the {kind.made_by}") for pair in pairs]


def _rank(value: Any) -> tuple[bool, Any]:
    """What values compare by: NaN is the greatest, and equal to itself."""
    return (True, 0) if value != value else (False, value)


def _most_frequent(aggregation: Aggregation, pairs: Sequence[Pair]) -> list[tuple[dict, Any, str]]:
    counts: dict[str, int] = {}  # by text: NaN is one value, and there is one zero
    for _, value in pairs:
        counts[_text(value)] = counts.get(_text(value), 0) + 1
    first = sorted(counts, key=lambda text: -counts[text])[: aggregation.max_items]
    beyond = f"beyond max_items ({aggregation.max_items})"
    return [(event, value, "" if _text(value) in first else beyond) for event, value in pairs]


def _text(value: Any) -> str:
    return repr(value + 0.0 if isinstance(value, float) else value)
