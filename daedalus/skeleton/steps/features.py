"""Which attributes: views as the latest row per entity, and the enriched events that rolling reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daedalus.skeleton.steps.spine import Schema, covered_spine
from daedalus.sql.text import FILE, LINE, NANOS, PLACE, POSITION, TIME, Sql, columns, in_list, name, parquet
from daedalus.sql.types import read_as


def read_view(
    groups: Sequence[Schema], entity: str, timestamp_field: str, types: Mapping[str, str], *, every_version: bool
) -> Sql:
    """A view's latest row per entity, or with `every_version` the last row of each entity and time.

    Files of one schema are bound as `view_i`, in path order within and by `file_order` across.
    `types` are the columns' types over all files. A NULL time is older than any other; equal times:
    the last in (path, row number) order wins; a NULL entity is ignored.
    """
    wanted = [column for column in types if column != entity]
    fine = any(schema.get(timestamp_field, "").endswith("_NS") for schema in groups)

    def group(i: int, schema: Schema) -> str:
        read = [f"{read_as(column, schema.get(column), types[column])} AS {name(column)}" for column in wanted]
        time = read_as(timestamp_field, schema.get(timestamp_field), "TIMESTAMP")
        key = read_as(entity, schema.get(entity), types[entity])
        place = f"list_position(getvariable('view_files'), {FILE}) AS {PLACE}, {POSITION} AS {LINE}"
        place += f", {_nanoseconds(timestamp_field, schema)} AS {NANOS}" if fine else ""
        source = parquet(f"view_{i}", positions=True, files=True)
        return f"SELECT {key} AS {name(entity)}, {time} AS {TIME}, {place}, {', '.join(read)} FROM {source}"

    rows = " UNION ALL ".join(group(i, schema) for i, schema in enumerate(groups))
    order = f"{f'{NANOS} DESC, ' if fine else ''}{PLACE} DESC, {LINE} DESC"
    version = f"{name(entity)}, {TIME}" if every_version else name(entity)
    return Sql(f"""
        SELECT {name(entity)}, {TIME}, {columns(wanted)} FROM ({rows}) WHERE {name(entity)} IS NOT NULL
        QUALIFY row_number() OVER (
            PARTITION BY {version} ORDER BY {TIME} DESC NULLS LAST, {order}) = 1
        ORDER BY {name(entity)}, {TIME} NULLS FIRST""")


def _nanoseconds(column: str, schema: Schema) -> str:
    """SQL of what a time has beyond its whole microseconds, for rows that are apart by less."""
    if not schema.get(column, "").endswith("_NS"):
        return "0"
    return f"coalesce((epoch_ns({name(column)}) % 1000 + 1000) % 1000, 0)"


def preload_filtered_features(
    bound: str, entity: str, features: Sequence[str], ids: str, *, as_of_day: bool = False
) -> str:
    """SELECT of one row per entity of a view, with `features`, for who joins it by the ids of a day's rows.

    With `as_of_day` the latest row of the entities in `ids` before the end of the day (variable
    `day_start`); a NULL time always qualifies. Else the view already holds one row per entity.
    """
    kept = columns([entity, *(feature for feature in features if feature != entity)])
    if not as_of_day:
        return f"SELECT {kept} FROM {parquet(bound)}"
    # By position, as the artifact is in order of entity and time. Of a window's first row DuckDB would make arg_max of
    # a struct of the features, in which -0.0 becomes 0.0.
    versions = parquet(bound, positions=True)
    latest = f"""
        SELECT max({POSITION}) FROM {versions} WHERE {name(entity)} IN ({ids})
        AND ({TIME} IS NULL OR {TIME} < getvariable('day_start') + INTERVAL 1 DAY) GROUP BY {name(entity)}"""
    return f"SELECT {kept} FROM {versions} WHERE {POSITION} IN ({latest})"


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
    """A feed day's events that one aggregation sees: user_id, ts, value, and the event's artwork_id for `contributor`.

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
