"""The compiled kernel of means: correctly rounded means of lists of vectors, with sums moved from row to row.

A mean is the float32 nearest to the exact arithmetic mean (ties to even). So it depends neither on the order of the
list's items nor on that of the rows, and a row's sum may be made from its neighbour's: what only the new list has is
added, what only the old one had is taken off. For that, sums must be exact whatever their order: components are first
rounded to multiples of a power of two, so coarse that no sum needs more than the 53 bits of a double (`prepared`).
That loses nothing of usual float32 components, and little of others. Where the loss, or the division, leaves it open
to which float32 the mean is rounded, an exact sum of the components themselves decides (compiled_exact.py); so it does
for numbers that are *wild*, not finite or far beyond all others, which are left out of the sums of doubles.

No compiled function here calls one of another file: numba's disk cache of a function depends on the time stamp of its
file alone. Loops over components have arrays of one dimension, so that the compiler vectorises them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from daedalus.enrich.compiled_exact import settle
from daedalus.parquet.jit import compiled, inner

NO_VECTOR, NOT_USABLE = -1, -2  # codes of items without a vector, and with one that has no mean
_LARGEST, _SMALLEST = 2.0**200, 2.0**-1000  # of the sizes from which on components are wild
_FINEST = -900  # of the powers of two that sums are multiples of: margins stay normal doubles


@compiled
def occurring(codes, begins, sizes, kinds):  # type: ignore[no-untyped-def]
    """Whether each of `kinds` codes occurs in the rows' lists."""
    found = np.zeros(kinds, np.bool_)
    for row in range(len(sizes)):
        for code in codes[begins[row] : begins[row] + sizes[row]]:
            found[code] = True
    return found


@inner
def same(some, other):  # type: ignore[no-untyped-def]
    """Whether two arrays have the same length and items."""
    if len(some) != len(other):
        return False
    for i in range(len(some)):  # noqa: SIM110 (no all() in compiled code)
        if some[i] != other[i]:
            return False
    return True


@compiled
def differing(values, numbers):  # type: ignore[no-untyped-def]
    """By place in `numbers`, which are those of values, whether a value is not the one before it, bit by bit."""
    found = np.ones(len(numbers), np.bool_)
    for i in range(1, len(numbers)):
        one, other = numbers[i - 1], numbers[i]
        found[i] = one != other and not same(values[one], values[other])
    return found


@inner
def raise_to(top, vector, limit):  # type: ignore[no-untyped-def]
    """Raises `top` to the magnitudes of the components that are not wild."""
    for d in range(len(top)):
        size = abs(np.float64(vector[d]))
        top[d] = size if (size < limit) & (size > top[d]) else top[d]


@compiled
def largest(vectors, top, limit):  # type: ignore[no-untyped-def]
    """Raises `top` to the largest magnitude of each component that is not wild."""
    for i in range(len(vectors)):
        raise_to(top, vectors[i], limit)


@inner
def round_to(shift, vector, rounded, lost, limit):  # type: ignore[no-untyped-def]
    """Writes components as multiples of a power of two, the wild ones as 0; returns how many are wild.

    `shift` is 1.5 * 2^52 times that power: a sum with it has no finer bits. `lost` becomes 1 where a number changes.
    """
    wild = 0
    for d in range(len(shift)):
        number = np.float64(vector[d])
        tame = abs(number) < limit
        kept = (number + shift[d]) - shift[d]
        rounded[d] = kept if tame else 0.0
        lost[d] |= (kept != number) & tame
        wild += not tame
    return wild


@compiled
def round_all(vectors, shift, rounded, lost, limit, wild):  # type: ignore[no-untyped-def]
    """Does so for all vectors, and marks those that have `wild` components."""
    for i in range(len(vectors)):
        wild[i] = round_to(shift, vectors[i], rounded[i], lost, limit) > 0


