"""The kinds that measure what a row sees, in plain Python and exact numbers; part of reference.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Context
from fractions import Fraction
from typing import Any

Seen = Sequence[tuple[int, Any]]  # (time, value) of what a row sees
_EXACT = Context(prec=60, Emax=10**6, Emin=-(10**6))


class About(float):
    """A number which equals those that are so near as the specification asks."""

    within: Fraction

    def __new__(cls, exact: Fraction | float, within: Fraction) -> About:
        made = super().__new__(cls, _as_float(exact))
        made.within = within
        return made

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bool) or not isinstance(other, int | float):
            return False
        if not (math.isfinite(self) and math.isfinite(other)):
            return float(self) == float(other) or (math.isnan(self) and math.isnan(other))
        return abs(Fraction(float(self)) - Fraction(other)) <= self.within

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = float.__hash__


def _as_float(exact: Fraction | float) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def rank(value: Any) -> tuple:
    """What values compare by: NaN is the greatest, text goes by its bytes."""
    if isinstance(value, float) and math.isnan(value):
        return (1,)
    return (0, value.encode() if isinstance(value, str) else value)


def _one(value: Any) -> Any:
    """The value with one zero."""
    return value + 0.0 if isinstance(value, float) else value


def _sum(seen: Seen) -> object:
    values = [value for _, value in seen]
    return sum(values) if all(isinstance(value, int) for value in values) else _near(values, 1)


def _mean(seen: Seen) -> object:
    return _near([value for _, value in seen], len(seen)) if seen else None


def _near(values: Sequence[Any], parts: int) -> About:
    """The sum of numbers, divided."""
    special = [value for value in values if isinstance(value, float) and not math.isfinite(value)]
    if special:
        return About(sum(special), Fraction())
    exact = [Fraction(value) for value in values]
    return About(sum(exact, Fraction()) / parts, sum(map(abs, exact), Fraction()) / parts / 10**12)


def _std(seen: Seen) -> object:
    values = [value for _, value in seen]
    if len(values) < 2:
        return None
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        return About(math.nan, Fraction())
    exact = [Fraction(value) for value in values]
    mean = sum(exact, Fraction()) / len(exact)
    square = sum(((x - mean) ** 2 for x in exact), Fraction()) / (len(exact) - 1)
    root = _EXACT.sqrt(
        _EXACT.divide(_EXACT.create_decimal(square.numerator), _EXACT.create_decimal(square.denominator))
    )
    return About(Fraction(root), max(map(abs, exact)) / 10**9)


def _in_order(seen: Seen) -> list:
    """The values as `list` has them."""
    return [value for _, value in sorted(seen, key=lambda pair: (-pair[0], rank(pair[1])))]


def _last(seen: Seen) -> object:
    return _in_order(seen)[0] if seen else None


def _first(seen: Seen) -> object:
    return _in_order(seen)[-1] if seen else None


def _min(seen: Seen) -> object:
    return _one(min((value for _, value in seen), key=rank)) if seen else None


def _max(seen: Seen) -> object:
    return _one(max((value for _, value in seen), key=rank)) if seen else None


def _count_distinct(seen: Seen) -> object:
    return len({repr(_one(value)) for _, value in seen})


MEASURES: Mapping[str, Callable[[Seen], object]] = {
    "sum": _sum, "mean": _mean, "std": _std, "min": _min, "max": _max, "last": _last, "first": _first,
    "count_distinct": _count_distinct,
}  # fmt: skip
