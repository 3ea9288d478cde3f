"""What is said of PLAIN, split and numbered pages: heads, definition levels, and what a footer says of a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from daedalus.parquet import footer
from daedalus.parquet.footer import Chunk
from daedalus.parquet.list_writer import DATA_HEAD, DICTIONARY_HEAD, PAGE_PACKED
from daedalus.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, Struct, write_next, write_struct, write_varint

NONE, ZSTD, LZ4 = 0, 6, 7  # CompressionCodec; LZ4 without frames (LZ4_RAW)
_DATA_PAGE, _DICTIONARY_PAGE, _RLE = 0, 2, 3  # PageType, Encoding
PLAIN, RLE_DICTIONARY, BYTE_STREAM_SPLIT = 0, 8, 9  # Encoding


def page_head(entries: int, unpacked: int, packed: int, encoding: int = PLAIN) -> bytes:
    """The header of a page of so many values and NULLs, and of so many bytes before and after compression."""
    head = bytearray()
    write_next(head, I32, _DATA_PAGE, unpacked, packed)  # PAGE_TYPE, PAGE_UNPACKED, PAGE_PACKED
    head.append((DATA_HEAD - PAGE_PACKED) << 4 | STRUCT)
    write_next(head, I32, entries, encoding, _RLE, _RLE)
    head += b"\0\0"  # the ends of both
    return bytes(head)


def dictionary_head(values: int, unpacked: int, packed: int) -> bytes:
    """The header of a dictionary page of so many PLAIN values."""
    head = bytearray()
    write_next(head, I32, _DICTIONARY_PAGE, unpacked, packed)
    head.append((DICTIONARY_HEAD - PAGE_PACKED) << 4 | STRUCT)
    write_next(head, I32, values, PLAIN)
    head += b"\0\0"
    return bytes(head)


@lru_cache(64)
def all_there(count: int) -> bytes:
    """The definition levels of so many values without NULLs, behind their length in 4 bytes: one run of 1."""
    run = bytearray()
    write_varint(run, count << 1)
    run.append(1)
    return len(run).to_bytes(4, "little") + run


def some_there(bits: bytes) -> bytes:
    """The same where `bits` say which values are there: a run of packed bits, in groups of eight."""
    run = bytearray()
    write_varint(run, len(bits) << 1 | 1)
    return (len(run) + len(bits)).to_bytes(4, "little") + run + bits


def first_fields(elements: Sequence[Struct], codec: int, *encodings: int) -> bytes:
    """The first fields of a chunk's ColumnMetaData, up to CODEC; `elements` are the schema's, down to the leaf."""
    said: Struct = {
        footer.TYPE: elements[-1][footer.TYPE],
        footer.ENCODINGS: (LIST, (I32, [*(encodings or [PLAIN]), _RLE])),
        footer.PATH: (LIST, (BINARY, [element[footer.NAME][1] for element in elements])),
        footer.CODEC: (I32, codec),
    }
    return write_struct(said)[:-1]


def chunk_of(
    data: Sequence[Any], first: bytes, entries: int, unpacked: int, packed: int, dictionary: int = 0
) -> Chunk:  # fmt: skip
    """A chunk of pages; `first` are its `first_fields`, and sizes are with the pages' headers. The first page is a
    `dictionary` of so many bytes, if any."""
    said = bytearray(first)
    write_next(said, I64, entries, unpacked, packed)  # VALUES, UNPACKED, PACKED
    said.append((footer.DATA_PAGE - footer.PACKED) << 4 | I64)
    if not dictionary:
        return Chunk(data, (bytes(said), b""), (0,), unpacked, packed)
    between = bytes([(footer.DICTIONARY_PAGE - footer.DATA_PAGE) << 4 | I64])
    return Chunk(data, (bytes(said), between, b""), (dictionary, 0), unpacked, packed)