def wild_from(vectors: np.ndarray) -> float:
    """The size from which on components are wild: 64 times what 99 of 100 vectors stay below.

    Few vectors that are out of all proportion would else make the sums of all others too coarse.
    """
    sizes = np.maximum(vectors.max(axis=1, initial=0), -vectors.min(axis=1, initial=0)).astype(np.float64)
    sizes = np.sort(np.nan_to_num(sizes, nan=np.inf))
    usual = sizes[(len(sizes) - 1) * 99 // 100] if len(sizes) else 0.0
    return min(max(64 * float(usual), _SMALLEST), _LARGEST)


class Prepared(NamedTuple):
    """Vectors of which means are made, (n, components), and the same in multiples of powers of two, by component.

    `error` is that of a mean which follows from the multiples, at most; `wild` says which vectors have wild
    components, `limit` from which size on components are. Lists may have `most` items.
    """

    vectors: np.ndarray
    rounded: np.ndarray
    error: np.ndarray
    wild: np.ndarray
    limit: float
    most: int


def prepared(vectors: np.ndarray, longest: int) -> Prepared:
    """Prepares vectors of float16, float32 or float64 for lists of up to `longest` items, and some more.

    While a sum moves from one list to another it has at most the items of both; so many numbers below 2^k in multiples
    of 2^q, 2^(53 + q) being the sum's limit, are summed exactly. Rounded numbers need no more bits than those that they
    come from, so they have the same type.
    """
    kind = np.float64 if vectors.dtype == np.float64 else np.float32
    # Of one kind each: for arrays that are read-only, or have steps, the kernel would be compiled once more.
    vectors = np.require(vectors, kind, ["C", "W"])
    count, dim = vectors.shape
    top, lost, wild, limit = np.zeros(dim), np.zeros(dim, np.bool_), np.zeros(count, np.bool_), wild_from(vectors)
    largest(vectors, top, limit)
    bits = max((2 * longest - 1).bit_length(), 2)  # so that sums with `shift` stay in its binade
    shift = np.ldexp(1.5, np.maximum(np.frexp(top)[1] + bits - 53, _FINEST) + 52)
    rounded = np.empty_like(vectors)
    round_all(vectors, shift, rounded, lost, limit, wild)
    # Half of the power of two; the 1.5 is room for what `is_open` rounds.
    return Prepared(vectors, rounded, np.where(lost, shift * 2.0**-53, 0.0), wild, limit, 1 << bits - 1)


@inner
def tally(items, step, counts):  # type: ignore[no-untyped-def]
    """Adds `step` to the count of each item that has a vector."""
    for code in items:
        if code >= 0:
            counts[code] += step


@inner
def add_times(total, vector, times):  # type: ignore[no-untyped-def]
    """Adds a vector to the sums, `times` times."""
    for d in range(len(total)):
        total[d] += times * np.float64(vector[d])


@inner
def add_counted(total, rounded, items, counts):  # type: ignore[no-untyped-def]
    """Adds each item's vector as often as its count says, and clears the count."""
    for code in items:
        if code >= 0 and counts[code]:
            add_times(total, rounded[code], np.float64(counts[code]))
            counts[code] = 0


@inner
def move(total, rounded, held, items, counts):  # type: ignore[no-untyped-def]
    """Turns the sums of the list `held` into those of `items`; returns False if they have the same vectors.

    `counts`, by code, are 0 before and after.
    """
    tally(items, 1, counts)
    tally(held, -1, counts)
    changes = 0
    for some in (items, held):
        for code in some:
            changes += code >= 0 and counts[code] != 0
    if changes > len(items):  # to sum anew is less work
        for d in range(len(total)):
            total[d] = 0.0
        for code in held:
            counts[max(code, 0)] = 0
        for code in items:
            counts[max(code, 0)] = 0
        tally(items, 1, counts)
    add_counted(total, rounded, items, counts)
    add_counted(total, rounded, held, counts)
    return changes > 0


@inner
def is_open(total, count, error):  # type: ignore[no-untyped-def]
    """Whether it is not certain that a mean is rounded as total / count is.

    The exact mean is within `margin` of the quotient: `error`, and the rounding of the quotient and of these lines. If
    both ends are rounded to one float32, so is the mean; but a tiny one may be +0.0 or -0.0. Without an `error` the
    total is exact, and its quotient, rounded to a double first, would mislead only if that lay half way between two
    floats, and the exact one beside it. It cannot be so near: half way has 25 bits, so its product with the count
    has no more bits than a double, differs from the total by a bit of the total's at least, and that by the count
    is more than half a bit of the quotient.
    """
    mean = total / count
    margin = abs(mean) * 2.0**-51 + error
    low, high = np.float32(mean - margin), np.float32(mean + margin)
    return (error > 0.0) & ((low != high) | (low == 0.0))


@inner
def finish(total, count, error, out):  # type: ignore[no-untyped-def]
    """Writes the means as float32, and NaN where one is open; returns how many are."""
    still = 0
    for d in range(len(total)):
        unsure = is_open(total[d], count, error[d])
        out[d] = np.float32(math.nan) if unsure else np.float32(total[d] / count)
        still += unsure
    return still


@inner
def looked_at(items, wild):  # type: ignore[no-untyped-def]
    """(how many items have a vector; whether any of those is wild; the place of the first not usable one, or -1)."""
    count, any_wild = 0, False
    for i in range(len(items)):
        if items[i] == NOT_USABLE:
            return 0, False, i
        if items[i] >= 0:
            count += 1
            any_wild |= wild[items[i]]
    return count, any_wild, -1


@inner
def open_wild(vectors, items, wild, limit, out):  # type: ignore[no-untyped-def]
    """Writes NaN where an item's component is wild."""
    for code in items:
        if code >= 0 and wild[code]:
            for d in range(len(out)):
                if not abs(vectors[code, d]) < limit:
                    out[d] = math.nan


@compiled
def sums_moved(vectors, ready, codes, begins, sizes, index, refused, values, origins):  # type: ignore[no-untyped-def]
    """Fills in what `means` returns, and returns how many means there are; `ready` is of `Prepared`: the
    rounded vectors, the error, which are wild, and from which size on components are.

    Open components are NaN, and `origins` are by mean its row if it has such components, else -1.
    """
    rounded, error, wild, limit = ready
    total, counts = np.zeros(len(error)), np.zeros(len(rounded), np.int32)
    held, made = codes[:0], 0
    for row in range(len(sizes)):
        items = codes[begins[row] : begins[row] + sizes[row]]
        if made and same(items, held):
            index[row] = made - 1
            continue
        count, any_wild, bad = looked_at(items, wild)
        if bad >= 0:
            refused[row] = begins[row] + bad
        if not count:
            continue
        if move(total, rounded, held, items, counts):
            still = finish(total, np.float64(count), error, values[made])
            if any_wild:
                open_wild(vectors, items, wild, limit, values[made])
            origins[made] = row if any_wild or still else -1
            made += 1
        held, index[row] = items, made - 1
    return made


def means(
    ready: Prepared, codes: np.ndarray, begins: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The means of lists of vectors.

    A row's list has `sizes` items from `begins` on in `codes`: numbers of vectors, NO_VECTOR or NOT_USABLE. Lists have
    less than 2^28 items, and as many as `ready` says. Returns (by row the number of its mean, or -1, int32; the means,
    float32; by row where in `codes` its first item that is not usable is, or -1, int64). A list without vectors has no
    mean, nor has one with an item that is not usable. A row with the same vectors as the last row before it that has a
    mean has that one.
    """
    if int(sizes.max(initial=0)) > ready.most:
        raise ValueError(f"lists of up to {sizes.max()} items, where {ready.most} are prepared for")
    codes = np.require(codes, np.int32, ["C", "W"])  # of one kind each, as vectors are
    begins, sizes = np.require(begins, np.int64, ["C", "W"]), np.require(sizes, np.int64, ["C", "W"])
    index, refused = np.full(len(sizes), -1, np.int32), np.full(len(sizes), -1, np.int64)
    values = np.empty((len(sizes), ready.vectors.shape[1]), np.float32)  # pages not written take no memory
    origins = np.empty(len(sizes), np.int64)
    vectors, kept = ready.vectors, (ready.rounded, ready.error, ready.wild, ready.limit)
    made = sums_moved(vectors, kept, codes, begins, sizes, index, refused, values, origins)
    if (origins[:made] >= 0).any():
        settle(vectors, codes, begins, sizes, origins, values[:made])
    return index, values[:made], refused
