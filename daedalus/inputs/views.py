"""Catalog views: their files, and the types of their columns over all files."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.errors import DaedalusError, DayError, did_you_mean
from daedalus.config import CATALOG, Config
from daedalus.config.columns import Ref, spine_columns
from daedalus.config.schema import View
from daedalus.inputs.footers import FAR_DATE, TOO_FAR
from daedalus.inputs.input_file import InputFile, Inputs
from daedalus.inputs.listing import patterns_of
from daedalus.inputs.schemas import Group, checked_names, group_by_schema, refuse_other_names
from daedalus.sql.column_types import canonical, fits, is_time, widen

if TYPE_CHECKING:
    from daedalus.inputs.lake.table import LakeTable


@dataclass(frozen=True)
class ViewInput:
    """A view's files, sorted by path, and the types of its entity and features over all files."""

    name: str
    view: View
    files: tuple[InputFile, ...]
    types: Mapping[str, str]

    def groups(self) -> list[tuple[Group, list[InputFile]]]:
        """Files by the schema of the columns that are read."""
        return group_by_schema(self.files, [*self.own_types, self.view.timestamp_field])

    @property
    def own_types(self) -> dict[str, str]:
        """The types by the names that the columns have in the files."""
        own = {self.view.entity: self.view.own_entity}
        return {own.get(column, column): kind for column, kind in self.types.items()}


def look_at_view(
    inputs: Inputs, config: Config, name: str, paths: Sequence[str], table: LakeTable | None = None
) -> ViewInput:
    """Looks at a view's files, which are those of `table` if it is one.

    Raises DaedalusError (exit 2) when they are unreadable or have wrong types.
    """
    view = config.catalog.views[name]
    where = config.where(CATALOG, f"views.{name}")
    labels = table.labels if table else _labels(paths, _fixed_prefix(patterns_of(view, inputs.files)[0]))
    inputs.prepare(paths)
    check = partial(_check_view_file, view, _times(config, name))
    read = [view.own_entity, view.timestamp_field, *view.features]
    looked = (inputs.look(path, labels[path], check) for path in paths)
    files = [checked_names(inputs, table, file, read) for file in looked]
    for file in files:
        if file.error:
            raise DaedalusError(f"the view {name} cannot be read: {file.error.what}", where=file.error.where,
                                found=file.error.found, expected=file.error.expected,
                                hint=file.error.hint)  # fmt: skip
    files = [
        replace(file, schema={c: "DATE" if t == FAR_DATE else t for c, t in file.schema.items()}) for file in files
    ]
    key = "entity_column" if view.entity_column else "entity"
    wanted = spine_columns(config)[view.entity]
    types = {view.entity: _view_type(f"{where}.{key}", view.own_entity, _as_text(files, view.own_entity, wanted))}
    types |= {column: _view_type(f"{where}.features", column, files) for column in view.features}
    types = {column: _null_type(config, name, column) if kind == "NULL" else kind for column, kind in types.items()}
    timestamp = _view_type(f"{where}.timestamp_field", view.timestamp_field, files)
    for file, column in ((file, column) for file in files for column in (view.own_entity, view.timestamp_field)):
        if column not in file.schema:
            raise DaedalusError(f"a file of the view {name} lacks a column", where=f"{file.path}: {column}",
                                found=", ".join(file.schema), expected=column)  # fmt: skip
    _check_view(where, view, types, timestamp, wanted)
    return ViewInput(name, view, tuple(files), {column: canonical(types[column]) for column in sorted(types)})


def _as_text(files: Sequence[InputFile], column: str, wanted: str) -> Sequence[InputFile]:
    """The files as they are read where `column` is wanted as text: UUIDs are text."""
    if wanted != "VARCHAR":
        return files
    return [replace(file, schema={**file.schema, column: "VARCHAR"}) if file.schema.get(column) == "UUID" else file
            for file in files]  # fmt: skip


