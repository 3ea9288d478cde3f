"""Reads column chunks of lists of numbers: how long each list is, and the numbers as they lie in the pages.

Arrow spends most of its time on the levels of each item, one by one. Here they are taken by the run, and numbers of a
dictionary stay such: who needs values looks them up where they are to be. What is read is data pages of version 1,
PLAIN or with a dictionary, of optional lists of optional numbers, whoever wrote them. Of all else, and of what is
damaged, nothing is read: `read_lists` gives None, and Arrow has to read it or to say what is wrong.

Formats: parquet-format's Encodings.md, its README on nested columns, and parquet.thrift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from daedalus.parquet.jit import compiled
from daedalus.parquet.list_writer import DATA_HEAD, DICTIONARY_HEAD, PAGE_PACKED, PAGE_TYPE, PAGE_UNPACKED, PAGE_VALUES
from daedalus.parquet.thrift import Struct, read_head

if TYPE_CHECKING:
    import pyarrow as pa

_DATA, _DICTIONARY = 0, 2  # PageType
_PLAIN, _NUMBERED = 0, (2, 8)  # Encoding: PLAIN; PLAIN_DICTIONARY, RLE_DICTIONARY
_ENCODING, _OF_DEFINITION, _OF_REPETITION, _RLE = 2, 3, 4, 3  # DataPageHeader, DictionaryPageHeader; Encoding
_BROKEN = (IndexError, KeyError, ValueError, TypeError, OverflowError, OSError)


class Piece(NamedTuple):
    """Items that follow each other: values, or, with `values`, where in them each is. Perhaps not aligned in memory."""

    items: np.ndarray
    values: np.ndarray | None


class ReadLists(NamedTuple):
    """Lists of some rows: how many items each has, which are not NULL, and all items, in the order of rows."""

    lengths: np.ndarray
    valid: np.ndarray
    pieces: list[Piece]


def read_lists(
    data: bytes, rows: int, dtype: np.dtype, codec: pa.Codec | None, *, drop_nulls: bool
) -> ReadLists | None:  # fmt: skip
    """The lists of a column chunk, or None; see above. NULL items are left out, or, unless `drop_nulls`, not read.

    `codec` is None for no compression.
    """
    found = ReadLists(np.zeros(rows, np.int64), np.zeros(rows, np.bool_), [])
    try:
        return found if _read(data, dtype, codec, 0 if drop_nulls else 1, found) else None
    except _BROKEN:
        return None


def _read(data: bytes, dtype: np.dtype, codec: pa.Codec | None, nulls: int, found: ReadLists) -> bool:
    """Whether all pages were read; `nulls` is 1 if NULL items are not."""
    at, row, values = 0, -1, None
    while at < len(data):
        head, begin = read_head(data, at)
        at = begin + head[PAGE_PACKED][1]
        if begin > at or at > len(data):
            return False
        page = _unpacked(data, begin, at, head[PAGE_UNPACKED][1], codec)
        if head[PAGE_TYPE][1] == _DICTIONARY and values is None and row < 0:
            said = head[DICTIONARY_HEAD][1]
            values = _plain(page, said[PAGE_VALUES][1], dtype)
            if said[_ENCODING][1] not in (_PLAIN, _NUMBERED[0]):
                return False
        elif head[PAGE_TYPE][1] == _DATA:
            row, piece = _page(page, head[DATA_HEAD][1], row, values, dtype, nulls, found)
            if piece is None:
                return False
            found.pieces.append(piece)
        else:
            return False
    return bool(found.pieces) and row == len(found.lengths) - 1


def _unpacked(data: bytes, begin: int, end: int, size: int, codec: pa.Codec | None) -> np.ndarray:
    if codec is None:
        return np.frombuffer(data, np.uint8, end - begin, begin)
    import pyarrow as pa

    found = np.frombuffer(codec.decompress(pa.py_buffer(memoryview(data)[begin:end]), size), np.uint8)
    found.flags.writeable = False  # as bytes are: one compiled form of what reads it
    return found


def _plain(page: np.ndarray, count: int, dtype: np.dtype) -> np.ndarray:
    """So many values, which are all that a page has from here on."""
    if len(page) != count * dtype.itemsize:
        raise ValueError
    return page.view(dtype)


def _page(
    page: np.ndarray, said: Struct, row: int, values: np.ndarray | None, dtype: np.dtype, nulls: int, found: ReadLists
) -> tuple[int, Piece | None]:  # fmt: skip
    """Reads a page after the one that ended with `row`; its last row, and its items, None if that cannot be."""
    if (said[_OF_DEFINITION][1], said[_OF_REPETITION][1]) != (_RLE, _RLE):
        return row, None
    row, count, begin = read_levels(page, said[PAGE_VALUES][1], row, nulls, found.lengths, found.valid.view(np.uint8))
    if begin < 0:
        return row, None
    encoding, rest = said[_ENCODING][1], page[begin:]
    if encoding == _PLAIN:
        return row, Piece(_plain(rest, count, dtype), None)
    if encoding not in _NUMBERED or values is None:
        return row, None
    codes = _codes(rest, count)
    if codes is None or (count and int(codes.max()) >= len(values)):
        return row, None
    return row, Piece(codes, values)


def _codes(page: np.ndarray, count: int) -> np.ndarray | None:
    """Numbers behind their width in bits. Those of 16 bits in one run, as our own pages have them, lie there ready."""
    bits = int(page[0]) if count else 0
    if bits == 16:
        at = 1
        while page[at] & 0x80:
            at += 1
        if page[1] & 1 and len(page) - at - 1 >= -(-count // 8) * 16 and _varint(page, 1) >> 1 == -(-count // 8):
            return page[at + 1 : at + 1 + 2 * count].view(np.uint16)
    codes = np.empty(count, np.uint16 if bits <= 16 else np.uint32)
    return codes if bits <= 32 and (not count or read_numbers(page[1:], bits, codes)) else None


def _varint(page: np.ndarray, at: int) -> int:
    found = shift = 0
    while True:
        byte = int(page[at])
        found, at, shift = found | (byte & 0x7F) << shift, at + 1, shift + 7
        if not byte & 0x80:
            return found


@compiled
def read_levels(page: Any, entries: Any, row: Any, nulls: Any, lengths: Any, valid: Any) -> Any:
    """Adds a page's entries to the lists' lengths; `row` is the last one of the pages before.

    With `nulls` 1, a NULL item is one too many. Returns (the last row, how many items there are, where they begin);
    they begin at -1 if no writer writes such levels. Repetition levels, of a bit each, are 0 where a row begins;
    definition levels, of two bits, are 3 for an item, 2 for a NULL one, 1 for an empty list and 0 for NULL.
    """
    failed, size = (row, 0, -1), len(page)
    ends = np.zeros(2, np.int64)
    ats = np.zeros(2, np.int64)
    at = 0
    for kind in range(2):
        if at + 4 > size:
            return failed
        count = page[at] | np.int64(page[at + 1]) << 8 | np.int64(page[at + 2]) << 16 | np.int64(page[at + 3]) << 24
        ats[kind] = at + 4
        at += 4 + count
        ends[kind] = at
        if at > size:
            return failed
    left, packed, level = np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64)
    begin, index = np.zeros(2, np.int64), np.zeros(2, np.int64)
    done, items = 0, 0
    while done < entries:
        for kind in range(2):  # repetition, definition
            if left[kind]:
                continue
            head, shift, byte = np.int64(0), 0, np.int64(0x80)
            while byte & 0x80:
                if ats[kind] >= ends[kind] or shift > 28:
                    return failed
                byte = np.int64(page[ats[kind]])
                head |= (byte & 0x7F) << shift
                shift += 7
                ats[kind] += 1
            packed[kind] = head & 1
            left[kind] = (head >> 1) * (8 if head & 1 else 1)
            begin[kind], index[kind] = ats[kind], 0
            ats[kind] += (head >> 1) * (kind + 1) if head & 1 else 1
            if left[kind] == 0 or ats[kind] > ends[kind]:
                return failed
            level[kind] = 0 if head & 1 else page[ats[kind] - 1]
            if level[kind] > (3 if kind else 1):
                return failed
        count = min(left[0], left[1], entries - done)
        if not packed[0] and not packed[1]:
            item = 1 if level[1] == 3 else 0
            if nulls and level[1] == 2:
                return failed
            if level[0]:
                if row < 0 or level[1] < 2:
                    return failed
                lengths[row] += count * item
            else:
                if row + count >= len(lengths):
                    return failed
                for _ in range(count):
                    row += 1
                    lengths[row] = item
                    valid[row] = level[1] > 0
            items += count * item
        else:
            for step in range(count):
                repeated, defined = level[0], level[1]
                if packed[0]:
                    place = index[0] + step
                    repeated = (page[begin[0] + (place >> 3)] >> (place & 7)) & 1
                if packed[1]:
                    place = index[1] + step
                    defined = (page[begin[1] + (place >> 2)] >> ((place & 3) * 2)) & 3
                item = 1 if defined == 3 else 0
                if nulls and defined == 2:
                    return failed
                if repeated:
                    if row < 0 or defined < 2:
                        return failed
                    lengths[row] += item
                else:
                    if row + 1 >= len(lengths):
                        return failed
                    row += 1
                    lengths[row] = item
                    valid[row] = defined > 0
                items += item
        for kind in range(2):
            left[kind] -= count
            index[kind] += count
        done += count
    return row, items, at


@compiled
def read_numbers(data: Any, bits: Any, out: Any):  # type: ignore[no-untyped-def]
    """Fills `out` with numbers of so many bits from runs, of one number or of packed ones; whether there are enough."""
    at, done, width, mask = 0, 0, (bits + 7) // 8, (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    while done < len(out):
        head, shift, byte = np.int64(0), 0, np.int64(0x80)
        while byte & 0x80:
            if at >= len(data) or shift > 28:
                return False
            byte = np.int64(data[at])
            head |= (byte & 0x7F) << shift
            shift += 7
            at += 1
        if head >> 1 == 0:
            return False
        if head & 1:
            count: Any = min((head >> 1) * 8, len(out) - done)
            size = (head >> 1) * bits
            if at + (count * bits + 7) // 8 > len(data):
                return False
            word, held, place = np.uint64(0), 0, at
            for i in range(count):
                while held < bits:
                    word |= np.uint64(data[place]) << np.uint64(held)
                    place += 1
                    held += 8
                out[done + i] = word & mask
                word >>= np.uint64(bits)
                held -= bits
            at += size
        else:
            count = min(head >> 1, len(out) - done)
            if at + width > len(data):
                return False
            number = np.uint64(0)
            for i in range(width):
                number |= np.uint64(data[at + i]) << np.uint64(8 * i)
            if number > mask:
                return False
            out[done : done + count] = number
            at += width
        done += count
    return True


def load() -> None:
    """Has what is here compiled, or loaded from the compiler's cache, by small calls."""
    none = np.frombuffer(b"", np.uint8)
    read_levels(none, 0, -1, 0, np.zeros(0, np.int64), np.zeros(0, np.uint8))
    for kind in (np.uint16, np.uint32):
        read_numbers(none, 1, np.zeros(0, kind))
