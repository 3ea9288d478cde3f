"""The compiled part of writing columns of artifacts: puts values into a page's memory, ready to be compressed.

Which rows have a value is a bit for each, from the bit `first` of `bits` on; none of no bits is NULL. Formats:
parquet-format's Encodings.md (PLAIN, BYTE_STREAM_SPLIT). This file uses nothing of the project but `jit`: numba's disk
cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled, move


@compiled
def dense(numbers, bits, first, out):  # type: ignore[no-untyped-def]
    """Writes the unsigned `numbers` that are there to `out`, which has room for one more; returns how many."""
    count = 0
    for i in range(len(numbers)):
        out[count] = numbers[i]
        count += bits[(first + i) >> 3] >> ((first + i) & 7) & 1
    return count


@compiled
def split(numbers, out):  # type: ignore[no-untyped-def]
    """Writes unsigned `numbers` to `out` split: the lowest bytes of all of them, then all second ones, and so on."""
    count = len(numbers)
    for byte in range(numbers.itemsize):
        plane, shift = out[byte * count : (byte + 1) * count], numbers.dtype.type(8 * byte)
        for i in range(count):
            plane[i] = np.uint8(numbers[i] >> shift)


@compiled
def put_texts(ends, data, bits, first, out):  # type: ignore[no-untyped-def]
    """Writes the texts that are there, each behind its length in 4 bytes, to `out`; returns where they end.

    A text ends at its number of `ends[1:]` in `data`, and begins where the one before ends.
    """
    at = 0
    for i in range(len(ends) - 1):
        if len(bits) and not bits[(first + i) >> 3] >> ((first + i) & 7) & 1:
            continue
        begin, size = ends[i], ends[i + 1] - ends[i]
        for byte in range(4):
            out[at + byte] = np.uint8(size >> 8 * byte)
        move(out, at + 4, data, begin, size)
        at += 4 + size
    return at
