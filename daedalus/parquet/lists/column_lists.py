"""Reads column chunks of lists of numbers: how long each list is, and the numbers as they lie in the pages.

Arrow spends most of its time on the levels of each item, one by one. Here they are taken by the run, and numbers of a
dictionary stay such: who needs values looks them up where they are to be. What is read is data pages of version 1,
PLAIN or with a dictionary, of optional lists of optional numbers, whoever wrote them. Of all else, and of what is
damaged, nothing is read: `read_lists` gives None, and Arrow has to read it or to say what is wrong.

Formats: parquet-format's Encodings.md, its README on nested columns, and parquet.thrift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from daedalus.parquet.lists.compiled_pages import (
    AT,
    BEGIN,
    CHUNK,
    DICTIONARY_PAGE,
    ITEMS,
    PACKED,
    PLAIN,
    READY,
    STATE,
    TYPE,
    UNPACKED,
    page_heads,
    read_numbers,
    read_pages,
)

if TYPE_CHECKING:
    import pyarrow as pa


class Chunk(NamedTuple):
    """A column chunk as stored. NULL items are left out, or, unless `drop_nulls`, such a chunk is not read.

    `codec` is None for no compression.
    """

    data: np.ndarray
    dtype: np.dtype
    codec: pa.Codec | None
    drop_nulls: bool


class Piece(NamedTuple):
    """Items that follow each other: values, or, with `values`, where in them each is. Perhaps not aligned in memory."""

    items: np.ndarray
    values: np.ndarray | None


class ReadLists(NamedTuple):
    """Lists of some rows: how many items each has, which are not NULL, and all items, in the order of rows."""

    lengths: np.ndarray
    valid: np.ndarray
    pieces: list[Piece]


def read_lists(chunks: Sequence[Chunk], rows: int) -> list[ReadLists | None]:
    """The lists of each column chunk of a row group, or None; see above."""
    good = np.ones(len(chunks), np.uint8)
    found = page_heads(np.array([_place(chunk.data) for chunk in chunks], np.uint64).reshape(-1, 2), good)
    heads = found.tolist()
    pages = [_unpacked(head, chunks[head[CHUNK]], good) for head in heads]
    lengths, valid = np.zeros((len(chunks), rows), np.int64), np.zeros((len(chunks), rows), np.uint8)
    read_pages(found, np.array(list(map(_place, pages)), np.uint64).reshape(-1, 2),
               np.array([chunk.dtype.itemsize for chunk in chunks], np.int64),
               np.array([not chunk.drop_nulls for chunk in chunks], np.int64), lengths, valid, good)  # fmt: skip
    pieces: list[list[Piece]] = [[] for _ in chunks]
    known: dict[int, np.ndarray] = {}
    for head, page in zip(found.tolist(), pages, strict=True):
        chunk = head[CHUNK]
        if not good[chunk]:
            continue
        if head[TYPE] == DICTIONARY_PAGE:
            known[chunk] = page.view(chunks[chunk].dtype)
        elif (piece := _piece(head, page, known.get(chunk), chunks[chunk].dtype)) is not None:
            pieces[chunk].append(piece)
        else:
            good[chunk] = 0
    valid = valid.view(np.bool_)
    return [ReadLists(lengths[chunk], valid[chunk], pieces[chunk]) if good[chunk] else None
            for chunk in range(len(chunks))]  # fmt: skip


def _place(data: np.ndarray) -> tuple[int, int]:
    return data.__array_interface__["data"][0], len(data)


_NONE = np.zeros(0, np.uint8)


def _unpacked(head: list[int], chunk: Chunk, good: np.ndarray) -> np.ndarray:
    data = chunk.data[head[BEGIN] : head[BEGIN] + head[PACKED]]
    if chunk.codec is None or not good[head[CHUNK]]:
        return data
    try:
        return np.frombuffer(chunk.codec.decompress(data, head[UNPACKED]), np.uint8)
    except (OSError, ValueError, MemoryError):
        good[head[CHUNK]] = 0
        return _NONE


def _piece(head: list[int], page: np.ndarray, values: np.ndarray | None, dtype: np.dtype) -> Piece | None:
    at, count, state = head[AT], head[ITEMS], head[STATE]
    if state == PLAIN:
        return Piece(page[at:].view(dtype), None)
    assert values is not None
    if state == READY:
        return Piece(page[at : at + 2 * count].view(np.uint16), values)
    bits = int(page[at]) if at < len(page) else 33
    if bits > 32:
        return None
    packed, codes = page[at + 1 :], np.empty(count, np.uint16 if bits <= 16 else np.uint32)
    packed.flags.writeable = False  # whatever the page is, so that one compiled form reads it
    return Piece(codes, values) if read_numbers(packed, bits, codes) and codes.max() < len(values) else None


def load() -> None:
    """Has what is here compiled, or loaded from the compiler's cache, by small calls: threads and forked processes that
    compile wait for each other."""
    none = np.frombuffer(b"", np.uint8)
    read_lists([Chunk(none, np.dtype(np.int64), None, True)], 0)
    for kind in (np.uint16, np.uint32):
        read_numbers(none, 1, np.zeros(0, kind))