def _times(config: Config, name: str) -> list[str]:
    """The columns of a view that are read as TIMESTAMP, even if they are DATE."""
    runtime = config.runtime
    recent = [runtime.recent_published.published_at] if runtime.recent_published else []
    refs = [ref for text in (*runtime.ages.values(), *recent) if (ref := Ref.parse(text))]
    return [config.catalog.views[name].timestamp_field, *(ref.feature for ref in refs if ref.view == name)]


def _check_view_file(view: View, times: Sequence[str], path: str, schema: Mapping[str, str]) -> None:
    wanted = dict.fromkeys([view.own_entity, view.timestamp_field, *view.features])
    refuse_other_names(path, schema, wanted)
    for column in wanted:
        if schema.get(column) == TOO_FAR or (schema.get(column) == FAR_DATE and column in times):
            raise DayError("a time that cannot be read", where=f"{path}: {column}", found=schema[column],
                           expected="TIMESTAMP")  # fmt: skip
    if taken := next((name for name in schema if name.casefold() == "file_row_number"), ""):  # DuckDB's, breaks ties
        raise DayError("a column name that cannot be read", where=f"{path}: {taken}", found=taken,
                       expected="another name")  # fmt: skip


def _labels(paths: Sequence[str], root: str) -> dict[str, str]:
    return {path: os.path.relpath(path, root) for path in paths}


def _fixed_prefix(pattern: str) -> str:
    """The folder above the first wildcard. Labels are relative to it, so they do not change when the data moves."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(Path(*parts[:fixed])) if fixed else "."


def _null_type(config: Config, view: str, column: str) -> str:
    """The type given to a column in which every value is NULL, by what uses it."""
    runtime, ref = config.runtime, f"{view}:{column}"
    recent = runtime.recent_published
    if ref in runtime.ages.values() or (recent and ref == recent.published_at):
        return "TIMESTAMP"
    if column == config.catalog.views[view].entity:
        return spine_columns(config)[column]
    if any(a.kind.flatten and a.column == column for a in config.aggregations):
        return "BIGINT[]"
    wheres = [a.where.get(column, []) for a in config.aggregations if ref in runtime.enrich]
    compared = [value for values in (runtime.content_filter.drop.get(column, []), *wheres) for value in values]
    if any(isinstance(value, str) for value in compared):
        return "VARCHAR"
    animated = runtime.animated_model_type and column in ("artwork_type", "model_type")
    return "VARCHAR" if animated else spine_columns(config)["user_id"] if recent and ref == recent.author else "INTEGER"


def _view_type(where: str, column: str, files: Sequence[InputFile]) -> str:
    """The narrowest type that holds a column of all files. Raises DaedalusError if there is none."""
    kind, first = None, None
    for file in files:
        if column not in file.schema:
            continue
        wider = file.schema[column] if kind is None else widen(kind, file.schema[column])
        if wider is None:
            raise DaedalusError(
                "a view's column has types that cannot be widened",
                where=f"{file.path}: {column}",
                found=file.schema[column],
                expected=f"{kind}, as in {first}",
            )
        kind, first = wider, first or file.path
    if kind is None:
        known = sorted({name for file in files for name in file.schema})
        raise DaedalusError(
            "a view's column is in none of its files", where=where, found=column,
            expected=f"one of {', '.join(known)}", hint=did_you_mean(column, known),
        )  # fmt: skip
    return kind


def _check_view(where: str, view: View, types: Mapping[str, str], timestamp: str, wanted: str) -> None:
    """`wanted` is the type of the entity in the feed."""
    if not is_time(timestamp) and timestamp != "NULL":
        at = f"{where}.timestamp_field: {view.timestamp_field}"
        raise DaedalusError("a view's timestamp field is not a time", where=at, found=timestamp, expected="TIMESTAMP")
    found = types[view.entity]
    if not fits(found, wanted):
        own = view.own_entity
        at = f"{where}.entity: {view.entity}" if own == view.entity else f"{where}.entity_column: {own} ({view.entity})"
        raise DaedalusError("a view's entity has another type than the feed's", where=at, found=found, expected=wanted)
