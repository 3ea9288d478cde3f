"""sessions: the target day's rows, without the sessions that the session filter drops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from daedalus.actions.actions import Reading
from daedalus.base.days import Day
from daedalus.config.columns import SPINE_COLUMNS, spine_columns
from daedalus.skeleton.arrow.pool_and_sessions import write_sessions
from daedalus.skeleton.context import Make
from daedalus.skeleton.steps.coverage import covered, covered_spine
from daedalus.sql.text import POSITION, Sql, columns, in_list
from daedalus.stagecache.action_name import ActionName


def filter_to_target_day(filtered: bool) -> str:
    """FROM clause of the target day's rows, aliased s.

    A feed day's spine has only rows of that day, and no injected history, so reading the target day's spine is enough.
    """
    return covered_spine(filtered)


@cache
def apply_session_filter(
    filtered: bool, events: Sequence[str], *, drop_view_only: bool, drop_single_like: bool,
    names: Sequence[str] = tuple(SPINE_COLUMNS),
) -> Sql:  # fmt: skip
    """SQL of the target day's rows without view-only and single-like sessions.

    Rows without a session stay. `events` are the coverage filter's; they count as views.
    """
    view = in_list("s.event", events) if events else "FALSE"
    acts = f"count(*) FILTER (NOT ({view}))"
    dropped = []
    if drop_view_only:
        dropped.append(f"{acts} = 0")
    if drop_single_like:
        dropped.append(f"({acts} = 1 AND count(*) FILTER (s.event = 'like' AND NOT ({view})) = 1)")
    rows = filter_to_target_day(filtered)
    keep = "TRUE"
    if dropped:  # the spine is read twice: a temporary table takes three times as long
        sessions = f"SELECT s.feed_session FROM {rows} WHERE s.feed_session IS NOT NULL GROUP BY s.feed_session"
        keep = f"s.feed_session IS NULL OR s.feed_session NOT IN ({sessions} HAVING {' OR '.join(dropped)})"
    return Sql(
        counts=f"SELECT count(*) AS target FROM {rows}",
        select=f"SELECT {columns(names, 's.')} FROM {rows} WHERE {keep} ORDER BY s.{POSITION}",
    )


def build(make: Make, day: Day) -> str:
    """Reads the target day's spine and coverage."""
    context = make.context
    rule, filtered = context.runtime.session_filter, context.covers()
    names = tuple(spine_columns(context.config))
    events = tuple(sorted(set(context.runtime.embedding_coverage_filter.events)))
    sql = apply_session_filter(filtered, events, drop_view_only=rule.drop_view_only,
                               drop_single_like=rule.drop_single_like, names=names)  # fmt: skip
    config: dict[str, object] = {
        f"session_filter.{k}": getattr(rule, k) for k in ("drop_view_only", "drop_single_like")
    }
    if rule.drop_view_only or rule.drop_single_like:
        config["embedding_coverage_filter.events"] = list(events)
    arrow = partial(write_sessions, names, events, rule.drop_view_only, rule.drop_single_like)
    return make.sql(ActionName("sessions", day=day), sql, Reading(covered(make, day, filtered)), config, arrow=arrow)
