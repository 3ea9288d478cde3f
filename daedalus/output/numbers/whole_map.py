"""Writes the files of a map as one, whose bytes depend on the rows alone; full row groups are copied as they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.ports import Scratch
from daedalus.parquet.splice import stack
from daedalus.parquet.writer import ROWS_PER_GROUP, write_plain

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


def write_whole(files: Sequence[Path], scratch: Scratch) -> Path:
    """A new file with the rows of all the files, of which there is at least one, in their order."""
    import pyarrow.parquet as pq

    first, *pieces = files
    out, more = scratch.path(".parquet"), scratch.path(".parquet")
    with pq.ParquetFile(first) as file:
        groups = range(file.num_row_groups)
        sizes = [file.metadata.row_group(i).num_rows for i in groups]
        kept = next((i for i in groups if sizes[i] != ROWS_PER_GROUP), len(groups))
        write_plain(more, _schema(), _rows(file, range(kept, len(groups)), pieces))
    try:
        stack(first, kept, more, out)
    except ValueError:  # a map that another tool wrote
        with pq.ParquetFile(first) as file:
            write_plain(out, _schema(), _rows(file, groups, pieces))
    more.unlink()
    return out


def _rows(file: pq.ParquetFile, groups: Sequence[int], pieces: Sequence[Path]) -> Iterator[pa.Table]:
    """Some row groups of a file, one at a time, then whole files."""
    import pyarrow.parquet as pq

    names = _schema().names
    for group in groups:
        yield file.read_row_group(group, names, use_threads=False).select(names).cast(_schema())
    for piece in pieces:
        yield pq.read_table(piece, columns=names, use_threads=False).select(names).cast(_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("feed_session", pa.string()), ("qid", pa.int64())])
