"""The compiled part of sorting.

It uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled

WORD = 7  # bytes of a text in a number of 64 bits, which is never negative so
_FAR = 8  # moves of a position: with more, digits are sooner


@compiled
def ordered(word, bits, order):  # type: ignore[no-untyped-def]
    """Sorts `order`, positions in `word`, by their numbers, which have at most so many `bits`; stable.

    A counting sort by 11 bits at a time, from the lowest; a digit that all numbers share costs one look.
    """
    count = len(order)
    numbers, others, places = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    for i in range(count):
        numbers[i] = word[order[i]]
    ends = np.empty(2049, np.int64)
    for shift in range(0, bits, 11):
        ends[:] = 0
        for i in range(count):
            ends[((numbers[i] >> shift) & 2047) + 1] += 1
        if count == 0 or ends[((numbers[0] >> shift) & 2047) + 1] == count:
            continue
        for digit in range(2048):
            ends[digit + 1] += ends[digit]
        for i in range(count):
            digit = (numbers[i] >> shift) & 2047
            at = ends[digit]
            ends[digit] = at + 1
            others[at], places[at] = numbers[i], order[i]
        numbers, others = others, numbers
        order, places = places, order
    return order


@compiled
def mark_new(word, order, new):  # type: ignore[no-untyped-def]
    """Sets `new` where the number of a position differs from that of the one before it in `order`."""
    for i in range(1, len(order)):
        if word[order[i]] != word[order[i - 1]]:
            new[i] = True


@compiled
def moved_back(first, others, order):  # type: ignore[no-untyped-def]
    """Sorts `order`, positions, by their numbers in `first`, and then in each of `others`; stable.

    Moves each position back to its place; where those so far had to move far, it gives up and returns none.
    """
    moves = 0
    for i in range(1, len(order)):
        position, at = order[i], i
        while at > 0:
            before, word = order[at - 1], 0
            if first[before] < first[position]:
                break
            if first[before] == first[position]:
                while word < len(others) - 1 and others[word, before] == others[word, position]:
                    word += 1
                if others[word, before] <= others[word, position]:
                    break
            order[at] = before
            at -= 1
        order[at] = position
        moves += i - at
        if moves > _FAR * (i + _FAR):
            return order[:0]
    return order


@compiled
def words_of(ends, data, words):  # type: ignore[no-untyped-def]
    """Fills `words`, by word and text, with texts as numbers that compare as their bytes do, WORD bytes to a number,
    and in the last row with their lengths. Text i is `data` from `ends[i]` to `ends[i + 1]`; behind it are zeros."""
    last = len(words) - 1
    for text in range(len(ends) - 1):
        end = ends[text + 1]
        for word in range(last):
            number, begin = np.int64(0), ends[text] + WORD * word
            for at in range(begin, begin + WORD):
                number <<= 8
                if at < end:
                    number |= np.int64(data[at])
            words[word, text] = number
        words[last, text] = end - ends[text]
