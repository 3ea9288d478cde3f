"""Looks at input files: their digests, and what their footers say, which is remembered by digest."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.errors import DaedalusError, DayError
from daedalus.base.ports import Facts
from daedalus.inputs.files import Files
from daedalus.inputs.input_file import Check, InputFile
from daedalus.sql.column_types import type_name

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


_MOST = {"ms": (2**63 - 1) // 1000, "day": 106_751_990}  # the greatest that fits in microseconds


_FORM = 3  # version of what is remembered of a footer


_INFINITY = 2**31 - 1  # as a DATE; TIMESTAMP has an infinity too


# In place of a type, for a column that cannot be read:
TOO_FAR = "TIMESTAMP in milliseconds, with times that no microseconds can hold"


FAR_DATE = "DATE, with days that no TIMESTAMP can hold"


TWICE = "two columns of that name"


class Inputs:
    """Looks at input files, each at most once a run."""

    def __init__(self, files: Files, facts: Facts) -> None:
        self.files, self._facts = files, facts
        self._footers: dict[str, Any] | None = None
        self._checked: set[tuple] = set()

    def prepare(self, paths: Sequence[str]) -> None:
        """Looks at many files at once, for `look`."""

        def looked(path: str, local: Path, content: str) -> None:
            with suppress(DaedalusError):  # `look` reports it
                self._learn(path, str(local), content)

        self.files.prepare(paths, looked)

    def look(self, path: str, label: str, check: Check) -> InputFile:
        """Digest and schema of a file; what `check` raises, or an unreadable footer, becomes its `error`."""
        looked = time.time_ns()
        try:
            content, stamp = self.files.of(path)
        except OSError as error:
            return InputFile(path, label, "unreadable", None, {}, _unreadable(path, error.strerror))
        except DaedalusError as error:
            return InputFile(path, label, "unreadable", None, {}, error)
        try:
            footer = self._footer(path, content)
            schema = footer["columns"]
            checked = (check, *schema.items())
            if checked not in self._checked:
                check(path, schema)
                self._checked.add(checked)
        except DaedalusError as error:
            return InputFile(path, label, content, stamp, {}, error)
        return InputFile(path, label, content, stamp, schema, looked=looked, times=footer["times"])

    def look_whole(self, path: str, label: str) -> InputFile:
        """Looks at a file that is no parquet: digest only. Raises OSError or DaedalusError."""
        looked = time.time_ns()
        content, stamp = self.files.of(path)
        return InputFile(path, label, content, stamp, {}, looked=looked)

    def _footer(self, path: str, content: str) -> dict[str, Any]:
        key = f"file:{content}"
        if key not in self._known and _is_read(found := self._facts.fact(key)):  # learned meanwhile
            self._known[key] = found
        if key not in self._known:
            with self.files.fetch({path: content}) as local:
                self._learn(path, local[path], content)
        return self._known[key]

    @property
    def _known(self) -> dict[str, Any]:
        if self._footers is None:
            self._footers = {key: found for key, found in self._facts.facts("file:").items() if _is_read(found)}
        return self._footers

    def _learn(self, path: str, local: str, content: str) -> None:
        key = f"file:{content}"
        if key not in self._known:
            self._known[key] = _read_footer(path, local)
            self._facts.remember_fact(key, self._known[key])


def _unreadable(path: str, why: object) -> DayError:
    return DayError(
        "a parquet file cannot be read",
        where=path,
        found=" ".join(str(why).split())[:200],
        expected="a whole parquet file",
        hint="restore or remove the file, then run again",
    )


def _is_read(footer: dict | None) -> bool:
    """Whether what is remembered of a footer has the current form."""
    return footer is not None and footer.get("form") == _FORM


def _read_footer(path: str, local: str) -> dict:
    """Reads the footer of a parquet file, from the file `local`: `columns` (name to type), `rows`, `bytes`, `times`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(local, coerce_int96_timestamp_unit="us") as file:  # as DuckDB reads INT96
            columns = {field.name: type_name(field.type) for field in file.schema_arrow}
            columns |= dict(_beyond_micros(file))
            columns |= {name: TWICE for name, count in Counter(file.schema_arrow.names).items() if count > 1}
            rows, size = file.metadata.num_rows, os.path.getsize(local)
            return {"form": _FORM, "columns": columns, "rows": rows, "bytes": size, "times": list(_event_times(file))}
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


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
