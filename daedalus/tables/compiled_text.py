"""The compiled part of what is done with text: taking it by place; numbers of the values that occur; and texts as
numbers that compare as their bytes do, to be sorted by radix.py.

It uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled, inner, move

_MOST = 1 << 62  # of a number


@inner
def prefix_of(ends, data):  # type: ignore[no-untyped-def]
    """How many bytes all texts begin with, but for empty ones; one less than the shortest has, at most."""
    first = 0
    while first < len(ends) - 2 and ends[first] == ends[first + 1]:
        first += 1
    alike = max(ends[first + 1] - ends[first] - 1, 0)
    for text in range(first + 1, len(ends) - 1):
        most, at = min(alike, ends[text + 1] - ends[text] - 1), 0
        while at < most and data[ends[text] + at] == data[ends[first] + at]:
            at += 1
        alike = at if most >= 0 else alike
        if alike == 0:
            break
    return alike


@compiled
def alphabet(ends, data):  # type: ignore[no-untyped-def]
    """How texts are told as numbers: (how many bytes all of them begin with, which are left out; the numbers from 1 up,
    in their order, of the bytes that occur behind these; one more than the last number, which is the base; how many
    such digits a word holds)."""
    alike, seen = prefix_of(ends, data), np.zeros(256, np.int64)
    if alike == 0:  # all bytes, which lie one behind the other
        for byte in data[ends[0] : ends[-1]]:
            seen[byte] = 1
    else:
        for text in range(len(ends) - 1):
            for at in range(ends[text] + alike, ends[text + 1]):
                seen[data[at]] = 1
    base, many = seen.sum() + 1, 1
    most = base
    while base > 1 and most <= _MOST // base:
        most *= base
        many += 1
    return alike, np.cumsum(seen), base, many


@compiled
def words_of(ends, data, alike, digits, base, many, words):  # type: ignore[no-untyped-def]
    """Fills `words`, by word and text, with texts as numbers that compare as their bytes do, zeros behind the last; see
    `alphabet`. Text i is `data` from `ends[i]` to `ends[i + 1]`."""
    for text in range(len(ends) - 1):
        for word in range(len(words)):
            begin = ends[text] + alike + many * word
            number, last = np.int64(0), max(min(begin + many, ends[text + 1]), begin)
            for at in range(begin, last):
                number = number * base + digits[data[at]]
            for _ in range(last, begin + many):
                number *= base
            words[word, text] = number


@compiled
def take_texts(ends, data, places, longest):  # type: ignore[no-untyped-def]
    """(where the texts at `places` end, one behind the other, from 0 on; their bytes; how many these are).

    Text i ends at `ends[i + 1]`; at a place below 0 there is none. More bytes than `longest` are not copied.
    """
    found, size = np.empty(len(places) + 1, np.int32), 0
    found[0] = 0
    for i in range(len(places)):
        place = places[i]
        if place >= 0:
            size += ends[place + 1] - ends[place]
        found[i + 1] = size
    texts = np.empty(size if size <= longest else 0, np.uint8)
    if size <= longest:
        for i in range(len(places)):
            place = places[i]
            if place >= 0:
                move(texts, found[i], data, ends[place], ends[place + 1] - ends[place])
    return found, texts, size


@compiled
def renumber(numbers, there, offset, new, old, out):  # type: ignore[no-untyped-def]
    """Fills `out` with numbers in the order in which those of `numbers` occur first, and `old` with those by number;
    returns how many there are.

    `there` has a bit per number, from `offset` on: 0 where there is none; or no bits, where there are all. `new` has -1
    for each number that may occur.
    """
    count = 0
    for i in range(len(numbers)):
        if len(there) and not there[(offset + i) >> 3] >> ((offset + i) & 7) & 1:
            out[i] = 0
            continue
        number = numbers[i]
        if new[number] < 0:
            new[number], old[count] = count, number
            count += 1
        out[i] = new[number]
    return count
