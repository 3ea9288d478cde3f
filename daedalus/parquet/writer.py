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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 24_576
LEVEL = 3  # of Zstd: the lowest that searches for long matches


def write_parquet(path: Path | pa.NativeFile, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Writes the rows of all tables, with Zstd, in row groups of ROWS_PER_GROUP; returns the number of rows."""
    import pyarrow as pa

    if not isinstance(path, Path):
        return write_groups(path, schema, _regroup(tables))
    with pa.OSFile(str(path), "wb") as out:  # of a path pyarrow would find out first which file system it is of
        return write_groups(out, schema, _regroup(tables))


def write_groups(
    out: pa.NativeFile,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    encodings: Mapping[str, Any] | None = None,
) -> int:
    """The same for tables that become one row group each; they have at most ROWS_PER_GROUP rows.

    `encodings` are those that follow from the first of them, if it is not among them.
    """
    import pyarrow.parquet as pq

    groups = iter(tables)
    first = next(groups, None)
    options = encodings_of(schema, first) if encodings is None else encodings
    rows = 0
    with pq.ParquetWriter(
        out, schema, compression="zstd", compression_level=LEVEL, store_schema=False, **options
    ) as writer:
        while first is not None:
            writer.write_table(first, row_group_size=ROWS_PER_GROUP)
            rows += first.num_rows
            first = next(groups, None)
    return rows


def encodings_of(schema: pa.Schema, first: pa.Table | None) -> dict[str, Any]:
    """pyarrow's options by column: which have a dictionary, and which have statistics.

    They follow from the column's type and, for strings, from its first row group.
    """
    dictionary, statistics, texts = _by_type(schema)
    coded = [name for name in texts if not (first is not None and mostly_distinct(first, name))]
    return {"use_dictionary": [*dictionary, *coded], "write_statistics": [*statistics]}


@lru_cache(256)
def _by_type(schema: pa.Schema) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """The columns with a dictionary, those with statistics, and those of strings."""
    import pyarrow as pa

    dictionary, statistics, texts = [], [], []
    for field in schema:
        kind = field.type
        if pa.types.is_nested(kind):  # no dictionary, no statistics
            continue
        statistics.append(field.name)
        if pa.types.is_string(kind):
            texts.append(field.name)
        elif not (pa.types.is_timestamp(kind) or pa.types.is_int64(kind) or pa.types.is_floating(kind)):
            dictionary.append(field.name)
    return dictionary, statistics, texts


def mostly_distinct(table: pa.Table, column: str) -> bool:
    """Whether more than half of a column's values are distinct: then a dictionary only costs."""
    import pyarrow.compute as pc

    return 2 * pc.count_distinct(table[column]).as_py() > table.num_rows


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
