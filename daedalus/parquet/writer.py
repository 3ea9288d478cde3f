"""Writes parquet files whose bytes depend only on the rows and their order (rolling lists: list_writer.py).

DuckDB's own COPY encodes by the chunks that it gets, which depend on the number of files and row groups of
its input: the same twelve rows from two files or three gave different bytes, so that early cutoff failed.
Here rows are first cut into row groups of a fixed size.

A column's encoding follows from its type, by measurements on real partitions. Lists are PLAIN: lists of neighbouring
rows are alike, and Zstd finds that in whole bytes but not in pyarrow's dictionary indices of 13 or 15 bits. Times,
ids, counts and mostly distinct strings are PLAIN too. Delta encodings (DELTA_BINARY_PACKED, and
DELTA_LENGTH_BYTE_ARRAY for strings) save too little under Zstd, and not every reader supports them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 24_576
LEVEL = 3  # of Zstd: the lowest that searches for long matches


def write_parquet(path: Path | pa.NativeFile, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Writes the rows of all tables, with Zstd, in row groups of ROWS_PER_GROUP; returns the number of rows."""
    return write_groups(path, schema, _regroup(tables))


def write_groups(path: Path | pa.NativeFile, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """The same for tables that become one row group each; they have at most ROWS_PER_GROUP rows."""
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
    """pyarrow's options by column: which have a dictionary, and which have statistics.

    They follow from the column's type and, for strings, from its first row group.
    """
    import pyarrow as pa

    dictionary, statistics = [], []
    for field in schema:
        kind = field.type
        if pa.types.is_nested(kind):  # no dictionary, no statistics
            continue
        statistics.append(field.name)
        plain = pa.types.is_timestamp(kind) or pa.types.is_int64(kind) or pa.types.is_floating(kind)
        if not plain and not (pa.types.is_string(kind) and _mostly_distinct(first, field.name)):
            dictionary.append(field.name)
    return {"use_dictionary": dictionary, "write_statistics": statistics}


def _mostly_distinct(table: pa.Table | None, column: str) -> bool:
    """Whether more than half of a column's values are distinct: then a dictionary only costs."""
    import pyarrow.compute as pc

    return table is not None and 2 * pc.count_distinct(table[column]).as_py() > table.num_rows


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of ROWS_PER_GROUP, each of one chunk."""
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
