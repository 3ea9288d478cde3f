"""The enrich stage by brute force, in plain Python with exact fractions, written from SPEC.md section 5 alone.

It shares no code with the package. Vectors are lists of Python floats, which hold every float16, float32 and float64;
a component may be None.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Vector = Sequence[float | None]
FORMATS = {"float16": (11, -24, 16), "float32": (24, -149, 128)}  # bits, and of 2: the least step, what is too much


def rounded(value: Fraction, dtype: str) -> float:
    """The nearest number of a type, ties to even; infinite beyond its range."""
    if not value:
        return 0.0
    bits, least, most = FORMATS[dtype]
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    step = Fraction(2) ** max(exponent - bits + 1, least)
    near = round(size / step) * step
    found = math.inf if near >= Fraction(2) ** most else float(near)
    return -found if value < 0 else found


def converted(value: float, dtype: str) -> float:
    """A component in another type, in one rounding; -0.0, NaN and infinities stay."""
    return rounded(Fraction(value), dtype) if value and math.isfinite(value) else value


def mean(values: Sequence[float]) -> float:
    """The exact mean, rounded to float32; NaN and infinities as in IEEE sums."""
    if any(map(math.isnan, values)) or {math.inf, -math.inf} <= set(values):
        return math.nan
    infinite = [value for value in values if math.isinf(value)]
    return infinite[0] if infinite else rounded(sum(map(Fraction, values), Fraction()) / len(values), "float32")


def last_vectors(pool: Iterable[tuple[int | None, Vector | None]]) -> dict[int, Vector]:
    """The vector of each id: of the last row in the table's order that has both."""
    return {key: vector for key, vector in pool if key is not None and vector is not None}


@dataclass
class Unusable(Exception):
    """Why a day fails: the ids that it uses by the lengths of their vectors, and those with a NULL component."""

    lengths: dict[int, set[int]] = field(default_factory=dict)  # ids by length
    incomplete: set[int] = field(default_factory=set)

    def told_by(self, error: str) -> bool:
        """Whether a message names two ids with their lengths, or one with a NULL component."""
        words = set("".join(letter if letter.isalnum() else " " for letter in error).split())
        named = {length: {key for key in keys if str(key) in words} for length, keys in self.lengths.items()}
        lengths = [length for length, keys in named.items() if keys and str(length) in words]
        incomplete = any(str(key) in words for key in self.incomplete) and "NULL" in error
        return len(lengths) > 1 or incomplete


@dataclass
class Embeddings:
    """The settings: entries as below `embeddings.columns`, and the type."""

    columns: Mapping[str, Mapping[str, Any]]
    dtype: str = "float32"

    def enriched(
        self,
        rows: Sequence[Mapping],
        lists: Mapping[str, Sequence[Sequence[int | None]]],
        vectors: Mapping[int, Vector],
    ) -> list[dict]:
        """The rows of a day's partition with the embedding columns in place. Raises Unusable.

        `lists` has the lists by row of every `mean_of`, `vectors` what `last_vectors` gives.
        """
        used = [
            {
                name: [key for key in self._ids(entry, row, lists, number) if key in vectors]
                for name, entry in self.columns.items()
            }
            for number, row in enumerate(rows)
        ]
        _refuse({key for row in used for keys in row.values() for key in keys}, vectors)
        return [
            self._placed(row, {name: self._value(name, [vectors[key] for key in keys]) for name, keys in ids.items()})
            for row, ids in zip(rows, used, strict=True)
        ]

    def _ids(self, entry: Mapping, row: Mapping, lists: Mapping, number: int) -> Sequence[int | None]:
        if "of" in entry:
            return [row[entry["of"]]]
        found = lists[entry["mean_of"]][number]
        return found[: entry.get("max_items") or len(found)]

    def _value(self, name: str, vectors: Sequence[Vector]) -> list[float] | None:
        if not vectors:
            return None
        if "of" in self.columns[name]:
            return [converted(value, self.dtype) for value in vectors[0]]
        return [converted(mean(values), self.dtype) for values in zip(*vectors, strict=True)]

    def _placed(self, row: Mapping, values: Mapping) -> dict:
        placed = {name: values.get(name, value) for name, value in row.items() if name != "qid"}
        placed |= values
        return {**placed, "qid": row["qid"]} if "qid" in row else placed


def _refuse(used: set[int], vectors: Mapping[int, Vector]) -> None:
    found = Unusable()
    for key in used:
        found.lengths.setdefault(len(vectors[key]), set()).add(key)
        if None in vectors[key]:
            found.incomplete.add(key)
    if found.incomplete or len(found.lengths) > 1:
        raise found


# Comparing


def same(expected: Any, found: Any) -> bool:
    """Equality of bits; one NaN is like another."""
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(same, expected, found))
    if isinstance(expected, float) and isinstance(found, float):
        if math.isnan(expected) or math.isnan(found):
            return math.isnan(expected) and math.isnan(found)
        return expected == found and math.copysign(1, expected) == math.copysign(1, found)
    return type(expected) is type(found) and expected == found


def apart(one: float, other: float) -> float:
    """How many float32 numbers two lie apart; infinite if one is NaN and the other is not."""
    if math.isnan(one) or math.isnan(other):
        return 0 if math.isnan(one) and math.isnan(other) else math.inf
    places = []
    for value in (one, other):
        (bits,) = struct.unpack("<i", struct.pack("<f", value))
        places.append(bits if bits >= 0 else -(bits & 0x7FFFFFFF))
    return abs(places[0] - places[1])


def differences(expected: Sequence[Mapping], found: Sequence[Mapping], limit: int = 3) -> list[str]:
    """What two days disagree on, by row and column; of means it says by how much."""
    if len(expected) != len(found):
        return [f"{len(expected)} rows expected, {len(found)} found"]
    told = []
    for number, (want, got) in enumerate(zip(expected, found, strict=True)):
        if list(want) != list(got):
            return [f"columns {list(want)} expected, {list(got)} found"]
        for name in want:
            if not same(want[name], got[name]):
                told.append(
                    f"row {number} {name}: {want[name]} expected, {got[name]} found{_far(want[name], got[name])}"
                )
    return told[:limit]


def _far(want: Any, got: Any) -> str:
    if not (isinstance(want, list) and isinstance(got, list) and len(want) == len(got)):
        return ""
    return f", {max(map(apart, want, got), default=0)} units in the last place apart"
