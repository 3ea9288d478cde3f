"""The columns of an artifact that are no windows, of the rows that ship, by row group of the partition.

Text that is numbers of values in the artifact is handed on as such, and written so, whatever share of it is distinct
among the rows that ship.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.parquet.writer import ROWS_PER_GROUP, mostly_distinct
from daedalus.tables.artifacts import held_columns, read_table
from daedalus.tables.sorting import whole
from daedalus.tables.taken import taken_rows, text_of, with_used_values

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

Pieces = list[tuple[int, "np.ndarray"]]  # a row group of a partition: (row group of the artifacts, places in it)


class PlainColumns:
    """Columns of an artifact whose rows are those of the sessions; read by row group if they are not in memory."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._table = held_columns(path, names)
        if self._table is not None:
            self.schema = pa.schema(map(self._as_written, self._table.schema))
        else:
            metadata = pq.read_metadata(path)
            self._file = pq.ParquetFile(path, metadata=metadata, read_dictionary=_coded(metadata))
            self.schema = pa.schema([self._file.schema_arrow.field(name) for name in names])

    def _as_written(self, field: pa.Field) -> pa.Field:
        """The field of a column, which is numbers of values if the artifact has it so."""
        import pyarrow as pa

        assert self._table is not None
        first = self._table.slice(0, ROWS_PER_GROUP)
        if not (pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)):
            return field
        distinct = not first.num_rows or mostly_distinct(first, field.name)
        return field.with_type(pa.string() if distinct else pa.dictionary(pa.int32(), pa.string()))

    def of_rows(self, pieces: Pieces) -> list[pa.Array]:
        """The columns of a row group."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = [self._taken(group, rows) for group, rows in pieces]
        columns = []
        for name, kind in zip(self.schema.names, self.schema.types, strict=True):
            parts = [part for table in found for part in table[name].chunks]
            column = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
            if pa.types.is_dictionary(kind):
                # Of values that no row has, a reader would take the least and the greatest for the column's.
                is_coded = pa.types.is_dictionary(column.type)
                column = with_used_values(column) if is_coded else pc.dictionary_encode(column)
            elif pa.types.is_dictionary(column.type):
                column = text_of(column)
            columns.append(column)
        return columns

    def _taken(self, group: int, rows: np.ndarray) -> pa.Table:
        if self._table is None:
            table = self._file.read_row_group(group, columns=self.schema.names, use_threads=False)
        else:
            table = self._table.slice(group * ROWS_PER_GROUP, ROWS_PER_GROUP)
        first, last = int(rows[0]), int(rows[-1])
        if last >= table.num_rows:
            raise IndexError(f"row {last} of {table.num_rows}")
        return table.slice(first, len(rows)) if last - first + 1 == len(rows) else taken_rows(table, rows)


class ShippedColumns:
    """Columns of an artifact that has the rows that ship, `count` of them, and no other."""

    def __init__(self, path: Path, names: Sequence[str], count: int) -> None:
        self._table = read_table(path, names)
        self._at = 0
        self.schema = self._table.schema
        if self._table.num_rows != count:
            raise ValueError(f"{self._table.num_rows} rows where {count} ship")

    def of_rows(self, pieces: Pieces) -> list[pa.Array]:
        """The columns of the next row group."""
        size = sum(len(rows) for _, rows in pieces)
        table = self._table.slice(self._at, size)
        self._at += size
        return [whole(column) for column in table.columns]


def _coded(metadata: pq.FileMetaData) -> list[str]:
    """The columns of strings that are numbers of values there, and need not become strings in between."""
    chunks = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)] if metadata.num_row_groups else []
    return [c.path_in_schema for c in chunks if c.physical_type == "BYTE_ARRAY" and "RLE_DICTIONARY" in c.encodings]
