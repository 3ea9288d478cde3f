"""Columns of 32-bit numbers without NULLs, as one page each: split into bytes (BYTE_STREAM_SPLIT), then Zstd, or LZ4
for as few rows as in writer.py.

pyarrow writes the same in a file of its own, which for a few hundred rows costs ten times as much as this, and reads it
in three times the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, BinaryIO

from daedalus.parquet.footer import Chunk
from daedalus.parquet.list_reader import Pages
from daedalus.parquet.list_writer import form_of, zstd
from daedalus.parquet.plain_pages import BYTE_STREAM_SPLIT, LZ4, ZSTD, all_there, chunk_of, first_fields, page_head
from daedalus.parquet.writer import SMALL

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq


def split_numbers(schema: pa.Schema, rows: np.ndarray) -> list[Chunk]:
    """The column chunks of a row group. `schema` has columns of int32, and `rows` whole numbers by row and column."""
    codec, pack = (LZ4, _lz4()) if len(rows) <= SMALL else (ZSTD, zstd())
    columns = zip(_first_fields(schema, codec), rows.T, strict=True)
    return [_chunk(first, numbers, pack) for first, numbers in columns]


def read_split(file: BinaryIO, chunk: pq.ColumnChunkMetaData) -> np.ndarray | None:
    """The numbers of a column chunk of a file, of 32 bits or, if none needs more, of 8, if it is a page as
    `split_numbers` writes it; else None."""
    import numpy as np

    if chunk.compression not in _CODECS or "BYTE_STREAM_SPLIT" not in chunk.encodings or chunk.has_dictionary_page:
        return None
    file.seek(chunk.data_page_offset)
    pages = Pages(file.read(chunk.total_compressed_size), _CODECS[chunk.compression]())
    page = np.frombuffer(pages.next()[1], np.uint8)
    if pages.at < chunk.total_compressed_size:  # there are more
        return None
    count, levels = chunk.num_values, all_there(chunk.num_values)
    if len(page) != len(levels) + 4 * count or page[: len(levels)].tobytes() != levels:  # there are NULLs
        return None
    bytes_of = [page[len(levels) + byte * count :][:count] for byte in range(4)]
    if not page[len(levels) + count :].any():
        return bytes_of[0]
    numbers = np.empty((count, 4), np.uint8)
    for byte in range(4):  # a third of the time of turning all of it around at once
        numbers[:, byte] = bytes_of[byte]
    return numbers.view("<i4").ravel()


def _chunk(first: bytes, numbers: np.ndarray, codec: pa.Codec) -> Chunk:
    import numpy as np

    count = len(numbers)
    split = numbers.astype("<i4").view(np.uint8).reshape(count, 4).T.tobytes()
    data = all_there(count) + split
    packed = codec.compress(data)
    head = page_head(count, len(data), packed.size, BYTE_STREAM_SPLIT)
    return chunk_of([head, packed], first, count, len(head) + len(data), len(head) + packed.size)


@lru_cache(256)
def _first_fields(schema: pa.Schema, codec: int) -> list[bytes]:
    columns = form_of(schema).columns
    return [first_fields(columns[name].elements, codec, BYTE_STREAM_SPLIT) for name in schema.names]


@cache
def _lz4() -> pa.Codec:
    import pyarrow as pa

    return pa.Codec("lz4_raw")


_CODECS: Mapping[str, Callable[[], pa.Codec]] = {"LZ4": _lz4, "ZSTD": zstd}  # as pyarrow calls them
