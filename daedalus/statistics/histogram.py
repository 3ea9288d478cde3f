"""Histograms whose bins fit each other: as wide as a power of two, and beginning at a multiple of their width.

So those of two days can be added up, however different their values are: what is finer is made as coarse as the other.
A histogram is `{"exponent", "first", "counts", "below", "above"}`: bin number i of `counts` holds the values from
(first + i) * 2**exponent up to the next; `below` and `above` are the values beyond the first and the last bin, each at
most a hundredth of all.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BINS = 24  # at most, and one more where they begin between two
_BEYOND = 0.01  # share of values at either end that needs no bin
_LEAST_EXPONENT = -1000


def histogram(values: np.ndarray, upto: np.ndarray, *, whole: bool) -> dict[str, Any] | None:
    """That of ascending finite numbers, of which `upto` are how many there are up to each; None of no number.

    Of `whole` numbers no bin is narrower than 1.
    """
    if not len(values):
        return None
    import numpy as np

    total = int(upto[-1])
    beyond = int(total * _BEYOND)
    low, high = values[upto.searchsorted([beyond + 1, total - beyond])].tolist()
    exponent = max(_exponent(low, high), 0 if whole else _LEAST_EXPONENT)
    exponent += _bin(high, exponent) - _bin(low, exponent) > BINS  # the span was rounded down
    first, last = _bin(low, exponent), _bin(high, exponent)
    edges = [_edge(place, exponent) for place in range(first, last + 2)]
    before = np.concatenate([[0], upto])[values.searchsorted(edges)].tolist()
    counts = [after - until for until, after in pairwise(before)]
    return {"exponent": exponent, "first": first, "counts": counts, "below": before[0], "above": total - before[-1]}


def _exponent(low: float, high: float) -> int:
    """Of the narrowest bins that are not too many; of one value, fine enough to tell it from its neighbours."""
    span = min(high - low, sys.float_info.max)
    if not span:
        return math.frexp(high)[1] - 8
    fraction, exponent = math.frexp(span / BINS)
    return exponent - (fraction == 0.5)


def _edge(place: int, exponent: int) -> float:
    """Where a bin begins."""
    try:
        return math.ldexp(place, exponent)
    except OverflowError:
        return math.copysign(math.inf, place)


def _bin(value: float, exponent: int) -> int:
    scaled = math.ldexp(value, -exponent)
    return math.floor(scaled) if scaled or value >= 0 else -1  # what is too small for a float is not 0


def merged(several: Iterable[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """All of them in one, with bins as wide as the widest, or wider where they would be too many; None of none."""
    known = [one for one in several if one]
    if not known:
        return None
    exponent = max(one["exponent"] for one in known)
    while True:
        first = min(one["first"] >> exponent - one["exponent"] for one in known)
        last = max(one["first"] + len(one["counts"]) - 1 >> exponent - one["exponent"] for one in known)
        if last - first <= BINS:
            break
        exponent += max((last - first).bit_length() - BINS.bit_length(), 1)
    counts = [0] * (last - first + 1)
    for one in known:
        for place, number in enumerate(one["counts"], one["first"]):
            counts[(place >> exponent - one["exponent"]) - first] += number
    below, above = (sum(one[side] for one in known) for side in ("below", "above"))
    return {"exponent": exponent, "first": first, "counts": counts, "below": below, "above": above}


def distance(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> float | None:
    """The share of values that would have to move for the two to be alike, from 0 to 1; None where one is missing."""
    if not one or not other:
        return None
    exponent = max(one["exponent"], other["exponent"])
    shares = [_shares(found, exponent) for found in (one, other)]
    places = {*shares[0], *shares[1]}
    return sum(abs(shares[0].get(at, 0.0) - shares[1].get(at, 0.0)) for at in places) / 2


def _shares(found: Mapping[str, Any], exponent: int) -> dict[int | str, float]:
    total = sum(found["counts"]) + found["below"] + found["above"] or 1
    shares: dict[int | str, float] = {"below": found["below"] / total, "above": found["above"] / total}
    for place, number in enumerate(found["counts"], found["first"]):
        at = place >> (exponent - found["exponent"])
        shares[at] = shares.get(at, 0.0) + number / total
    return shares
