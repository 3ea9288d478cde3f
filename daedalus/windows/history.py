"""What came before: rolling and cumulative aggregations, dislike history, recently published artworks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from daedalus.config.schema import Aggregation
from daedalus.skeleton.steps.spine import FeedDay
from daedalus.sql.text import POSITION, TIME, Sql, in_list, name, parquet

SelfRule = Literal["", "value", "event"]  # nothing excluded; values equal to the row's artwork; its events


def self_rule(aggregation: Aggregation) -> SelfRule:
    """How `exclude_self` is held: by value where values are artworks, else by the event that brings the value."""
    if not aggregation.exclude_self:
        return ""
    return "value" if aggregation.column == "artwork_id" else "event"


@dataclass(frozen=True)
class Rolling:
    """An aggregation over the events of a row's user that lie strictly before the row.

    `windows` are (output column, seconds), or (output column, None) for all of the past.
    """

    agg: Literal["list", "distinct", "flatten_distinct", "count"]
    windows: tuple[tuple[str, int | None], ...]
    without_self: SelfRule = ""
    max_items: int | None = None

    @property
    def distinct(self) -> bool:
        return self.agg in ("distinct", "flatten_distinct")

    @property
    def longest(self) -> int | None:
        seconds = [s for _, s in self.windows]
        return None if None in seconds else max(s for s in seconds if s is not None)


ROWS = parquet("rows", positions=True)


def rolling_sql(rolling: Rolling, rows: str = ROWS, events: str = parquet("events"), *, once: str = "") -> Sql:
    """One column per window, in the order of `rows` (user_id, artwork_id, event_timestamp), from `events`.

    With `once`, the longest window's lists are a column of that name, and other windows tell how much of it is theirs.

    `events` has user_id, ts, value, and artwork_id when a row's own events are excluded. Only the
    longest window is listed: newest first, a shorter window's list is a prefix of it, so it is sliced.
    """
    taken = f"r.{POSITION} AS target, r.event_timestamp AS t, e.ts AS ts, e.value AS value"
    sizes = ", ".join(f"{_within(seconds)} AS n{i}" for i, (_, seconds) in enumerate(rolling.windows))
    seen = _latest(rolling, taken, rows, events) if rolling.distinct else _seen(rolling, taken, rows, events)
    if rolling.agg == "count":
        found = [f"coalesce(g.n{i}, 0) AS {name(out)}" for i, (out, _) in enumerate(rolling.windows)]
    else:
        sizes = f"list(value ORDER BY ts DESC, value) AS items, {sizes}"
        limit = "" if rolling.max_items is None else f", {rolling.max_items}"
        ends = {out: f"least(coalesce(g.n{i}, 0){limit})" for i, (out, _) in enumerate(rolling.windows)}
        listed = {once: list(ends.values())[-1]} if once else ends
        found = [f"coalesce(g.items[1:{end}], []) AS {name(out)}" for out, end in listed.items()]
        if once:
            found += [f"CAST({end} AS INTEGER) AS {name(out)}" for out, end in ends.items()]
    return Sql(f"""
        SELECT {", ".join(found)} FROM {rows} r
        LEFT JOIN (SELECT target, {sizes} FROM ({seen}) GROUP BY target) g ON g.target = r.{POSITION}
        ORDER BY r.{POSITION}""")


def _seen(rolling: Rolling, taken: str, rows: str, events: str, also: str = "") -> str:
    """SELECT of each row with each event that it sees."""
    clauses = ["e.user_id = r.user_id", "e.ts < r.event_timestamp", *([also] if also else [])]
    if rolling.longest is not None:
        clauses.append(f"e.ts >= r.event_timestamp - INTERVAL {rolling.longest} SECOND")
    if rolling.without_self:
        clauses.append("e.artwork_id <> r.artwork_id" if rolling.without_self == "event" else "e.value <> r.artwork_id")
    return f"SELECT {taken} FROM {rows} r JOIN {events} e ON {' AND '.join(clauses)}"


def _latest(rolling: Rolling, taken: str, rows: str, events: str) -> str:
    """SELECT of each row with each value that it sees, at the value's latest occurrence before the row."""
    if rolling.without_self == "event":  # which occurrence is the latest depends on the row
        pairs = _seen(rolling, taken, rows, events)
        return f"SELECT target, value, max(ts) AS ts, any_value(t) AS t FROM ({pairs}) GROUP BY target, value"
    # An occurrence is the latest one that a row sees iff the value's next one is not before the row.
    occurrences = f"""(SELECT *, lead(ts) OVER (PARTITION BY user_id, value ORDER BY ts) AS next
        FROM (SELECT DISTINCT user_id, ts, value FROM {events}))"""
    return _seen(rolling, taken, rows, occurrences, "(e.next IS NULL OR e.next >= r.event_timestamp)")


def _within(seconds: int | None) -> str:
    """Counts what lies in a window, out of what lies in the longest."""
    return "count(*)" if seconds is None else f"count(*) FILTER (ts >= t - INTERVAL {seconds} SECOND)"


def inject_dislike_history(
    feed: FeedDay, events: Sequence[str], column: str, *, contributor: bool, filtered: Sequence[str] = ()
) -> Sql:
    """A feed day's events for a cumulative aggregation, from the feed itself.

    Those of `filtered`, which the coverage filter names, need an artwork that is in `pool`.
    """
    own = ", artwork_id" if contributor else ""
    clean = feed.clean(f"({feed.raw()})", in_list("event", events))
    if filtered:
        uncovered = f"{in_list('event', filtered)} AND artwork_id NOT IN (SELECT id FROM {parquet('pool')})"
        clean = f"SELECT * FROM ({clean}) WHERE NOT ({uncovered})"
    kept = f"SELECT user_id, event_timestamp AS ts, {name(column)} AS value{own} FROM ({clean})"
    return Sql(f"SELECT * FROM ({kept}) WHERE value IS NOT NULL ORDER BY user_id, ts, value{own}")


def gather_history(contributor: bool) -> Sql:
    """Several days' history in one artifact, so that a long past is read in a few files."""
    kept = "user_id, ts, value" + (", artwork_id" if contributor else "")
    return Sql(f"SELECT {kept} FROM {parquet('events')} ORDER BY {kept}")


def list_published(published_at: str, author: str, *, every_version: bool, is_day: bool = False) -> Sql:
    """The latest row of every artwork of `view` as an event of its author: user_id, ts, value.

    A day (`is_day`) is its midnight.
    """
    time = f"CAST({name(published_at)} AS TIMESTAMP)" if is_day else name(published_at)
    newest = f"row_number() OVER (PARTITION BY artwork_id ORDER BY {TIME} DESC NULLS LAST) = 1"
    rows = f"(SELECT * FROM {parquet('view')} QUALIFY {newest})" if every_version else parquet("view")
    return Sql(f"""
        SELECT CAST({name(author)} AS BIGINT) AS user_id, {time} AS ts,
            CAST(artwork_id AS BIGINT) AS value FROM {rows}
        WHERE {name(author)} IS NOT NULL AND {name(published_at)} IS NOT NULL
        ORDER BY user_id, ts, value""")


def compute_user_recent_published_artworks(column: str, window: int, max_items: int | None) -> Rolling:
    """What the row's user published within `window` seconds before it: a list over publications as `events`."""
    return Rolling("list", ((column, window),), max_items=max_items)
