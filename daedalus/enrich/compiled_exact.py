"""The compiled exact means: sums of doubles in long integers, and their quotients rounded once.

For what sums of doubles leave open (compiled_means.py), so it need not be fast. This file uses nothing of the project
but `jit`: numba's disk cache of a function depends on the time stamp of its file alone.
"""

from __future__ import annotations

import math

import numpy as np

from daedalus.parquet.jit import inner

_LOW = 0xFFFFFFFF
_BASE = 1126  # limb 0 of a long number has the unit 2^-1126: the last of 53 bits of the smallest double
_LIMBS = 72
_UNIT = _BASE - 149  # the place of the lowest bit that a float32 can have


@inner
def add_long(limbs, number):  # type: ignore[no-untyped-def]
    """Adds a finite double to a long number, without carrying over; returns the lowest of the three limbs that it
    is added to."""
    fraction, exponent = math.frexp(number)
    whole = np.int64(math.ldexp(fraction, 53))  # the number's 53 bits, with its sign; >> keeps the sign
    place = exponent - 53 + _BASE
    limb, left = place >> 5, place & 31
    low, high = (whole & _LOW) << left, (whole >> 32) << left
    limbs[limb] += low & _LOW
    limbs[limb + 1] += (low >> 32) + (high & _LOW)
    limbs[limb + 2] += high >> 32
    return limb


@inner
def clear(limbs, begin, end):  # type: ignore[no-untyped-def]
    """Makes limbs 0."""
    for i in range(begin, end):
        limbs[i] = 0


@inner
def carry(limbs, begin, end, sign):  # type: ignore[no-untyped-def]
    """Turns limbs from `begin` to `end` into 32 bits each, of the number times `sign`; returns what is left over."""
    over = np.int64(0)
    for i in range(begin, end):
        over += sign * limbs[i]
        limbs[i] = over & _LOW
        over >>= 32
    return over


@inner
def rounded_quotient(limbs, begin, end, count):  # type: ignore[no-untyped-def]
    """The float32 nearest to a positive long number divided by `count`; the limbs become the quotient's."""
    over = np.int64(0)
    for i in range(end - 1, begin - 1, -1):
        over = over << 32 | limbs[i]
        limbs[i] = over // count
        over %= count
    top = end - 1
    while top > begin and limbs[top] == 0:
        top -= 1
    bits = 0
    while limbs[top] >> bits:
        bits += 1
    unit = max(32 * top + bits - 24, _UNIT)  # the place of the result's lowest bit
    limb = unit >> 5
    result = (limbs[limb] | limbs[limb + 1] << 32) >> (unit & 31)
    limb, left = (unit - 1) >> 5, (unit - 1) & 31
    half = limbs[limb] >> left & 1
    more = over | limbs[limb] & ((1 << left) - 1)
    for i in range(begin, limb):
        more |= limbs[i]
    if half and (more or result & 1):
        result += 1
    return np.float32(math.ldexp(np.float64(result), unit - _BASE))


@inner
def exact_mean(numbers, limbs):  # type: ignore[no-untyped-def]
    """The correctly rounded mean of doubles, by a sum in a long number; `limbs` are 0 before and after.

    The number is the sum of limb[i] * 2^(32 i - _BASE). NaN is the quiet one without a sign.
    """
    above, below, begin, end = False, False, _LIMBS, 0
    for number in numbers:
        above |= not number < math.inf  # so is NaN
        below |= not number > -math.inf
        if not above and not below:
            limb = add_long(limbs, number)
            begin, end = min(begin, limb), max(end, limb + 5)  # and two limbs for what is carried over
    if above or below:
        clear(limbs, 0, _LIMBS)
        return np.float32(math.nan) if above and below else np.float32(math.inf if above else -math.inf)
    sign = -1 if carry(limbs, begin, end, 1) < 0 else 1
    if sign < 0:
        carry(limbs, begin, end, -1)
    top = end - 1
    while top >= begin and limbs[top] == 0:
        top -= 1
    if top < begin:
        return np.float32(0.0)
    begin = max(min(begin, top - 3), 0)  # of the quotient 26 bits are needed, and it has at most 31 fewer
    mean = rounded_quotient(limbs, begin, top + 1, len(numbers))
    clear(limbs, begin, top + 1)
    return np.float32(sign * mean)


@inner
def settle(vectors, codes, begins, sizes, origins, values):  # type: ignore[no-untyped-def]
    """Replaces what is NaN by exact means, in the values that have an origin: a row whose mean they are."""
    limbs, numbers = np.zeros(_LIMBS, np.int64), np.empty(sizes.max())
    for made in range(len(values)):
        row = origins[made]
        for d in range(values.shape[1] if row >= 0 else 0):
            if not math.isnan(values[made, d]):
                continue
            count = 0
            for code in codes[begins[row] : begins[row] + sizes[row]]:
                if code >= 0:
                    numbers[count] = vectors[code, d]
                    count += 1
            values[made, d] = exact_mean(numbers[:count], limbs)
