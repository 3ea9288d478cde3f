"""Columns of 32-bit numbers without NULLs, as one page each: split into bytes (BYTE_STREAM_SPLIT), then Zstd.

pyarrow writes the same in a file of its own, which for a few hundred rows costs ten times as much as this.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from daedalus.parquet.footer import Chunk
from daedalus.parquet.list_writer import form_of, zstd
from daedalus.parquet.plain_pages import BYTE_STREAM_SPLIT, ZSTD, chunk_of, first_fields, page_head
from daedalus.parquet.thrift import write_varint

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LEVEL = 2  # of Zstd


def split_numbers(schema: pa.Schema, rows: np.ndarray) -> list[Chunk]:
    """The column chunks of a row group. `schema` has columns of int32, and `rows` whole numbers by row and column."""
    return [_chunk(first, numbers) for first, numbers in zip(_first_fields(schema), rows.T, strict=True)]


def _chunk(first: bytes, numbers: np.ndarray) -> Chunk:
    import numpy as np

    count = len(numbers)
    split = numbers.astype("<i4").view(np.uint8).reshape(count, 4).T.tobytes()
    data = _levels(count) + split
    packed = zstd(_LEVEL).compress(data)
    head = page_head(count, len(data), packed.size, BYTE_STREAM_SPLIT)
    return chunk_of([head, packed], first, count, len(head) + len(data), len(head) + packed.size)


def _levels(count: int) -> bytes:
    """The definition levels of so many values, behind their length in 4 bytes: one run of 1."""
    run = bytearray()
    write_varint(run, count << 1)
    run.append(1)
    return len(run).to_bytes(4, "little") + run


@lru_cache(256)
def _first_fields(schema: pa.Schema) -> list[bytes]:
    columns = form_of(schema).columns
    return [first_fields(columns[name].elements, ZSTD, BYTE_STREAM_SPLIT) for name in schema.names]
