"""history: the events of feed days before the spine, for windows that reach further back, in blocks of days.

What a block has follows from the feed days in it and from nothing else, so all target days and aggregations share it.
Where values come from views, or events need an artwork of the pool, blocks are of feed rows alone, and a piece that
is read is looked up as a whole: a view or a pool that grows reads no feed file again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial

from daedalus.actions.actions import Reading
from daedalus.actions.unaffected import Keyed
from daedalus.base.days import Day
from daedalus.config.columns import spine_columns
from daedalus.config.schema import Aggregation
from daedalus.skeleton.arrow.day_events import (
    Asked,
    write_feed_events,
    write_gathered,
    write_history,
    write_looked_up,
)
from daedalus.skeleton.arrow.feed_files import FeedPart
from daedalus.skeleton.context import Make, Skeleton
from daedalus.skeleton.feed_day import FeedDay, clean_days, events_part, files_of, is_minus_zero, sql_of_feed
from daedalus.skeleton.steps.event_values import asked_of, joined_by, part_of, sql_of, view_of, views_of
from daedalus.skeleton.steps.view import keyed_by_entity
from daedalus.skeleton.where import EVERY, Where, where_config, where_of
from daedalus.sql.text import Sql, columns, in_list, name, parquet
from daedalus.stagecache.action_name import ActionName, at_once, day_of, escaped, gathered, kind_of, step_of
from daedalus.windows.spec import self_rule

_BLOCKS = (512, 64, 8)  # days of history gathered in one artifact
_AT_ONCE, _FEW_ROWS = 8, 65_536  # so many days are read at once if they have so many rows
_COVERED = "covered"  # in the names of history that is looked up in the pool alone


@cache
def inject_dislike_history(
    feeds: tuple[FeedDay, ...], events: Sequence[str], column: str, *, contributor: bool, filtered: Sequence[str] = (),
    where: Where = EVERY,
) -> Sql:  # fmt: skip
    """SQL of the events of feed days for a cumulative aggregation, from the feed itself.

    Events in `filtered`, to which the coverage filter applies, need an artwork that is in `pool`; all must be as
    `where` says.
    """
    own = ", artwork_id" if contributor else ""
    clean = clean_days(feeds, in_list("event", events))
    if filtered:
        uncovered = f"{in_list('event', filtered)} AND artwork_id NOT IN (SELECT id FROM {parquet('pool')})"
        clean = f"SELECT * FROM ({clean}) WHERE NOT ({uncovered})"
    if where.also:
        clean = f"SELECT * FROM ({clean}) s WHERE TRUE{where.also}"
    grouped, clean = (where.grouped, f"({clean}) s") if where.keys else ("user_id", f"({clean})")
    kept = f"SELECT {grouped}, event_timestamp AS ts, {name(column)} AS value{own} FROM {clean}"
    order = f"{', '.join(where.groups)}, ts, value{own}"
    return Sql(f"SELECT * FROM ({kept}) WHERE value IS NOT NULL{where.complete} ORDER BY {order}")


@cache
def gather_history(kept: str, order: str = "") -> Sql:
    """SQL that merges the history of several days into one artifact, so that a long past is read in a few files."""
    return Sql(f"SELECT {kept} FROM {parquet('events')} ORDER BY {order or kept}")


def build(make: Make, aggregation: Aggregation, first: int, size: int) -> str | None:
    """The events of `size` days from the ordinal `first` on: of the feed if few, or else of smaller blocks."""
    if make.context.next_with_files(first) >= first + size:
        return None
    if is_looked_up(make.context, aggregation):
        return _looked_up(make, aggregation, first, size)
    if is_read_at_once(make, first, size, aggregation.cumulative):
        return _of_feed(make, aggregation, first, size)
    asked = make.once(asked_of, aggregation)
    blocks = [make.need("history", aggregation, at, size // 8) for at in range(first, first + size, size // 8)]
    groups = where_of(make.context, aggregation).groups
    kept = [*groups, "ts", "value", *(["artwork_id"] if asked.contributor else [])]
    action = _named(make, part_of(asked, aggregation), first, size, aggregation.cumulative)
    return _gathered(make, action, blocks, kept, gather_history(", ".join(kept)))


def is_read_at_once(make: Make, first: int, size: int, endless: bool) -> bool:
    """Whether the feed is read for a block of days: always for one, and for eight of few rows of an `endless` window,
    which never begins among them and so has no use for each.

    Not where one of their files is bad, so that its own day is the one that fails.
    """
    if size == 1:
        return True
    if size > _AT_ONCE or not endless:
        return False
    files = [file for day in _days_from(first, size) for late in files_of(make, day).values() for file in late]
    return sum(file.rows for file in files) <= _FEW_ROWS and not any(file.error for file in files)


def _days_from(first: int, size: int) -> list[Day]:
    """The `size` days from the ordinal `first` on."""
    return list(map(Day.fromordinal, range(first, first + size)))


def _named(make: Make, part: str, first: int, size: int, endless: bool) -> ActionName:
    """The name of the history of `size` days from the ordinal `first` on."""
    if size == 1:
        return ActionName("history", part, Day.fromordinal(first))
    span = at_once if is_read_at_once(make, first, size, endless) else gathered
    return ActionName("history", part, Day.fromordinal(first + size - 1), span=span(Day.fromordinal(first), size))


def _gathered(
    make: Make, name: ActionName, blocks: Sequence[str | None], kept: Sequence[str], sql: Sql
) -> str | None:  # fmt: skip
    present = [block for block in blocks if block]
    arrow = partial(write_gathered, tuple(kept))
    return make.sql(name, sql, Reading({"events": present}), {}, arrow=arrow) if present else None


def _of_feed(make: Make, aggregation: Aggregation, first: int, size: int) -> str | None:
    asked = make.once(asked_of, aggregation)
    filtered = _filtered(make.context, asked.events)
    render = partial(inject_dislike_history, events=asked.events, column=asked.column, contributor=asked.contributor,
                     filtered=filtered, where=where_of(make.context, aggregation))  # fmt: skip
    reads = {"pool": [make.need("pool")]} if filtered else {}
    name = _named(make, part_of(asked, aggregation), first, size, aggregation.cumulative)
    return sql_of_feed(make, name, _days_from(first, size), render, _config(aggregation, asked, filtered), reads,
                       partial(_on_arrow, asked, filtered))  # fmt: skip


def _filtered(context: Skeleton, events: Sequence[str]) -> tuple[str, ...]:
    """The events to which the coverage filter applies."""
    covered = {*context.runtime.embedding_coverage_filter.events} if context.covers(events) else set()
    return tuple(sorted(covered.intersection(events)))


def _config(aggregation: Aggregation, asked: Asked, filtered: Sequence[str]) -> dict[str, object]:
    """The values of the config that an aggregation's history depends on."""
    config: dict[str, object] = {"aggregation.events": list(asked.events), "aggregation.column": asked.column}
    config |= {"embedding_coverage_filter.events": list(filtered)} if filtered else {}
    return config | where_config(aggregation)


