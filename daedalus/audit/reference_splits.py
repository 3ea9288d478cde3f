"""Which part of the splits a row is in, in plain Python: written a second time, from docs/training.md alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from hashlib import sha256
from typing import Any

_BITS = (1 << 64) - 1


class ReferenceSplits:
    """`splits` of runtime.yaml, as a mapping of plain values."""

    def __init__(self, splits: Mapping[str, Any]) -> None:
        self.by, self._salt = splits["by"], str(splits.get("salt", ""))
        self._parts = {name: self._long(part) for name, part in splits["parts"].items()}

    def _long(self, part: Any) -> dict:
        if isinstance(part, dict):
            return part
        return {"days": part} if self.by == "day" or isinstance(part, str) else {"share": part}

    def part(self, one: int | str | None, day: date) -> str | None:
        """The part of a row of a day whose user or session is `one`; None if it is in no part."""
        if one is None and self.by != "day":
            return None
        drawn = Fraction(0) if self.by == "day" else Fraction(self._hash(one) >> 11, 1 << 53)
        for name, part in self._parts.items():
            share = part.get("share")
            drawn -= Fraction(0) if share is None else Fraction(repr(share))
            if self.by == "day":
                if _is_among(day, part["days"]):
                    return name
            elif drawn < 0:
                return name if part.get("days") is None or _is_among(day, part["days"]) else None
        return None

    def _hash(self, one: int | str | None) -> int:
        data = one.encode("utf-8") if isinstance(one, str) else int(one or 0).to_bytes(8, "little", signed=True)
        found = int.from_bytes(sha256(self._salt.encode("utf-8")).digest()[:8], "little")
        words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]
        for word in [*words, len(data)]:
            found ^= word
            found = ((found ^ (found >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
            found = ((found ^ (found >> 27)) * 0x94D049BB133111EB) & _BITS
            found ^= found >> 31
        return found


def _is_among(day: date, days: str | int) -> bool:
    """Whether a range has a day; its ends are months, as YYYYMM or YYYY-MM, or days, and are compared as text."""
    first, _, last = str(days).partition("..")
    ends = [end.strip() if "-" in end else f"{end.strip()[:4]}-{end.strip()[4:]}" for end in (first, last or first)]
    text = str(day)
    return ends[0] <= text[: len(ends[0])] and text[: len(ends[1])] <= ends[1]
