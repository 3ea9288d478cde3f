"""row_keys: the rows of the sessions by the columns that `key` and `match` of aggregations name, sorted by them."""

from __future__ import annotations

from functools import cache, partial

from daedalus.actions.actions import Reading
from daedalus.base.days import Day
from daedalus.config.schema import Aggregation
from daedalus.skeleton.arrow.day_events import write_row_keys
from daedalus.skeleton.context import Make
from daedalus.skeleton.feed_day import day_start
from daedalus.skeleton.steps.view import keyed_by_entity
from daedalus.skeleton.where import Where, keys_of, keys_part
from daedalus.sql.text import POSITION, Sql, parquet
from daedalus.stagecache.action_name import ActionName
from daedalus.windows.spec import PLACE


@cache
def list_row_keys(keys: Where) -> Sql:
    """SQL of the rows that have all keys: these, what windows ask of a row, and its place among `rows`."""
    rows = f"{parquet('rows', positions=True)} s"
    taken = f"s.event_timestamp AS event_timestamp, s.artwork_id AS artwork_id, s.{POSITION} AS {PLACE}"
    found = f"SELECT {keys.grouped}, {taken} FROM {rows}{keys.joins(rows)}"
    return Sql(f"SELECT * FROM ({found}) WHERE TRUE{keys.complete} ORDER BY {', '.join(keys.groups)}, {PLACE}")


def build(make: Make, day: Day, aggregation: Aggregation) -> str:
    """Reads the rows of the sessions, and the views that keys come from. Aggregations with the same keys share it."""
    keys = keys_of(make.context, aggregation.keys)
    reads = {"rows": [make.need("sessions", day)]}
    reads |= {view.bound: [make.need("view", view.name)] for view in keys.views}
    by_day = any(view.as_of_day for view in keys.views)
    name = ActionName("row_keys", keys_part(aggregation.keys), day)
    arrow = partial(write_row_keys, aggregation.keys, keys.views)
    return make.sql(name, list_row_keys(keys), Reading(reads, variables=day_start(day) if by_day else {}),
                    {"aggregation.key": list(aggregation.keys)},
                    keyed=keyed_by_entity(make, [view.name for view in keys.views]),
                    arrow=partial(arrow, day=day) if by_day else arrow)  # fmt: skip
