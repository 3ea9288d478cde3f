"""Aggregations that fit the events, the enrich columns and the numbers of a feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from daedalus.init import names

_WINDOWS = ["1d", "3d", "7d"]
_MAX_ITEMS = 200
_MOST_EVENTS = 20  # the most frequent, for which lists are proposed
_MOST_NUMBERS = 6  # extra columns, for which sums or means are proposed


def aggregations(
    events: Sequence[str], seen: Sequence[str], noun: str, enrich: Mapping[str, str], numbers: Sequence[str]
) -> Iterator[dict]:
    """Items by event, counts and features of the best event, all past dislikes; and what is measured in numbers.

    `enrich` is columns with their types, `numbers` are extra columns of the feed.
    """
    acts = [event for event in events if event not in seen][:_MOST_EVENTS]
    if seen:
        yield _rolling(f"view_{noun}_ids", seen, "artwork_id", "distinct", False)
    for event in acts:
        if names.is_disliked(event):
            yield {"name": f"{event}_{noun}_ids", "events": [event], "column": "artwork_id", "agg": "distinct",
                   "windows": "cumulative", "max_items": 1000}  # fmt: skip
        else:
            yield _rolling(f"{event}_{noun}_ids", [event], "artwork_id", "distinct", True)
    if best := best_event(acts):
        yield _measured(f"{best}_{noun}_cnts", best, "artwork_id", "count")
        for column, kind in enrich.items():
            agg = "flatten_distinct" if kind.endswith("[]") else "distinct"
            yield _rolling(f"{best}_{noun}_{column.removesuffix('s')}s", [best], column, agg, False)
    yield from _numbers(best or (acts or list(seen))[0], numbers)


def best_event(acts: Sequence[str]) -> str | None:
    """The event that says most of what a user likes, by its name; else the most frequent that is no dislike."""
    liked = {event: place for event in acts
             if not names.is_disliked(event) and (place := names.of_event(event, names.LIKED)) is not None}  # fmt: skip
    return min(liked, key=lambda event: liked[event]) if liked else None


def _numbers(event: str, numbers: Sequence[str]) -> Iterator[dict]:
    for column in numbers[:_MOST_NUMBERS]:
        if any(word in names.ADDED_UP for word in names.words(column)):
            yield _measured(f"{event}_{column}_sum", event, column, "sum")
        yield _measured(f"{event}_{column}_mean", event, column, "mean")


def since_last(event: str) -> dict:
    """Seconds since the newest event of a kind."""
    return _measured(f"seconds_since_{event}", event, "artwork_id", "since_last")


def _measured(name: str, event: str, column: str, agg: str) -> dict:
    return {"name": name, "events": [event], "column": column, "agg": agg, "windows": _WINDOWS}


def _rolling(name: str, events: Sequence[str], column: str, agg: str, exclude_self: bool) -> dict:
    rest = {"exclude_self": True} if exclude_self else {}
    return {"name": name, "events": list(events), "column": column, "agg": agg, "windows": _WINDOWS, **rest,
            "max_items": _MAX_ITEMS}  # fmt: skip
