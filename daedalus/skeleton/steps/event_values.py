"""event_values: a feed day's events that an aggregation sees, each with its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

from daedalus.actions.actions import Reading
from daedalus.actions.unaffected import Keyed
from daedalus.base.days import Day
from daedalus.config.columns import Ref
from daedalus.config.schema import Aggregation
from daedalus.skeleton.arrow.day_events import Asked, write_event_values
from daedalus.skeleton.context import Make, Skeleton
from daedalus.skeleton.feed_day import day_start, events_part
from daedalus.skeleton.joins_and_filters import FeatureView, joined_to_events
from daedalus.skeleton.steps.coverage import covered, covered_spine
from daedalus.skeleton.steps.view import keyed_by_entity
from daedalus.skeleton.where import EVERY, Where, keys_of, where_config, where_of, where_part
from daedalus.sql.text import Sql, in_list, name
from daedalus.stagecache.action_name import ActionName
from daedalus.windows.spec import USERS, self_rule


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
    where: Where = EVERY,
    history: str = "",
) -> Sql:
    """SQL of a feed day's events for an aggregation: user_id or the keys of `where`, ts, value, and with `contributor`
    the artwork_id.

    With `entity` the value comes from `view` by that entity, else from the spine. NULL values are left out, and events
    that are not as `where` says. In place of a day's spine `history` may be the FROM clause of events of many days.
    """
    rows = source = history or covered_spine(filtered)
    value = f"s.{name(column)}"
    if entity:
        view = FeatureView("", entity, (column,), as_of_day)
        source += joined_to_events("view", view, "f", rows, of_many_days=bool(history))
        value = f"f.{name(column)}"
    source += where.joins(rows, of_many_days=bool(history))
    own = ", s.artwork_id AS artwork_id" if contributor else ""
    seen = f"""
        SELECT {where.grouped}, s.event_timestamp AS ts, {f"unnest({value})" if flatten else value} AS value{own}
        FROM {source} WHERE {in_list("s.event", events)}{where.also}"""
    order = f"{', '.join(where.groups)}, ts, value" + (", artwork_id" if contributor else "")
    return Sql(f"SELECT * FROM ({seen}) WHERE value IS NOT NULL{where.complete} ORDER BY {order}")


def build(make: Make, day: Day, aggregation: Aggregation) -> str | None:
    """Reads a feed day's spine, its coverage, and the view that has the value.

    Aggregations with the same events, column and `where` share the action.
    """
    if make.need("spine", day) is None:
        return None
    values = make.once(_values, aggregation)
    reading = Reading({**covered(make, day, values.filtered), **values.views},
                      variables=day_start(day) if values.by_day else {})  # fmt: skip
    arrow = partial(values.arrow, day=day) if values.by_day else values.arrow
    return make.sql(ActionName("event_values", values.part, day), values.sql, reading, values.config,
                    keyed=values.keyed, arrow=arrow)  # fmt: skip


@dataclass(frozen=True)
class _Values:
    """What all days have alike of an aggregation's events: their part of the name, and what `Actions.sql` is given.

    `filtered` says whether they need the coverage, `by_day` whether what they read of `views` is as of the day.
    """

    part: str
    sql: Sql
    config: Mapping[str, object]
    views: Mapping[str, Sequence[str]]
    keyed: Sequence[Keyed]
    arrow: partial
    filtered: bool
    by_day: bool


def _values(make: Make, aggregation: Aggregation) -> _Values:
    asked, where = make.once(asked_of, aggregation), where_of(make.context, aggregation)
    filtered, part = make.context.covers(asked.events), part_of(asked, aggregation)
    config: dict[str, object] = {"aggregation.events": list(asked.events), "aggregation.column": asked.column}
    config |= where_config(aggregation)
    return _Values(part, sql_of(asked, where, filtered), config, views_of(make, asked, where),
                   keyed_by_entity(make, joined_by(asked, where)), partial(write_event_values, asked), filtered,
                   asked.as_of_day)  # fmt: skip


def sql_of(asked: Asked, where: Where, filtered: bool, history: str = "") -> Sql:
    """The SQL of what is asked of a feed day's events, or of those of `history`."""
    view = asked.view
    return enrich_spine_for_rolling(
        asked.events, asked.column, filtered=filtered, entity=view.entity if view else "",
        as_of_day=view is not None and view.as_of_day, flatten=asked.flatten, contributor=asked.contributor,
        where=where, history=history,
    )  # fmt: skip


def views_of(make: Make, asked: Asked, where: Where) -> dict[str, list[str]]:
    """The actions of the views that are joined, by the names that they are bound to."""
    own = {"view": [make.need("view", asked.view.name)]} if asked.view else {}
    return own | {other.bound: [make.need("view", other.name)] for other in where.views}


def joined_by(asked: Asked, where: Where) -> list[str]:
    """The views that are joined, each once."""
    return list(dict.fromkeys(view.name for view in (asked.view, *where.views) if view))


def part_of(asked: Asked, aggregation: Aggregation) -> str:
    """The part of the names of actions that tells what an aggregation sees."""
    part = events_part(asked.events, asked.column, flatten=asked.flatten, contributor=asked.contributor)
    return part + where_part(aggregation)


def asked_of(make: Make, aggregation: Aggregation) -> Asked:
    """What an aggregation sees; to be called once for all days."""
    context, column = make.context, aggregation.column
    name = view_of(context, column)
    known = context.config.catalog.views.get(name)
    view = FeatureView(name, known.entity, (column,), known.as_of == "day") if known else None
    keys = aggregation.keys if aggregation.keyed else USERS
    return Asked(tuple(sorted(set(aggregation.events))), column, view, aggregation.kind.flatten,
                 self_rule(aggregation) == "event", where_of(context, aggregation).conditions, keys,
                 keys_of(context, keys).views if aggregation.keyed else ())  # fmt: skip


def view_of(context: Skeleton, column: str) -> str:
    """The view that an aggregation's column comes from; "" for the feed."""
    refs = [ref for text in context.runtime.enrich if (ref := Ref.parse(text))]
    return next((ref.view for ref in refs if ref.feature == column), "")
