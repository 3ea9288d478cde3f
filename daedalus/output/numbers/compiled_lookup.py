"""The compiled part of looking sessions up.

It uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
Numbers are written as `np.uint64` where they meet hashes: with Python's, numba would make them floats.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled, inner

_8, _13, _16, _17, _21, _32 = (np.uint64(bits) for bits in (8, 13, 16, 17, 21, 32))
_51, _48, _47, _43 = (np.uint64(64 - bits) for bits in (13, 16, 17, 21))
_START = (np.uint64(0x736F6D6570736575), np.uint64(0x646F72616E646F6D ^ 0xEE),
          np.uint64(0x6C7967656E657261), np.uint64(0x7465646279746573))  # fmt: skip
_FIRST_END, _SECOND_END, _LENGTH = np.uint64(0xEE), np.uint64(0xDD), np.uint64(56)


@inner
def _mixed(a, b, c, d):  # type: ignore[no-untyped-def]
    """A round of SipHash."""
    a += b
    b = (b << _13 | b >> _51) ^ a
    a = a << _32 | a >> _32
    c += d
    d = (d << _16 | d >> _48) ^ c
    a += d
    d = (d << _21 | d >> _43) ^ a
    c += b
    b = (b << _17 | b >> _47) ^ c
    return a, b, c << _32 | c >> _32, d


@compiled
def hashes(offsets, data, first, second, found):  # type: ignore[no-untyped-def]
    """SipHash-2-4 of 128 bits, under a key of two halves, of each text; `found` has two columns.

    `offsets` say where texts begin and end in `data`, as Arrow has them.
    """
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        last = np.uint64(end - at) << _LENGTH
        a, b, c, d = first ^ _START[0], second ^ _START[1], first ^ _START[2], second ^ _START[3]
        while at + 8 <= end:
            word = np.uint64(0)
            for byte in range(8):
                word |= np.uint64(data[at + byte]) << (np.uint64(byte) * _8)
            d ^= word
            a, b, c, d = _mixed(a, b, c, d)
            a, b, c, d = _mixed(a, b, c, d)
            a ^= word
            at += 8
        for byte in range(end - at):
            last |= np.uint64(data[at + byte]) << (np.uint64(byte) * _8)
        d ^= last
        a, b, c, d = _mixed(a, b, c, d)
        a, b, c, d = _mixed(a, b, c, d)
        a ^= last
        c ^= _FIRST_END
        for _ in range(4):
            a, b, c, d = _mixed(a, b, c, d)
        found[row, 0] = a ^ b ^ c ^ d
        b ^= _SECOND_END
        for _ in range(4):
            a, b, c, d = _mixed(a, b, c, d)
        found[row, 1] = a ^ b ^ c ^ d


@compiled
def begins(entries, shift, table):  # type: ignore[no-untyped-def]
    """Writes to `table` where the entries begin whose first number, without so many bits, is that of the place."""
    at = np.uint64(0)
    for row in range(len(entries)):
        head = entries[row, 0] >> shift
        while at <= head:
            table[at] = row
            at += np.uint64(1)
    while at < np.uint64(len(table)):
        table[at] = len(entries)
        at += np.uint64(1)


@compiled
def look_up(entries, shift, table, wanted, order, found):  # type: ignore[no-untyped-def]
    """Writes to `found` the third number of the entry with the two numbers of each row of `wanted`, where there is one.

    Rows are looked up in `order`: if that is ascending, so are the places in memory.
    """
    for i in range(len(order)):
        row = order[i]
        one, other = wanted[row, 0], wanted[row, 1]
        head = one >> shift
        for at in range(table[head], table[head + np.uint64(1)]):
            if entries[at, 0] == one and entries[at, 1] == other:
                found[row] = np.int64(entries[at, 2])
                break


@compiled
def merge(one, other, out):  # type: ignore[no-untyped-def]
    """Merges entries that ascend by their first numbers."""
    i = j = 0
    for at in range(len(out)):
        if j == len(other) or (i < len(one) and one[i, 0] <= other[j, 0]):
            out[at, 0], out[at, 1], out[at, 2] = one[i, 0], one[i, 1], one[i, 2]
            i += 1
        else:
            out[at, 0], out[at, 1], out[at, 2] = other[j, 0], other[j, 1], other[j, 2]
            j += 1
