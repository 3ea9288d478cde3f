"""The compiled part of sorting.

It uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import numpy as np

from daedalus.parquet.jit import compiled


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
