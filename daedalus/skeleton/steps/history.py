"""history: a feed day's events for a cumulative aggregation, gathered into blocks of days."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from daedalus.actions.actions import Reading
from daedalus.base.days import Day
from daedalus.config.schema import Aggregation
from daedalus.skeleton.arrow.day_events import write_history
from daedalus.skeleton.arrow.feed_files import FeedPart
from daedalus.skeleton.arrow.own_feed import write_own_history
from daedalus.skeleton.context import Make
from daedalus.skeleton.feed_day import FeedDay, events_part, sql_of_feed
from daedalus.skeleton.where import EVERY, Where, where_config, where_of, where_part
from daedalus.sql.text import Sql, in_list, name, parquet
from daedalus.stagecache.action_name import ActionName
from daedalus.windows.spec import self_rule

_BLOCKS = (512, 64, 8)  # days of history gathered in one artifact


@cache
def inject_dislike_history(
    feed: FeedDay, events: Sequence[str], column: str, *, contributor: bool, filtered: Sequence[str] = (),
    where: Where = EVERY,
) -> Sql:  # fmt: skip
    """SQL of a feed day's events for a cumulative aggregation, from the feed itself.

    Events in `filtered`, to which the coverage filter applies, need an artwork that is in `pool`; all must be as
    `where` says.
    """
    own = ", artwork_id" if contributor else ""
    clean = feed.clean(f"({feed.raw()})", in_list("event", events))
    if filtered:
        uncovered = f"{in_list('event', filtered)} AND artwork_id NOT IN (SELECT id FROM {parquet('pool')})"
        clean = f"SELECT * FROM ({clean}) WHERE NOT ({uncovered})"
    if where.also:
        clean = f"SELECT * FROM ({clean}) s WHERE TRUE{where.also}"
    kept = f"SELECT user_id, event_timestamp AS ts, {name(column)} AS value{own} FROM ({clean})"
    return Sql(f"SELECT * FROM ({kept}) WHERE value IS NOT NULL ORDER BY user_id, ts, value{own}")


@cache
def gather_history(contributor: bool) -> Sql:
    """SQL that merges the history of several days into one artifact, so that a long past is read in a few files."""
    kept = "user_id, ts, value" + (", artwork_id" if contributor else "")
    return Sql(f"SELECT {kept} FROM {parquet('events')} ORDER BY {kept}")


def build(make: Make, aggregation: Aggregation, first: int, size: int) -> str | None:
    """The events of `size` days from the ordinal `first` on: reads the feed for one day, smaller blocks for more."""
    if make.context.next_with_files(first) >= first + size:
        return None
    if size == 1:
        return _of_one_day(make, aggregation, Day.fromordinal(first))
    blocks = [make.need("history", aggregation, at, size // 8) for at in range(first, first + size, size // 8)]
    present = [block for block in blocks if block]
    if not present:
        return None
    span = f"{Day.fromordinal(first)}+{size}d"
    name = ActionName("history", _part(aggregation), Day.fromordinal(first + size - 1), span=span)
    return make.sql(name, gather_history(self_rule(aggregation) == "event"), Reading({"events": present}), {})


def _of_one_day(make: Make, aggregation: Aggregation, day: Day) -> str | None:
    context = make.context
    events, contributor = tuple(sorted(set(aggregation.events))), self_rule(aggregation) == "event"
    covered = {*context.runtime.embedding_coverage_filter.events} if context.covers(events) else set()
    filtered = tuple(sorted(covered.intersection(events)))
    config: dict[str, object] = {"aggregation.events": list(events), "aggregation.column": aggregation.column}
    config |= {"embedding_coverage_filter.events": list(filtered)} if filtered else {}
    config |= where_config(aggregation)
    render = partial(inject_dislike_history, events=events, column=aggregation.column, contributor=contributor,
                     filtered=filtered, where=where_of(context, aggregation))  # fmt: skip
    name = ActionName("history", _part(aggregation), day)
    reads = {"pool": [make.need("pool")]} if filtered else {}

    def arrow(part: FeedPart, own: bool) -> partial:
        write = write_own_history if own else write_history
        return partial(write, part, events, aggregation.column, contributor, filtered)

    return sql_of_feed(make, name, render, config, reads, None if aggregation.where else arrow)


def _part(aggregation: Aggregation) -> str:
    """The part of the names of an aggregation's history."""
    events, contributor = sorted(set(aggregation.events)), self_rule(aggregation) == "event"
    return events_part(events, aggregation.column, contributor=contributor) + where_part(aggregation)


def pieces(make: Make, aggregation: Aggregation, first: int, last: int) -> list[str]:
    """The history of the days with ordinals in [first, last), as the fewest possible blocks."""
    found = []
    while (first := max(first, make.context.next_with_files(first) // _BLOCKS[0] * _BLOCKS[0])) < last:
        size = next((b for b in _BLOCKS if first % b == 0 and first + b <= last), 1)
        found.append(make.need("history", aggregation, first, size))
        first += size
    return [piece for piece in found if piece]
