"""The compiled part of `std`.

Whole numbers of a window that lie within 2^32 of each other are added exactly: n, and the sums s of what they are above
some base and q of its squares, give n q - s s, which is the same of any base, so that it may be that of a window or of
all events. Of other numbers a window is gone over three times: for the largest magnitude, the mean, and the squares of
what differs from it. Numbers are divided by a power of 2 near the largest, so that no square is too large or too small,
and the newest is taken off before they are added: equal numbers have a deviation of 0.

It uses nothing of the project but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import math

import numpy as np

from daedalus.parquet.jit import compiled, inner

_LOW = np.uint64(0xFFFFFFFF)
_WORD, _HALF = np.uint64(32), np.uint64(31)


@inner
def product(one, other):  # type: ignore[no-untyped-def]
    """(the upper, the lower 64 bits) of a product of two uint64."""
    high, low, more, less = one >> _WORD, one & _LOW, other >> _WORD, other & _LOW
    last = low * less
    middle = high * less + (last >> _WORD)
    other_middle = low * more + (middle & _LOW)
    return high * more + (middle >> _WORD) + (other_middle >> _WORD), (other_middle << _WORD) | (last & _LOW)


@inner
def deviation(number, total, highs, lows):  # type: ignore[no-untyped-def]
    """Of so many numbers, the sum of what each is above the base, and those of both words of its square; all uint64."""
    pairs = np.float64(number) * (np.float64(number) - 1.0)
    if highs == 0 and (lows | number) >> _HALF == 0:
        return math.sqrt(np.float64(number * lows - total * total) / pairs)
    high, low = product(number, lows)
    more, less = product(number, highs)  # times 2^32
    high += (more << _WORD) | (less >> _WORD)
    shifted = less << _WORD
    low += shifted
    if low < shifted:
        high += np.uint64(1)
    squared, rest = product(total, total)
    high -= squared
    if low < rest:
        high -= np.uint64(1)
    low -= rest
    return math.sqrt((np.float64(high) * 2.0**64 + np.float64(low)) / pairs)


@inner
def of_doubles(begin, end, owners, own, numbers):  # type: ignore[no-untyped-def]
    """(how many, their deviation) of the numbers from `begin` to `end` but those of `own`; NaN for what has none."""
    number, largest, newest, finite = 0, 0.0, 0.0, True
    for at in range(end - 1, begin - 1, -1):
        if own >= 0 and owners[at] == own:
            continue
        newest = numbers[at] if number == 0 else newest
        largest = max(largest, abs(numbers[at]))
        finite = finite and numbers[at] - numbers[at] == 0
        number += 1
    if number < 2 or not finite:
        return number, math.nan
    unit = math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > 0 else 1.0
    base, total = newest / unit, 0.0
    for at in range(end - 1, begin - 1, -1):
        if own < 0 or owners[at] != own:
            total += numbers[at] / unit - base
    mean, rest, squares = base + total / number, 0.0, 0.0
    for at in range(end - 1, begin - 1, -1):
        if own < 0 or owners[at] != own:
            away = numbers[at] / unit - mean
            rest += away
            squares += away * away
    return number, math.sqrt(max(squares - rest * rest / number, 0.0) / (number - 1)) * unit


@compiled
def from_running(begins, ends, away, counts, found):  # type: ignore[no-untyped-def]
    """The deviations of all that rows see, by row and window; `away` is what events are above their least, below
    2^32."""
    running = np.zeros((len(away) + 1, 3), np.uint64)
    for at in range(len(away)):
        square = away[at] * away[at]
        running[at + 1, 0] = running[at, 0] + away[at]
        running[at + 1, 1] = running[at, 1] + (square >> _WORD)
        running[at + 1, 2] = running[at, 2] + (square & _LOW)
    for row in range(len(ends)):
        newest = running[ends[row]]
        for window in range(begins.shape[1]):
            number, oldest = ends[row] - begins[row, window], running[begins[row, window]]
            counts[row, window] = number
            found[row, window] = math.nan
            if number > 1:
                found[row, window] = deviation(
                    np.uint64(number), newest[0] - oldest[0], newest[1] - oldest[1], newest[2] - oldest[2]
                )


@compiled
def from_whole(begins, ends, owners, own, away, numbers, counts, found):  # type: ignore[no-untyped-def]
    """The same, where rows do not see all events, or `away` may be anything: uint64, and `numbers` the doubles."""
    for row in range(len(ends)):
        for window in range(begins.shape[1]):
            number, least, most = 0, _LOW, _LOW
            for at in range(begins[row, window], ends[row]):
                if own[row] < 0 or owners[at] != own[row]:
                    least = away[at] if number == 0 or away[at] < least else least
                    most = away[at] if number == 0 or away[at] > most else most
                    number += 1
            counts[row, window] = number
            found[row, window] = math.nan
            if number < 2:
                continue
            if most - least > _LOW:
                _, found[row, window] = of_doubles(begins[row, window], ends[row], owners, own[row], numbers)
                continue
            total = highs = lows = np.uint64(0)
            for at in range(begins[row, window], ends[row]):
                if own[row] < 0 or owners[at] != own[row]:
                    above = away[at] - least
                    square = above * above
                    total += above
                    highs += square >> _WORD
                    lows += square & _LOW
            found[row, window] = deviation(np.uint64(number), total, highs, lows)


@compiled
def from_doubles(begins, ends, owners, own, numbers, counts, found):  # type: ignore[no-untyped-def]
    """The same of any numbers."""
    for row in range(len(ends)):
        for window in range(begins.shape[1]):
            counts[row, window], found[row, window] = of_doubles(
                begins[row, window], ends[row], owners, own[row], numbers
            )
