"""What the footers of parquet files say: columns and their types, rows, and the times in their statistics."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from daedalus.sql.column_types import type_name

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# In place of a type, for a column that cannot be read:
TOO_FAR = "TIMESTAMP in milliseconds, with times that no microseconds can hold"
FAR_DATE = "DATE, with days that no TIMESTAMP can hold"
TWICE = "two columns of that name"

_MOST = {"ms": (2**63 - 1) // 1000, "day": 106_751_990}  # the greatest that fits in microseconds
_INFINITY = 2**31 - 1  # as a DATE; TIMESTAMP has an infinity too


def read_footer(path: str) -> dict:
    """Reads the footer of a parquet file: `columns` (name to type), `rows`, `bytes`, and `times` of event_timestamp.

    Raises OSError or ArrowException for a file that is no whole parquet file.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, coerce_int96_timestamp_unit="us") as file:  # as DuckDB reads INT96
        columns = {field.name: type_name(field.type) for field in file.schema_arrow}
        columns |= dict(_beyond_micros(file))
        columns |= {name: TWICE for name, count in Counter(file.schema_arrow.names).items() if count > 1}
        rows, size = file.metadata.num_rows, os.path.getsize(path)
        return {"columns": columns, "rows": rows, "bytes": size, "times": list(_event_times(file))}


def read_field_ids(path: str) -> dict[str, int | None]:
    """The field ids of a parquet file's columns, by name; None for those that have none."""
    import pyarrow.parquet as pq

    known = {field.name: (field.metadata or {}).get(b"PARQUET:field_id") for field in pq.read_schema(path)}
    return {name: None if number is None else int(number) for name, number in known.items()}


def _beyond_micros(file: pq.ParquetFile) -> Iterator[tuple[str, str]]:
    """Columns whose statistics have times beyond microseconds, on which DuckDB fails: (name, what to say as type)."""
    units = {field.name: _unit(field.type) for field in file.schema_arrow}
    coarse = {name: unit for name, unit in units.items() if unit in _MOST}
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups if coarse else 0)]
    for chunk in (group.column(column) for group in groups for column in range(group.num_columns)):
        unit = coarse.get(chunk.path_in_schema)
        known = chunk.statistics if unit else None
        ends = {-known.min_raw, known.max_raw} - {_INFINITY} if unit and known and known.has_min_max else ()
        if unit and any(end > _MOST[unit] for end in ends):
            yield chunk.path_in_schema, FAR_DATE if unit == "day" else TOO_FAR


def _event_times(file: pq.ParquetFile) -> Iterator[list[int]]:
    """The values of `InputFile.times`."""
    units = {"s": (1000, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}  # seconds are kept as milliseconds
    kinds = {field.name: field.type for field in file.schema_arrow}
    times, by = units.get(getattr(kinds.get("event_timestamp"), "unit", ""), (0, 1))
    for group in map(file.metadata.row_group, range(file.metadata.num_row_groups if times else 0)):
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema == "event_timestamp" and (known := chunk.statistics) and known.has_min_max:
                yield [known.min_raw * times // by, known.max_raw * times // by, chunk.num_values]


def _unit(kind: pa.DataType) -> str:
    unit = "day" if str(kind) == "date32[day]" else getattr(kind, "unit", "")
    return "ms" if unit == "s" else unit
