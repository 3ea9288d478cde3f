"""The one writer of parquet: its bytes depend on the rows and their order alone.

DuckDB's own COPY encodes by the chunks that it is fed, and those depend on how many files and row
groups the input had: the same twelve rows out of two files or three gave different bytes, so that
early cutoff was lost. Here rows are cut into groups of a fixed size first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 16_384


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Writes tables one below the other, Zstd, in row groups of ROWS_PER_GROUP; returns the rows."""
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        for group in _regroup(tables):
            writer.write_table(group, row_group_size=ROWS_PER_GROUP)
            rows += group.num_rows
    return rows


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
