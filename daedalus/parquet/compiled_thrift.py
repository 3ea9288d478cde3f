"""The compiled part of reading footers: where things lie in thrift's compact protocol, without taking them apart.

This file uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file
alone. Numbers of types and fields are those of thrift.py and footer.py.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled, inner

# Columns of what `row_groups` finds of a column chunk. BEGIN and END are its ColumnMetaData, without the end's zero;
# of each offset of a page: where it begins and ends, and its value, or -1, of DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE.
BEGIN, END, UNPACKED, PACKED, OFFSETS, COLUMNS = 0, 1, 2, 3, 4, 13


@inner
def varint(data, at):  # type: ignore[no-untyped-def]
    """(an unsigned integer, where it ends)."""
    value, shift = np.int64(0), np.int64(0)
    while data[at] & 0x80:
        value |= np.int64(data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | np.int64(data[at]) << shift, at + 1


@inner
def integer(data, at):  # type: ignore[no-untyped-def]
    """(a signed integer, where it ends)."""
    value, at = varint(data, at)
    return (value >> 1) ^ -(value & 1), at


@inner
def field_at(data, at, field):  # type: ignore[no-untyped-def]
    """(id of the field whose header is at `at`, its type, where its value begins); `field` is the one before."""
    kind, step = np.int64(data[at] & 0x0F), np.int64(data[at] >> 4)
    at += 1
    if step:
        return field + step, kind, at
    field, at = integer(data, at)
    return field, kind, at


@inner
def list_at(data, at):  # type: ignore[no-untyped-def]
    """(how many items the list at `at` has, their type, where the first begins)."""
    kind, count = np.int64(data[at] & 0x0F), np.int64(data[at] >> 4)
    at += 1
    if count == 15:
        count, at = varint(data, at)
    return count, kind, at


@inner
def skip(data, at, kind):  # type: ignore[no-untyped-def]
    """Where the value of a field of this type ends."""
    if kind <= 2:  # a boolean, which is its type
        return at
    if kind == 3:
        return at + 1
    if kind <= 6:
        return varint(data, at)[1]
    if kind == 7:
        return at + 8
    if kind == 8:
        count, at = varint(data, at)
        return at + count
    if kind == 12:
        while data[at]:
            _, kind, at = field_at(data, at, np.int64(0))
            at = skip(data, at, kind)
        return at + 1
    count, kind, at = list_at(data, at)
    if kind <= 3:
        return at + count
    for _ in range(count):
        at = skip(data, at, kind)
    return at


@compiled
def fields(data):  # type: ignore[no-untyped-def]
    """The fields of the struct at the start of `data`: by row (id, type, where its value begins, where it ends)."""
    found, count, at, field = np.empty((16, 4), np.int64), 0, np.int64(0), np.int64(0)
    while data[at] and count < len(found):
        field, kind, at = field_at(data, at, field)
        end = skip(data, at, kind)
        found[count, 0], found[count, 1], found[count, 2], found[count, 3] = field, kind, at, end
        at = end
        count += 1
    return found[:count]


@inner
def chunk_at(data, at, found):  # type: ignore[no-untyped-def]
    """Sets `found` for the ColumnMetaData at `at`; returns where it ends."""
    found[:] = -1
    found[BEGIN] = at
    field = np.int64(0)
    while data[at]:
        field, kind, at = field_at(data, at, field)
        end = skip(data, at, kind)
        if field == 6:
            found[UNPACKED] = integer(data, at)[0]
        elif field == 7:
            found[PACKED] = integer(data, at)[0]
        elif 9 <= field <= 11:
            place = OFFSETS + 3 * (field - 9)
            found[place], found[place + 1], found[place + 2] = at, end, integer(data, at)[0]
        at = end
    found[END] = at
    return at + 1


@compiled
def row_groups(data, at, leaves):  # type: ignore[no-untyped-def]
    """(the rows of each group in the list at `at`; its chunks, of which each has so many `leaves`: see COLUMNS)."""
    count, _, at = list_at(data, at)
    rows, found = np.zeros(count, np.int64), np.empty((count, leaves, COLUMNS), np.int64)
    for group in range(count):
        field = np.int64(0)
        while data[at]:
            field, kind, at = field_at(data, at, field)
            if field == 1:
                _, _, at = list_at(data, at)
                for leaf in range(leaves):
                    inner = np.int64(0)
                    while data[at]:
                        inner, kind, at = field_at(data, at, inner)
                        at = chunk_at(data, at, found[group, leaf]) if inner == 3 else skip(data, at, kind)
                    at += 1
            elif field == 3:
                rows[group], at = integer(data, at)
            else:
                at = skip(data, at, kind)
        at += 1
    return rows, found
