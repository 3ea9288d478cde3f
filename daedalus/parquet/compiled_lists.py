"""The compiled part of the list writer: fills pages with numbers and levels, ready to be compressed.

Formats: parquet-format's Encodings.md and its README on nested columns. This file uses nothing of the project but
`jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled, inner, move


@compiled
def first_columns(codes, begins, sizes, kinds):  # type: ignore[no-untyped-def]
    """For each of `kinds` codes the first column whose lists have it, or the number of columns; see `Lists`."""
    columns = sizes.shape[1]
    first = np.full(kinds, columns, np.int16)
    for column in range(columns - 1, -1, -1):  # earlier columns overwrite later ones, so nothing need be compared
        for row in range(len(begins)):
            begin = begins[row] + (sizes[row, column - 1] if column else 0)
            for i in range(begin, begins[row] + sizes[row, column]):
                first[codes[i]] = column
    return first


@compiled
def put_numbers(codes, begins, sizes, numbers, out, filled):  # type: ignore[no-untyped-def]
    """Writes each row's list, with codes replaced by their `numbers`, to `out` from `filled` on; returns the end."""
    for row in range(len(sizes)):
        taken, room = codes[begins[row] : begins[row] + sizes[row]], out[filled : filled + sizes[row]]
        for i in range(len(taken)):
            room[i] = numbers[taken[i]]
        filled += sizes[row]
    return filled


@compiled
def number_lists(first, ascending, codes, begins, sizes):  # type: ignore[no-untyped-def]
    """(the codes of the values that lists have, by their new numbers; all lists in these numbers); see `numbered`.

    `first` are the `first_columns` of at most 65,536 values, and `ascending` are their codes in the order of values.
    """
    columns, used, numbers = sizes.shape[1], np.empty(len(first), np.int64), np.empty(len(first), np.uint16)
    count = 0
    for column in range(columns):
        for value in ascending:
            if first[value] == column:
                used[count], numbers[value] = value, count
                count += 1
    found, filled = np.empty(sizes[:, columns - 1].sum(), np.uint16), 0
    for row in range(len(sizes)):
        for i in range(begins[row], begins[row] + sizes[row, columns - 1]):
            found[filled] = numbers[codes[i]]
            filled += 1
    return used[:count], found


@compiled
def prefixes(codes, begins, sizes, out):  # type: ignore[no-untyped-def]
    """Writes the first `sizes` codes of each row's list to `out`, concatenated."""
    filled = 0
    for row in range(len(sizes)):
        move(out, filled, codes, begins[row], sizes[row])
        filled += sizes[row]


