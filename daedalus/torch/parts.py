"""Reads columns of row groups as Arrow tables, in the types of the last partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from daedalus.base.errors import DaedalusError
from daedalus.loading.published import Published, day_of, key_of


class PartReader:
    """Columns of published parts. A column that a part lacks is NULL there; one of another type is converted."""

    def __init__(self, published: Published, columns: Sequence[str]) -> None:
        self._published, self._columns, self._threads = published, columns, True
        self._schema = published.schema

    def with_threads(self, threads: bool) -> PartReader:
        """The same, which reads with all of Arrow's threads or with that of its caller alone."""
        other = copy(self)
        other._threads = threads
        return other

    def __getstate__(self) -> dict[str, Any]:
        """Without the client of an object store: another process opens its own."""
        return {**self.__dict__, "_published": replace(self._published)}

    def footer(self, part: int) -> Any:
        """What pyarrow reads of the end of a part file."""
        return self._open(part).metadata

    def width(self, footer: Any) -> int:
        """About how many bytes the columns have in memory."""
        found, names = 0, set(self._columns)
        for group in range(footer.num_row_groups):
            chunks = map(footer.row_group(group).column, range(footer.num_columns))
            found += sum(c.num_values * _width(c) for c in chunks if c.path_in_schema.partition(".")[0] in names)
        return found

    def read(self, part: int, groups: Iterable[int], columns: Sequence[str] | None = None) -> pa.Table:
        """The columns of some row groups of a part, in order. Raises DaedalusError if that cannot be had."""
        file, wanted = self._open(part), list(columns or self._columns)
        there = [name for name in wanted if name in file.schema_arrow.names]
        try:
            table = file.read_row_groups(list(groups), there or file.schema_arrow.names[:1], use_threads=self._threads)
            return pa.table([self._column(table, name, part) for name in wanted], wanted) if wanted else table
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(part, error) from None

    def first_lists(self, part: int, column: str) -> Iterable[pa.Array]:
        """The lists of a column of a part, a few at a time; none if the part does not have it."""
        file = self._open(part)
        if column in file.schema_arrow.names:
            for batch in file.iter_batches(256, columns=[column]):
                yield batch.column(0)

    def _column(self, table: pa.Table, name: str, part: int) -> Any:
        kind = self._schema.field(name).type
        if name == "dt":
            day = pa.scalar(day_of(self._published.paths[part]), kind)
            return pa.repeat(day, table.num_rows)
        if name not in table.schema.names:
            return pa.nulls(table.num_rows, kind)
        return table[name] if table[name].type == kind else table[name].cast(kind)

    def _open(self, part: int) -> pq.ParquetFile:
        path = self._published.paths[part]
        try:
            return pq.ParquetFile(key_of(path), filesystem=self._published.system)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(part, error) from None

    def _unreadable(self, part: int, error: Exception) -> DaedalusError:
        found = getattr(error, "strerror", None) or str(error)
        return DaedalusError("a part file cannot be read", where=self._published.paths[part], found=found,
                             hint="if it was replaced, make the data set again, or use a snapshot")  # fmt: skip


def _width(chunk: Any) -> int:
    """Bytes of a value, at most, of the types that a tensor can have."""
    return {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "FIXED_LEN_BYTE_ARRAY": 2}.get(chunk.physical_type, 8)