def _on_arrow(asked: Asked, filtered: Sequence[str], parts: tuple[FeedPart, ...]) -> partial:
    return partial(write_history, parts, asked, filtered)


def pieces(make: Make, aggregation: Aggregation, first: int, last: int) -> list[str]:
    """The history of the days with ordinals in [first, last), as the fewest possible blocks."""
    found = []
    while (first := max(first, make.context.next_with_files(first) // _BLOCKS[0] * _BLOCKS[0])) < last:
        size = next((b for b in _BLOCKS if first % b == 0 and first + b <= last), 1)
        found.append(make.need("history", aggregation, first, size))
        first += size
    return [piece for piece in found if piece]


# Pieces that are looked up


@dataclass(frozen=True)
class FeedEvents:
    """Some events of the feed, and the columns of it that they are looked up by, besides user, time and event."""

    events: tuple[str, ...]
    taken: tuple[str, ...]
    doubles: tuple[str, ...] = ()  # of the columns

    @property
    def part(self) -> str:
        """The part of the names of their history. No column's name in one begins with a bracket."""
        return f"{events_part(self.events, '')}[{'+'.join(escaped(column, '+.]') or '.' for column in self.taken)}]"

    @property
    def names(self) -> list[str]:
        return ["user_id", "event_timestamp", "event", *self.taken]

    @property
    def kept(self) -> str:
        return columns(self.names)

    @property
    def order(self) -> str:
        """Of the rows, which are in a total order: 0.0 and -0.0, which SQL takes for equal, are told apart."""
        ends = [f"{name(column)} NULLS LAST" for column in self.names]
        return ", ".join([*ends, *(is_minus_zero(column) for column in self.doubles)])


@cache
def list_feed_events(feeds: tuple[FeedDay, ...], asked: FeedEvents) -> Sql:
    """SQL of the events of feed days as the feed has them."""
    clean = clean_days(feeds, in_list("event", asked.events))
    return Sql(f"SELECT {asked.kept} FROM ({clean}) ORDER BY {asked.order}")


def covered_events(filtered: Sequence[str]) -> str:
    """FROM clause of `rows` of history, aliased s: those of events in `filtered` need an artwork that is in `pool`."""
    if not filtered:
        return f"{parquet('rows')} s"
    uncovered = f"{in_list('event', filtered)} AND artwork_id NOT IN (SELECT id FROM {parquet('pool')})"
    return f"(SELECT * FROM {parquet('rows')} WHERE NOT ({uncovered})) s"


def is_looked_up(context: Skeleton, aggregation: Aggregation) -> bool:
    """Whether an aggregation's history is looked up in views or in the pool.

    A cumulative one of feed columns is not: its days look at the pool themselves.
    """
    if any(view_of(context, column) for column in (aggregation.column, *aggregation.where, *aggregation.keys)):
        return True
    return context.covers(aggregation.events) and not aggregation.cumulative


def is_covered(action: str) -> bool:
    """Whether an action, by its name, is of history that is there only while the coverage filter applies to it."""
    return (
        step_of(action) == "history" and kind_of(action).split(".")[-1] == _COVERED and kind_of(action).count(".") > 1
    )


def feed_events(context: Skeleton, aggregation: Aggregation) -> FeedEvents:
    """What of the feed an aggregation's history is looked up by."""
    view, views = view_of(context, aggregation.column), context.config.catalog.views
    wanted = {views[view].entity if view else aggregation.column}
    for column in (*aggregation.where, *(aggregation.keys if aggregation.keyed else ())):
        of = view_of(context, column)
        wanted.add(views[of].entity if of else column)
    if self_rule(aggregation) == "event" or context.covers(aggregation.events):
        wanted.add("artwork_id")
    taken = tuple(sorted(wanted - {"user_id", "event_timestamp", "event"}))
    types = spine_columns(context.config)
    doubles = tuple(column for column in taken if types[column] in ("FLOAT", "DOUBLE"))
    return FeedEvents(tuple(sorted(set(aggregation.events))), taken, doubles)


def _rows(make: Make, asked: FeedEvents, first: int, size: int, endless: bool) -> str | None:
    """The feed's rows of `size` days from the ordinal `first` on, in the way of `build`."""
    if make.context.next_with_files(first) >= first + size:
        return None
    action = _named(make, asked.part, first, size, endless)
    if not is_read_at_once(make, first, size, endless):
        blocks = [make.once(_rows, asked, at, size // 8, endless) for at in range(first, first + size, size // 8)]
        return _gathered(make, action, blocks, asked.names, gather_history(asked.kept, asked.order))

    def arrow(parts: tuple[FeedPart, ...]) -> partial:
        return partial(write_feed_events, parts, asked.events, asked.names)

    config, render = {"aggregation.events": list(asked.events)}, partial(list_feed_events, asked=asked)
    return sql_of_feed(make, action, _days_from(first, size), render, config, None, arrow)


def _looked_up(make: Make, aggregation: Aggregation, first: int, size: int) -> str | None:
    """A piece of history with its values, by the rules of `event_values`."""
    rows = make.once(_rows, feed_events(make.context, aggregation), first, size, aggregation.cumulative)
    if rows is None:
        return None
    asked, where = make.once(asked_of, aggregation), where_of(make.context, aggregation)
    filtered, joined = _filtered(make.context, asked.events), joined_by(asked, where)
    sql = sql_of(asked, where, bool(filtered), covered_events(filtered))
    reads = {"rows": [rows], **({"pool": [make.need("pool")]} if filtered else {}), **views_of(make, asked, where)}
    make.unaffected.watch(day_of(rows))
    keyed = [Keyed(make.need("pool"), "id", "artwork_id", kind_of(rows))] if filtered else []
    part = part_of(asked, aggregation) + ("" if joined else f".{_COVERED}")
    action = _named(make, part, first, size, aggregation.cumulative)
    return make.sql(action, sql, Reading(reads), _config(aggregation, asked, filtered),
                    keyed=[*keyed, *keyed_by_entity(make, joined, kind_of(rows))],
                    arrow=partial(write_looked_up, asked, filtered))  # fmt: skip
