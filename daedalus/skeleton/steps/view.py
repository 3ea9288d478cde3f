"""view: the latest row per entity of a catalog view, or every version of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from daedalus.actions.actions import Reading
from daedalus.actions.unaffected import Keyed
from daedalus.base import digest
from daedalus.inputs.schemas import Group
from daedalus.skeleton.arrow.view_rows import ViewPart, write_view
from daedalus.skeleton.context import Make
from daedalus.sql.column_types import read_as
from daedalus.sql.text import FILE, LINE, NANOS, PLACE, POSITION, TIME, Sql, columns, name
from daedalus.stagecache.action_name import ActionName

_TIME = TIME.strip('"')


def read_view(
    groups: Sequence[Group], entity: str, timestamp_field: str, types: Mapping[str, str], *, every_version: bool,
    own: str = "",
) -> Sql:  # fmt: skip
    """SQL of a view's latest row per entity, or with `every_version` the last row of each entity and time.

    Files of group i are bound as `view_i`; the variable `view_files` has all files in path order. `types`
    are the columns' types over all files. A NULL time is older than any other; of equal times the last in order of
    (path, row number) wins; rows with a NULL entity are ignored. `own` is the entity's name in the files, if another.
    """
    wanted = [column for column in types if column != entity]
    schemas = [group.schema for group in groups]
    fine = any(schema.get(timestamp_field, "").endswith("_NS") for schema in schemas)

    def rows_of(i: int, schema: Mapping[str, str]) -> str:
        read = [f"{read_as(column, schema.get(column), types[column])} AS {name(column)}" for column in wanted]
        time = read_as(timestamp_field, schema.get(timestamp_field), "TIMESTAMP")
        key = read_as(own or entity, schema.get(own or entity), types[entity])
        place = f"list_position(getvariable('view_files'), {FILE}) AS {PLACE}, {POSITION} AS {LINE}"
        place += f", {_nanoseconds(timestamp_field, schema)} AS {NANOS}" if fine else ""
        source = groups[i].scan(f"view_{i}", positions=True, files=True)
        return f"SELECT {key} AS {name(entity)}, {time} AS {TIME}, {place}, {', '.join(read)} FROM {source}"

    rows = " UNION ALL ".join(rows_of(i, schema) for i, schema in enumerate(schemas))
    order = f"{f'{NANOS} DESC, ' if fine else ''}{PLACE} DESC, {LINE} DESC"
    version = f"{name(entity)}, {TIME}" if every_version else name(entity)
    return Sql(f"""
        SELECT {name(entity)}, {TIME}, {columns(wanted)} FROM ({rows}) WHERE {name(entity)} IS NOT NULL
        QUALIFY row_number() OVER (
            PARTITION BY {version} ORDER BY {TIME} DESC NULLS LAST, {order}) = 1
        ORDER BY {name(entity)}, {TIME} NULLS FIRST""")


def _nanoseconds(column: str, schema: Mapping[str, str]) -> str:
    """SQL of the nanoseconds of a time beyond whole microseconds, to order rows that differ by less."""
    if not schema.get(column, "").endswith("_NS"):
        return "0"
    return f"coalesce((epoch_ns({name(column)}) % 1000 + 1000) % 1000, 0)"


def build(make: Make, name: str) -> str:
    """Reads the files of one view."""
    found = make.context.sources.views[name]
    view = found.view
    groups = found.groups()
    every_version = view.as_of == "day"
    sql = read_view([group for group, _ in groups], view.entity, view.timestamp_field, found.types,
                    every_version=every_version, own=view.own_entity)  # fmt: skip
    places = {file.path: place for place, file in enumerate(found.files)}
    part = ViewPart([group for group, _ in groups], [[places[file.path] for file in members] for _, members in groups],
                    view.entity, view.own_entity, view.timestamp_field,
                    tuple((column, kind) for column, kind in found.types.items() if column != view.entity),
                    found.types[view.entity], every_version)  # fmt: skip
    files = {f"view_{i}": files for i, (_, files) in enumerate(groups)}
    columns = {view.timestamp_field: "TIMESTAMP", **found.own_types}
    reading = Reading(files=files, lists={"view_files": found.files}, columns=columns)
    order = digest.of_json([file.label for file in found.files])  # as "input:/…": no file's label begins with a slash
    config = {f"views.{name}.{k}": getattr(view, k) for k in ("entity", "timestamp_field", "as_of")}
    if view.own_entity != view.entity:
        config[f"views.{name}.entity_column"] = view.own_entity
    return make.sql(ActionName("view", name), sql, reading, config, extra={"input:/order of files": order},
                    arrow=partial(write_view, part))  # fmt: skip


def keyed_by_entity(make: Make, views: Iterable[str], rows: str = "spine") -> list[Keyed]:
    """The `Keyed` tables of views that are joined by entity to what the steps `rows` of their days have.

    History is as of the days of its events, which are several; the spine's day is one.
    """
    known = [(make.need("view", view), make.context.config.catalog.views[view]) for view in views]
    timed = rows == "spine"
    return [Keyed(action, view.entity, view.entity, rows, _TIME if timed and view.as_of == "day" else "")
            for action, view in known]  # fmt: skip
