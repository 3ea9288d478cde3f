"""Writes parquet files whose bytes depend only on the rows and their order (rolling lists: list_writer.py).

DuckDB's own COPY encodes by the chunks that it gets, which depend on the number of files and row groups of
its input: the same twelve rows from two files or three gave different bytes, so that early cutoff failed.
Here rows are first cut into row groups of a fixed size.

A column's encoding follows from its type, by measurements on real partitions and artifacts.

- What others read is encoded as every reader knows it. Lists are PLAIN: lists of neighbouring rows are alike, and Zstd
  finds that in whole bytes but not in pyarrow's dictionary indices of 13 or 15 bits. Times, ids, counts and mostly
  distinct strings are PLAIN too. Delta encodings (DELTA_BINARY_PACKED, and DELTA_LENGTH_BYTE_ARRAY for strings) save
  too little under Zstd, and not every reader supports them.
- In artifacts, which we read, whole numbers and times are split (BYTE_STREAM_SPLIT): all first bytes of a column, all
  second ones, and so on. Zstd takes a third of the time for them, and reading half of it, in a tenth fewer bytes.
  Floats are not split, since scores of few digits take a quarter more then. There are no statistics: they cost a
  quarter of writing, and nothing asks for them. Small ones are packed by LZ4, for which a column of a few hundred rows
  takes half the time to write and to read, in a tenth more bytes; of large ones it would make a third more.
  Large ones are written by hand (artifact_writer.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

EncodingsOf = Callable[["pa.Schema", "pa.Table | None"], dict[str, Any]]

ROWS_PER_GROUP = 24_576
LEVEL = 3  # of Zstd: the lowest that searches for long matches
SMALL = 4096  # rows up to which an artifact is packed by LZ4


def write_plain(path: Path | pa.NativeFile, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Writes the rows of all tables for others to read, in row groups of ROWS_PER_GROUP; returns how many."""
    return _write(path, schema, regrouped(tables), encodings_of)


def write_small(path: Path, schema: pa.Schema, groups: Iterable[pa.Table]) -> int:
    """Writes row groups as an artifact; returns the rows."""
    return _write(path, schema, groups, artifact_encodings)


def _write(path: Path | pa.NativeFile, schema: pa.Schema, tables: Iterable[pa.Table], encodings: EncodingsOf) -> int:
    import pyarrow as pa

    if not isinstance(path, Path):
        return write_groups(path, schema, regrouped(tables), encodings)
    with pa.OSFile(str(path), "wb") as out:  # of a path pyarrow would find out first which file system it is of
        return write_groups(out, schema, regrouped(tables), encodings)


def write_groups(
    out: pa.NativeFile,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    encodings: Mapping[str, Any] | EncodingsOf | None = None,
) -> int:
    """The same for tables that become one row group each; they have at most ROWS_PER_GROUP rows.

    `encodings` are pyarrow's options by column, or what tells them of the first table; None: `encodings_of`.
    """
    import pyarrow.parquet as pq

    groups = iter(tables)
    first = next(groups, None)
    options = encodings if isinstance(encodings, Mapping) else (encodings or encodings_of)(schema, first)
    rows = 0
    packing = {"compression": "zstd", "compression_level": LEVEL}
    with pq.ParquetWriter(out, schema, store_schema=False, **{**packing, **options}) as writer:
        while first is not None:
            writer.write_table(first, row_group_size=ROWS_PER_GROUP)
            rows += first.num_rows
            first = next(groups, None)
    return rows


def encodings_of(schema: pa.Schema, first: pa.Table | None) -> dict[str, Any]:
    """pyarrow's options by column for what others read: which have a dictionary, and which have statistics.

    They follow from the column's type and, for strings, from its first row group.
    """
    dictionary, statistics, texts = _by_type(schema)
    return {"use_dictionary": [*dictionary, *_coded(texts, first)], "write_statistics": [*statistics]}


def artifact_encodings(schema: pa.Schema, first: pa.Table | None) -> dict[str, Any]:
    """pyarrow's options for artifacts: which columns are split, which have a dictionary, and how all are packed."""
    import pyarrow as pa

    dictionary, _, texts = _by_type(schema)
    split = _split(schema)
    numbered = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    coded = [name for name in dictionary if name not in split and name not in numbered]
    packing = {"compression": "lz4", "compression_level": None} if first is None or first.num_rows <= SMALL else {}
    return {"use_dictionary": [*coded, *_coded([*texts, *numbered], first)], "use_byte_stream_split": [*split],
            "write_statistics": False, **packing}  # fmt: skip


def _coded(texts: Sequence[str], first: pa.Table | None) -> list[str]:
    return [name for name in texts if not (first is not None and mostly_distinct(first, name))]


@lru_cache(256)
def _split(schema: pa.Schema) -> Sequence[str]:
    """The columns of whole numbers and of times."""
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_temporal(field.type)]


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
    """Whether more than half of a column's values are distinct: then a dictionary only costs. Numbers of values are
    distinct where their values are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = table[column]
    if pa.types.is_dictionary(values.type):
        values = pa.chunked_array([chunk.indices for chunk in values.chunks], values.type.index_type)
    return 2 * pc.count_distinct(values).as_py() > table.num_rows


def regrouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
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
            count -= ROWS_PER_GROUP
            held = [whole.slice(ROWS_PER_GROUP)] if count else []  # of no rows it would still have values of text
    if count:
        yield pa.concat_tables(held).combine_chunks()
