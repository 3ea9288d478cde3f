"""The writer of parquet (rolling lists have their own, lists.py): its bytes depend on the rows and their order alone.

DuckDB's own COPY encodes by the chunks that it is fed, and those depend on how many files and row
groups the input had: the same twelve rows out of two files or three gave different bytes, so that
early cutoff was lost. Here rows are cut into groups of a fixed size first.

How a column is encoded follows from its type, measured on real partitions: lists plain, because where
neighbours' lists are alike Zstd finds whole runs that pyarrow's dictionary indices, of 13 or 15 bits, would
hide; times, ids and counts plain too, and so are mostly distinct strings. Differences (DELTA_BINARY_PACKED, and
DELTA_LENGTH_BYTE_ARRAY of strings) save nothing worth it under Zstd, and not every reader knows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 24_576
LEVEL = 3  # of Zstd: from here on it looks for long matches


def write_parquet(path: Path | pa.NativeFile, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Writes tables one below the other, Zstd, in row groups of ROWS_PER_GROUP; returns the rows."""
    return write_groups(path, schema, _regroup(tables))


def write_groups(path: Path | pa.NativeFile, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """The same of tables that are a row group each, which have at most ROWS_PER_GROUP rows."""
    import pyarrow.parquet as pq

    groups = iter(tables)
    first = next(groups, None)
    rows = 0
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=LEVEL, store_schema=False, **_encodings(schema, first)
    ) as writer:
        while first is not None:
            writer.write_table(first, row_group_size=ROWS_PER_GROUP)
            rows += first.num_rows
            first = next(groups, None)
    return rows


def _encodings(schema: pa.Schema, first: pa.Table | None) -> dict[str, Any]:
    """The writer's options for each column, by its type and, for strings, its first row group."""
    import pyarrow as pa

    dictionary, statistics = [], []
    for field in schema:
        kind = field.type
        if pa.types.is_nested(kind):
            continue
        statistics.append(field.name)
        plain = pa.types.is_timestamp(kind) or pa.types.is_int64(kind) or pa.types.is_floating(kind)
        if not plain and not (pa.types.is_string(kind) and _mostly_distinct(first, field.name)):
            dictionary.append(field.name)
    return {"use_dictionary": dictionary, "write_statistics": statistics}


def _mostly_distinct(table: pa.Table | None, column: str) -> bool:
    import pyarrow.compute as pc

    return table is not None and 2 * pc.count_distinct(table[column]).as_py() > table.num_rows


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of ROWS_PER_GROUP, each in one piece."""
    import pyarrow as pa

    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        while count >= ROWS_PER_GROUP:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROWS_PER_GROUP).combine_chunks()
            held, count = [whole.slice(ROWS_PER_GROUP)], count - ROWS_PER_GROUP
    if count:
        yield pa.concat_tables(held).combine_chunks()
