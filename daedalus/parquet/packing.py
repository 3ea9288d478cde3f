"""The compiled part of the writer of lists: numbers and levels, ready to be compressed.

Source: parquet-format's Encodings.md and its README on nested columns. This file calls nothing of the project:
numba keeps what it compiled by this file's time stamp.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled


@compiled
def first_columns(codes, begins, sizes, kinds):  # type: ignore[no-untyped-def]
    """By code (there are `kinds`), the first column whose lists have it, or how many columns there are; see `Lists`."""
    columns = sizes.shape[1]
    first = np.full(kinds, columns, np.int16)
    for column in range(columns - 1, -1, -1):  # shorter columns last: what they write stays, and nothing is compared
        for row in range(len(begins)):
            begin = begins[row] + (sizes[row, column - 1] if column else 0)
            for code in codes[begin : begins[row] + sizes[row, column]]:
                first[code] = column
    return first


@compiled
def put_numbers(codes, begins, sizes, numbers, out, filled):  # type: ignore[no-untyped-def]
    """Writes each row's list, as the numbers of its codes, to `out` from `filled` on; returns where it ends."""
    for row in range(len(sizes)):
        taken, room = codes[begins[row] : begins[row] + sizes[row]], out[filled : filled + sizes[row]]
        for i in range(len(taken)):
            room[i] = numbers[taken[i]]
        filled += sizes[row]
    return filled


@compiled
def prefixes(codes, begins, sizes, out):  # type: ignore[no-untyped-def]
    """Writes the first `sizes` codes of each row's list to `out`, one list after the other."""
    filled = 0
    for row in range(len(sizes)):
        # Slices first: with indices that start at 0 the compiler copies in vectors.
        taken, room = codes[begins[row] : begins[row] + sizes[row]], out[filled : filled + sizes[row]]
        for i in range(len(taken)):
            room[i] = taken[i]
        filled += sizes[row]


@compiled
def narrowed(numbers, words):  # type: ignore[no-untyped-def]
    """Writes numbers of 24 bits, of which there are a multiple of four, to `words` of 32, low bits first."""
    for i in range(len(numbers) // 4):
        four, room = numbers[4 * i : 4 * i + 4], words[3 * i : 3 * i + 3]
        room[0] = four[0] | four[1] << np.uint32(24)
        room[1] = four[1] >> np.uint32(8) | four[2] << np.uint32(16)
        room[2] = four[2] >> np.uint32(16) | four[3] << np.uint32(8)


@compiled
def widened(words, numbers):  # type: ignore[no-untyped-def]
    """Writes what `narrowed` wrote to `words` to `numbers`."""
    for i in range(len(numbers) // 4):
        three, room = words[3 * i : 3 * i + 3], numbers[4 * i : 4 * i + 4]
        room[0] = three[0] & np.uint32(0xFFFFFF)
        room[1] = three[0] >> np.uint32(24) | (three[1] & np.uint32(0xFFFF)) << np.uint32(8)
        room[2] = three[1] >> np.uint32(16) | (three[2] & np.uint32(0xFF)) << np.uint32(16)
        room[3] = three[2] >> np.uint32(8)


@compiled
def put_run(out, at, count, level):  # type: ignore[no-untyped-def]
    """Writes `count` equal levels as a run to `out`, if there are any; returns where it ends."""
    if count == 0:
        return at
    left = count << 1
    while left > 0x7F:
        out[at] = left & 0x7F | 0x80
        left >>= 7
        at += 1
    out[at], out[at + 1] = left, level
    return at + 2


@compiled
def levels(sizes):  # type: ignore[no-untyped-def]
    """Repetition and definition levels of lists without NULLs in parquet's runs, as two arrays of bytes.

    Repetition is 0 where a row begins; definition is 3 for a value and 1 for an empty list.
    """
    repeated, defined = np.empty(16 * len(sizes) + 16, np.uint8), np.empty(8 * len(sizes) + 8, np.uint8)
    repeated_end = defined_end = begun = alike = 0
    level = 3
    for size in sizes:
        begun += 1
        if size > 1:
            repeated_end = put_run(repeated, repeated_end, begun, 0)
            repeated_end = put_run(repeated, repeated_end, size - 1, 1)
            begun = 0
        if (size > 0) != (level == 3):
            defined_end = put_run(defined, defined_end, alike, level)
            alike, level = 0, 4 - level
        alike += max(size, 1)
    repeated_end = put_run(repeated, repeated_end, begun, 0)
    defined_end = put_run(defined, defined_end, alike, level)
    return repeated[:repeated_end], defined[:defined_end]


def load() -> None:
    """Makes the compiler ready, which takes the first call of anything that is compiled 0.3 s."""
    levels(np.zeros(1, np.int64))
