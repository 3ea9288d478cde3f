"""event_values: a feed day's events that an aggregation sees, each with its value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from daedalus.actions.actions import Reading
from daedalus.base.days import Day
from daedalus.config.columns import Ref
from daedalus.config.schema import Aggregation
from daedalus.skeleton.arrow.day_events import write_event_values
from daedalus.skeleton.context import Make, Skeleton
from daedalus.skeleton.feed_day import day_start, events_part
from daedalus.skeleton.joins_and_filters import preload_filtered_features
from daedalus.skeleton.steps.coverage import covered, covered_spine
from daedalus.skeleton.steps.view import keyed_by_entity
from daedalus.sql.text import Sql, in_list, name
from daedalus.stagecache.action_name import ActionName
from daedalus.windows.spec import self_rule


@cache
def enrich_spine_for_rolling(
    events: Sequence[str],
    column: str,
    *,
    filtered: bool,
    entity: str = "",
    as_of_day: bool = False,
    flatten: bool = False,
    contributor: bool = False,
) -> Sql:
    """SQL of a feed day's events for an aggregation: user_id, ts, value, and with `contributor` the artwork_id.

    With `entity` the value comes from `view` by that entity, else from the spine. NULL values are left out.
    """
    source = covered_spine(filtered)
    value = f"s.{name(column)}"
    if entity:
        ids = f"SELECT s.{name(entity)} FROM {source}"
        rows = preload_filtered_features("view", entity, [column], ids, as_of_day=as_of_day)
        source += f" JOIN ({rows}) f ON f.{name(entity)} = s.{name(entity)}"
        value = f"f.{name(column)}"
    own = ", s.artwork_id AS artwork_id" if contributor else ""
    seen = f"""
        SELECT s.user_id AS user_id, s.event_timestamp AS ts, {f"unnest({value})" if flatten else value} AS value{own}
        FROM {source} WHERE {in_list("s.event", events)}"""
    order = "user_id, ts, value" + (", artwork_id" if contributor else "")
    return Sql(f"SELECT * FROM ({seen}) WHERE value IS NOT NULL ORDER BY {order}")


def build(make: Make, day: Day, aggregation: Aggregation) -> str | None:
    """Reads a feed day's spine, its coverage, and the view that has the value.

    Aggregations with the same events and column share the action.
    """
    if make.need("spine", day) is None:
        return None
    context = make.context
    events = tuple(sorted(set(aggregation.events)))
    view = view_of(context, aggregation.column)
    as_of_day = bool(view) and context.config.catalog.views[view].as_of == "day"
    filtered = context.covers(events)
    flatten, contributor = aggregation.kind.flatten, self_rule(aggregation) == "event"
    entity = context.config.catalog.views[view].entity if view else ""
    sql = enrich_spine_for_rolling(events, aggregation.column, filtered=filtered, entity=entity, as_of_day=as_of_day,
                                   flatten=flatten, contributor=contributor)  # fmt: skip
    reads = covered(make, day, filtered)
    if view:
        reads["view"] = [make.need("view", view)]
    part = events_part(events, aggregation.column, flatten=flatten, contributor=contributor)
    config = {"aggregation.events": list(events), "aggregation.column": aggregation.column}
    reading = Reading(reads, variables=day_start(day) if as_of_day else {})
    keyed = keyed_by_entity(make, [view] if view else [])
    arrow = partial(write_event_values, events, aggregation.column, entity, flatten, contributor)
    return make.sql(ActionName("event_values", part, day), sql, reading, config, keyed=keyed,
                    arrow=None if as_of_day else arrow)  # fmt: skip


def view_of(context: Skeleton, column: str) -> str:
    """The view that an aggregation's column comes from; "" for the feed."""
    refs = [ref for text in context.runtime.enrich if (ref := Ref.parse(text))]
    return next((ref.view for ref in refs if ref.feature == column), "")
