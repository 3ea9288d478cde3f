"""spine: the clean rows of a feed day."""

from __future__ import annotations

from functools import cache, partial

from daedalus.base.days import Day
from daedalus.config.columns import SPINE_COLUMNS
from daedalus.config.schema import Lateness
from daedalus.skeleton.arrow.feed_files import FeedPart
from daedalus.skeleton.arrow.feed_rows import write_spine
from daedalus.skeleton.context import Make
from daedalus.skeleton.feed_day import _DAY, _KEYED, FeedDay, is_minus_zero, sql_of_feed
from daedalus.sql.text import Sql, columns, name
from daedalus.stagecache.action_name import ActionName

# Output order: a query group's rows together, then the rest of the feed's columns as tie-break.
_ORDER = ["user_id", "feed_session", "event_timestamp", "artwork_id", "event"]
ROW_ORDER = [*_ORDER, *(column for column in SPINE_COLUMNS if column not in _ORDER)]


def order_by(feed: FeedDay) -> str:
    """Of the spine's rows; extra columns come last, and -0.0 before 0.0."""
    names = [*ROW_ORDER, *(column for column in feed.names if column not in SPINE_COLUMNS)]
    signs = {column: f", {is_minus_zero(column)} DESC" for column in feed.doubles}
    return "ORDER BY " + ", ".join(f"{name(column)} NULLS LAST{signs.get(column, '')}" for column in names)


@cache
def build_time_window_entity_spine(feed: FeedDay) -> Sql:
    """SQL of the clean rows of one feed day: those of partitions `d - before .. d + after` whose time is in day `d`.

    Counts: read, null_keys and strays of the day's own partition, with the suffix `+1` of the next day's, `+-1` of
    the one before, and so on; duplicates and spine of the day.
    """
    early = f"event_timestamp < {_DAY} - INTERVAL {feed.lateness.after} DAY"
    stray = f"{early} OR event_timestamp >= {_DAY} + INTERVAL {feed.lateness.before + 1} DAY"
    lates = sorted({group.late for group in feed.groups if group.late})
    late = "".join(_late_counts(i, feed.lateness) for i in lates)
    return Sql(
        tables=(("raw", feed.raw()), ("clean", feed.clean("raw"))),
        counts=f"""
            SELECT count(*) FILTER (own) AS read,
                count(*) FILTER (own AND NOT ({_KEYED})) AS null_keys,
                count(*) FILTER (own AND {_KEYED} AND ({stray})) AS strays,{late}
                count(*) FILTER ({_KEYED} AND {feed.in_day}) - (SELECT count(*) FROM clean) AS duplicates,
                (SELECT count(*) FROM clean) AS spine
            FROM raw""",
        select=f"SELECT {columns(feed.names)} FROM clean {order_by(feed)}",
    )


def _late_counts(late: int, lateness: Lateness) -> str:
    """SQL of the counts of the partition that is `late` days after the spine's."""
    first, end = late - lateness.after, late + lateness.before + 1  # days whose rows are not strays in that partition
    until = f"{_DAY} + INTERVAL {end if end >= 0 else f'({end})'} DAY"
    allowed = f"event_timestamp >= {_DAY} + INTERVAL ({first}) DAY AND event_timestamp < {until}"
    return f"""
                count(*) FILTER (late = {late}) AS "read+{late}",
                count(*) FILTER (late = {late} AND NOT ({_KEYED})) AS "null_keys+{late}",
                count(*) FILTER (late = {late} AND {_KEYED} AND NOT ({allowed})) AS "strays+{late}","""


def build(make: Make, day: Day) -> str | None:
    """Reads the feed files of a day and, as far as rows come late or early, of neighbouring days."""
    make.unaffected.watch(str(day))
    name = ActionName("spine", day=day)
    return sql_of_feed(make, name, [day], _of_day, {}, arrow=_on_arrow, by_user=True)


def _of_day(feeds: tuple[FeedDay, ...]) -> Sql:
    (feed,) = feeds
    return build_time_window_entity_spine(feed)


def _on_arrow(parts: tuple[FeedPart, ...]) -> partial:
    (part,) = parts
    return partial(write_spine, part, [*ROW_ORDER, *(column for column, _ in part.extra)])
