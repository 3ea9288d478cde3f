"""The SQL that defines the windows; the compiled kernel gives the same result."""

from __future__ import annotations

from functools import cache

from daedalus.sql.text import POSITION, Sql, name, parquet
from daedalus.windows.spec import PLACE, USERS, Rolling

ROWS = parquet("rows", positions=True)


@cache
def rolling_sql(rolling: Rolling, rows: str = ROWS, events: str = parquet("events"), *, once: str = "") -> Sql:
    """One column per window, in the order of `rows` (user_id, artwork_id, event_timestamp), from `events`.

    `events` has user_id, ts, value, and artwork_id when a row's own events are excluded. Where groups are not users,
    events have the columns of the groups, and `row_keys` has them of rows by their place. Only the longest
    window's list is built: lists are newest first, so a shorter window's list is a prefix of it.
    With `once`, the longest list is a column of that name, and each window is the length of its prefix.
    """
    taken = taken_of(rolling)
    sizes = ", ".join(f"{_within(seconds)} AS n{i}" for i, (_, seconds) in enumerate(rolling.windows))
    seen = _latest(rolling, taken, rows, events) if rolling.kind.distinct else seen_pairs(rolling, taken, rows, events)
    if not rolling.kind.listed:
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


def taken_of(rolling: Rolling) -> str:
    """What of a pair of a row and an event is needed."""
    target = POSITION if rolling.groups == USERS else PLACE
    return f"r.{target} AS target, r.event_timestamp AS t, e.ts AS ts, e.value AS value"


def seen_pairs(rolling: Rolling, taken: str, rows: str, events: str, also: str = "") -> str:
    """SELECT of pairs: each row with each event that it sees."""
    same = [f"e.{group} = r.{group}" for group in rolling.groups]
    clauses = [*same, "e.ts < r.event_timestamp", *([also] if also else [])]
    rows = rows if rolling.groups == USERS else parquet("row_keys")
    if rolling.longest is not None:
        clauses.append(f"e.ts >= r.event_timestamp - INTERVAL {rolling.longest} SECOND")
    if rolling.without_self:
        clauses.append("e.artwork_id <> r.artwork_id" if rolling.without_self == "event" else "e.value <> r.artwork_id")
    return f"SELECT {taken} FROM {rows} r JOIN {events} e ON {' AND '.join(clauses)}"


def _latest(rolling: Rolling, taken: str, rows: str, events: str) -> str:
    """SELECT of pairs: each row with each value that it sees, at the value's latest occurrence before the row."""
    if rolling.without_self == "event":  # which occurrence is the latest depends on the row
        pairs = seen_pairs(rolling, taken, rows, events)
        return f"SELECT target, value, max(ts) AS ts, any_value(t) AS t FROM ({pairs}) GROUP BY target, value"
    # An occurrence is the latest one that a row sees iff the value's next one is not before the row.
    groups = ", ".join(rolling.groups)
    occurrences = f"""(SELECT *, lead(ts) OVER (PARTITION BY {groups}, value ORDER BY ts) AS next
        FROM (SELECT DISTINCT {groups}, ts, value FROM {events}))"""
    return seen_pairs(rolling, taken, rows, occurrences, "(e.next IS NULL OR e.next >= r.event_timestamp)")


def _within(seconds: int | None) -> str:
    """SQL that counts the events in a window, among those of the longest."""
    return "count(*)" if seconds is None else f"count(*) FILTER (ts >= t - INTERVAL {seconds} SECOND)"