@inner
def narrowed(numbers, words):  # type: ignore[no-untyped-def]
    """Packs numbers of 24 bits, a multiple of four, into 32-bit `words`, low bits first: 4 numbers in 3 words. Both may
    begin at the same place in memory."""
    for i in range(len(numbers) // 4):
        first, second, third, fourth = numbers[4 * i], numbers[4 * i + 1], numbers[4 * i + 2], numbers[4 * i + 3]
        words[3 * i] = first | second << np.uint32(24)
        words[3 * i + 1] = second >> np.uint32(8) | third << np.uint32(16)
        words[3 * i + 2] = third >> np.uint32(16) | fourth << np.uint32(8)


@compiled
def widened(words, numbers):  # type: ignore[no-untyped-def]
    """Unpacks `words` that `narrowed` packed into `numbers`."""
    for i in range(len(numbers) // 4):
        three, room = words[3 * i : 3 * i + 3], numbers[4 * i : 4 * i + 4]
        room[0] = three[0] & np.uint32(0xFFFFFF)
        room[1] = three[0] >> np.uint32(24) | (three[1] & np.uint32(0xFFFF)) << np.uint32(8)
        room[2] = three[1] >> np.uint32(16) | (three[2] & np.uint32(0xFF)) << np.uint32(16)
        room[3] = three[2] >> np.uint32(8)


@inner
def put_run(out, at, count, level):  # type: ignore[no-untyped-def]
    """Writes a run of `count` equal levels to `out`, if there are any; returns the end.

    A run is a varint, the count shifted left by 1 (bit 0 is 0 for a run), then the level in one byte.
    """
    if count == 0:
        return at
    left = count << 1
    while left > 0x7F:
        out[at] = left & 0x7F | 0x80
        left >>= 7
        at += 1
    out[at], out[at + 1] = left, level
    return at + 2


@inner
def put_length(out, at, length):  # type: ignore[no-untyped-def]
    """Writes a length in 4 bytes."""
    for i in range(4):
        out[at + i] = length >> 8 * i & 0xFF


@compiled
def put_levels(sizes, out, begin):  # type: ignore[no-untyped-def]
    """Writes the repetition and the definition levels of lists of so many values to `out`, in parquet's runs, each
    behind its length in 4 bytes; returns (the end, the number of entries). A NULL for a list has the size -1.

    Repetition is 0 for a row's first entry, else 1; definition is 3 for a value, 1 for an empty list and 0 for a NULL.
    """
    at, begun = begin + 4, 0  # `begun`: zeros of repetition not written yet
    for size in sizes:
        begun += 1
        if size > 1:
            at = put_run(out, put_run(out, at, begun, 0), size - 1, 1)
            begun = 0
    at = put_run(out, at, begun, 0)
    put_length(out, begin, at - begin - 4)
    begin, at = at, at + 4
    level, alike, entries = 3, 0, 0  # of definition, of the last `alike` entries, which are not written yet
    for size in sizes:
        own = 3 if size > 0 else 1 + size
        if own != level:
            at = put_run(out, at, alike, level)
            entries, alike, level = entries + alike, 0, own
        alike += max(size, 1)  # an empty list has an entry, without a value; so has a NULL
    at = put_run(out, at, alike, level)
    put_length(out, begin, at - begin - 4)
    return at, entries + alike


@compiled
def page_room(rows, values):  # type: ignore[no-untyped-def]
    """Bytes that a page of so many lists and values may take; see `put_levels` and `fill_page`.

    A row has at most two runs of repetition and one of definition, each of up to 8 bytes.
    """
    return 24 * rows + 64 + (values + 8) * 4


@compiled
def fill_page(codes, begins, sizes, values, bits, most, out):  # type: ignore[no-untyped-def]
    """Writes a page to `out`: the levels, the width in bits, and the numbers in one run of packed bits.

    `values` are the sum of `sizes`. Returns (where the page begins, where it ends, one more than the largest number
    if `most` asks for it, else 0, the number of entries); it begins where the numbers are aligned in memory.
    """
    eights = (values + 7) // 8  # a run of packed bits has a multiple of 8 numbers
    run, width = eights << 1 | 1, 1  # the lowest bit says that the bits are packed
    while run >> 7 * width:
        width += 1
    begin = codes.itemsize - 1
    at, entries = put_levels(sizes, out, begin)
    odd = (at + 1 + width) % codes.itemsize
    move(out, begin - odd, out, begin, at - begin)
    begin, at = begin - odd, at - odd
    out[at] = bits
    for i in range(width):
        out[at + 1 + i] = run >> 7 * i & 0x7F | (0x80 if i < width - 1 else 0)
    at += 1 + width
    numbers = out[at : at + 8 * eights * codes.itemsize].view(codes.dtype)
    prefixes(codes, begins, sizes, numbers)
    numbers[values:] = 0
    needed = np.int64(numbers[:values].max()) + 1 if most and values else np.int64(0)
    if bits == 24:  # numbers of 32 bits, which are packed where they are
        narrowed(numbers, numbers)
    return begin, at + eights * bits, needed, entries


def load() -> None:
    """Loads the compiler and its cache by a small call: the first call of any compiled function takes 0.1 s longer."""
    page_room(0, 0)
