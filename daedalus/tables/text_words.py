"""The compiled part of ranking texts: each as numbers that compare as its bytes do, to be sorted by radix.py.

It uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled, inner

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
