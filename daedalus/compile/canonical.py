"""The canonical form of a configuration: equal for two that mean the same, however they are spelt.

Sets are sorted, durations have one spelling, values have the type of their column, and what changes nothing is left
out: values that no row can have, codes that are 0 anyway, defaults of columns that something makes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from msgspec import structs

from daedalus.base import digest
from daedalus.base.days import parse_duration
from daedalus.compile.inputs import Resolved
from daedalus.config import Config
from daedalus.config.schema import Aggregation, ContentFilter, OutputColumn, Runtime
from daedalus.inputs.type_checks import event_column_type, filter_types
from daedalus.sql.column_types import as_uuid, holds, is_decimal

_UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}


def canonical(config: Config, resolved: Resolved) -> Config:
    """The configuration in its canonical form, with the values of its defaults in place of their SQL."""
    runtime = config.runtime
    coverage = structs.replace(runtime.embedding_coverage_filter, events=_set(runtime.embedding_coverage_filter.events))
    changed: dict[str, Any] = {
        "embedding_coverage_filter": coverage,
        "content_filter": ContentFilter(drop=_drop(runtime, filter_types(config, resolved.views))),
        "platforms": {name: code for name, code in sorted(runtime.platforms.items()) if code},
        "output_columns": [_output(column, resolved) for column in config.output_columns],
    }
    if embeddings := runtime.embeddings:  # the order of columns is that of the document's
        changed["embeddings"] = structs.replace(embeddings, columns=dict(sorted(embeddings.columns.items())))
    if recent := runtime.recent_published:
        number, unit = in_units(parse_duration(recent.window, "recent_published.window"))
        changed["recent_published"] = structs.replace(recent, window=f"{number}{unit[0]}")
    aggregations = tuple(
        structs.replace(one, events=_set(one.events), where=_where(config, resolved, one))
        for one in config.aggregations
    )
    return replace(config, runtime=structs.replace(runtime, **changed), aggregations=aggregations)


def in_units(seconds: int) -> tuple[int, str]:
    """A duration as a whole number of the largest unit that gives one: (7, "day")."""
    unit = next(unit for unit, size in _UNITS.items() if seconds % size == 0)
    return seconds // _UNITS[unit], unit


def _set(names: Iterable[str]) -> list[str]:
    return sorted(set(names))


def _output(column: OutputColumn, resolved: Resolved) -> OutputColumn:
    """A column with its default by value and type: two spellings of one constant are one."""
    default = resolved.defaults.get(column.made_from)
    if default is None:
        return OutputColumn(name=column.name, source=None if column.made_from == column.name else column.made_from)
    return OutputColumn(name=column.name, default_sql=f"{digest.canonical_json(default.value)}::{default.type}")


def _drop(runtime: Runtime, types: Mapping[str, str]) -> dict[str, list]:
    found = {}
    for column, values in runtime.content_filter.drop.items():
        kind = types[column]
        if fitting := _fitting(kind, values):
            found[column] = fitting
    return found


def _where(config: Config, resolved: Resolved, aggregation: Aggregation) -> dict[str, list]:
    """The values of each column; none where no event can have any, so that none matches."""
    where = aggregation.where
    return {column: _fitting(event_column_type(config, resolved.views, column)[1], where[column]) for column in where}


def _fitting(kind: str, values: Iterable[Any]) -> list:
    """The values that a column of type `kind` can hold, as a set of that type."""
    found = {repr(one): one for one in (_typed(kind, value) for value in values if holds(kind, value))}
    return [found[key] for key in sorted(found)]


def _typed(kind: str, value: Any) -> Any:
    """A value that a column of type `kind` holds, as the filter compares it."""
    if kind == "UUID":
        return as_uuid(value)
    if isinstance(value, bool | str):
        return value
    if kind == "FLOAT":
        return struct.unpack("f", struct.pack("f", value))[0] + 0.0  # -0.0 is 0.0 to a comparison
    if kind == "DOUBLE":
        return float(value) + 0.0
    return value if is_decimal(kind) and value != int(value) else int(value)
