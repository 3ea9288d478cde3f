"""The compiled part of reading lists: all pages of several column chunks in one call, since each call, and each wait
for Python's lock, costs as much as what it does.

Formats: parquet-format's Encodings.md, its README on nested columns, and parquet.thrift; thrift's compact protocol.
This file uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file
alone. compiled_thrift.py reads the same protocol without bounds, for footers; pages may be damaged, and nothing beyond
their chunk may be read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from daedalus.parquet.jit import compiled, inner, number_at, pointer

# What `page_heads` says of a page: the number of its chunk, its type, where it begins behind its head, its bytes as
# stored and unpacked, how many values and in which encoding; and what `read_pages` adds: how many items there are,
# where they begin, and how they are there.
CHUNK, TYPE, BEGIN, PACKED, UNPACKED, VALUES, ENCODING, ITEMS, AT, STATE = tuple(range(10))
PLAIN, READY, TO_UNPACK = range(3)  # values; numbers of 16 bits, one after the other; numbers as Encodings.md has them
DATA_PAGE, DICTIONARY_PAGE = 0, 2  # PageType
_PLAIN, _PLAIN_DICTIONARY, _RLE, _RLE_DICTIONARY = 0, 2, 3, 8  # Encoding
_INTEGER, _STRUCT, _BINARY = 6, 12, 8  # types of fields: those up to _INTEGER, from 4 on, are varints
_TWO = np.uint64(2)
_DEEPEST = 8  # structs in structs
_OF_HEAD = CHUNK, TYPE, UNPACKED, PACKED  # what the first fields of a PageHeader are, by their ids


@inner
def _varint(data: Any, at: Any, end: Any) -> Any:
    """(an unsigned number, where it ends); it ends at -1 if that is not before `end`."""
    found, shift = np.int64(0), np.int64(0)
    while at < end and shift < 63:
        byte = np.int64(data[at])
        at += 1
        found |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return found, at
        shift += 7
    return found, np.int64(-1)


@inner
def _skip(data: Any, at: Any, end: Any, kind: Any, depth: Any) -> Any:
    """Where the value of a field of this type ends, or -1."""
    if kind <= 2:  # a boolean, which is its type
        return at
    if kind == 3:
        return at + 1
    if kind <= _INTEGER:
        return _varint(data, at, end)[1]
    if kind == 7:
        return at + 8
    if kind == _BINARY:
        size, at = _varint(data, at, end)
        return at + size if at >= 0 and size <= end - at else np.int64(-1)
    if kind != _STRUCT or depth == _DEEPEST:  # lists and maps, which heads of pages do not have
        return np.int64(-1)
    field = np.int64(0)
    while 0 <= at < end and data[at]:
        field, kind, at = _field(data, at, end, field)
        at = _skip(data, at, end, kind, depth + 1) if at >= 0 else at
    return at + 1 if 0 <= at < end else np.int64(-1)


@inner
def _field(data: Any, at: Any, end: Any, field: Any) -> Any:
    """(id of the field whose header is at `at`, its type, where its value begins, or -1); `field` is the one before."""
    kind, step = np.int64(data[at] & 0x0F), np.int64(data[at] >> 4)
    if step:
        return field + step, kind, at + 1
    field, at = _varint(data, at + 1, end)
    return field >> 1, kind, at


@inner
def _integer(data: Any, at: Any, end: Any) -> Any:
    """(a signed number, where it ends, or -1)."""
    found, at = _varint(data, at, end)
    return (found >> 1) ^ -(found & 1), at


@inner
def _values_head(data: Any, at: Any, end: Any, found: Any) -> Any:
    """Reads a DataPageHeader or DictionaryPageHeader; where it ends, or -1, also if levels are of no known encoding."""
    field = np.int64(0)
    while 0 <= at < end and data[at]:
        field, kind, at = _field(data, at, end, field)
        if at < 0:
            return at
        if not 4 <= kind <= _INTEGER:
            at = _skip(data, at, end, kind, np.int64(0))
            continue
        value, at = _integer(data, at, end)
        if field == 1:
            found[VALUES] = value
        elif field == 2:
            found[ENCODING] = value
        elif field <= 4 and value != _RLE:
            return np.int64(-1)
    return at + 1 if 0 <= at < end else np.int64(-1)


@inner
def _head(data: Any, at: Any, end: Any, found: Any) -> Any:
    """Reads a PageHeader; where it ends, or -1."""
    field = np.int64(0)
    while 0 <= at < end and data[at]:
        field, kind, at = _field(data, at, end, field)
        if at < 0:
            return at
        if 4 <= kind <= _INTEGER and 0 < field <= 3:
            value, at = _integer(data, at, end)
            found[_OF_HEAD[field]] = value
        elif kind == _STRUCT and (field == 5 or field == 7):
            at = _values_head(data, at, end, found)
        else:
            at = _skip(data, at, end, kind, np.int64(0))
    return at + 1 if 0 <= at < end else np.int64(-1)


@compiled
def page_heads(chunks: Any, good: Any) -> Any:
    """The pages of column chunks, each given by its address and its bytes; `good` is set to 0 for one that is no such.

    A row for each page, in order; see above.
    """
    found, count = np.zeros((4 * len(chunks) + 1, 10), np.int64), 0
    for chunk in range(len(chunks)):
        at, end = np.int64(0), np.int64(chunks[chunk, 1])
        data = carray(pointer(chunks[chunk, 0]), (end,), np.uint8)  # type: ignore[call-arg, type-var]
        while at < end:
            if count == len(found):
                more = np.zeros((2 * count, 10), np.int64)
                more[:count] = found
                found = more
            page = found[count]
            page[:] = -1
            page[CHUNK] = chunk
            at = _head(data, at, end, page)
            if at < 0 or page[PACKED] < 0 or page[PACKED] > end - at or page[UNPACKED] < 0 or page[VALUES] < 0:
                good[chunk] = 0
                break
            page[BEGIN] = at
            at += page[PACKED]
            count += 1
    return found[:count]


@inner
def _ready(data: Any, address: Any, at: Any, count: Any, known: Any) -> Any:
    """Where numbers of 16 bits lie one after the other, as our own pages have them, behind their width in bits; -1 if
    they do not, and -2 if one of them is not less than `known`. `address` is that of `data`."""
    eights = (count + 7) // 8
    if at >= len(data) or data[at] != 16:
        return np.int64(-1)
    head, begin = _varint(data, at + 1, len(data))
    if begin < 0 or head != (eights << 1 | 1) or len(data) - begin < eights * 16:
        return np.int64(-1)
    most, place = np.uint16(0), address + np.uint64(begin)
    for _ in range(count):
        most = max(most, number_at(place))  # type: ignore[call-arg]
        place += _TWO
    return begin if most < known else np.int64(-2)


@compiled
def read_pages(pages: Any, places: Any, widths: Any, nulls: Any, lengths: Any, valid: Any, good: Any) -> None:
    """Reads pages, of which `places` says address and bytes as unpacked; a line of `lengths` and `valid` is of a chunk.

    `widths` are the bytes of a value. See `page_heads` and `read_levels`.
    """
    page = 0
    for chunk in range(len(good)):
        row, known, done = np.int64(-1), np.int64(-1), 0
        while page < len(pages) and pages[page, CHUNK] == chunk:
            said, size = pages[page], np.int64(places[page, 1])
            data = carray(pointer(places[page, 0]), (size,), np.uint8)  # type: ignore[call-arg, type-var]
            page += 1
            if not good[chunk]:
                continue
            encoding, width = said[ENCODING], widths[chunk]
            if said[TYPE] == DICTIONARY_PAGE and known < 0 and not done:
                known = said[VALUES]
                whole = len(data) % width == 0 and len(data) // width == known
                good[chunk] = whole and (encoding == _PLAIN or encoding == _PLAIN_DICTIONARY)  # noqa: SIM109
                continue
            if said[TYPE] != DATA_PAGE:
                good[chunk] = 0
                continue
            done += 1
            row, count, at = read_levels(data, said[VALUES], row, nulls[chunk], lengths[chunk], valid[chunk])
            said[ITEMS], said[AT] = count, at
            if at >= 0 and encoding == _PLAIN:
                said[STATE] = PLAIN
                good[chunk] = len(data) - at == count * width
            elif at >= 0 and known >= 0 and (encoding == _PLAIN_DICTIONARY or encoding == _RLE_DICTIONARY):  # noqa: SIM109
                begin = _ready(data, places[page - 1, 0], at, count, known) if count else at
                good[chunk] = begin != -2
                said[STATE] = READY if begin >= 0 else TO_UNPACK
                said[AT] = begin if begin >= 0 else at
            else:
                good[chunk] = 0
        if not done or row != len(lengths[chunk]) - 1:
            good[chunk] = 0


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
                if row < 0 or level[1] < 2 or not valid[row]:
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
                    if row < 0 or defined < 2 or not valid[row]:
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
