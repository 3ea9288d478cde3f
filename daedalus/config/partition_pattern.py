"""How the feed's folders are named after days: strftime patterns, a level of folders each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct

from daedalus.base.days import FIRST_YEAR, LAST_YEAR, Day

DEFAULT = "dt=%Y-%m-%d"
_DIGITS = {"%Y": "[0-9]{4}", "%m": "[0-9]{2}", "%d": "[0-9]{2}", "%H": "[0-9]{2}"}
_DAY = ("%Y", "%m", "%d")
_WHOLE = {"Y", "m", "d"}
_TOKEN = re.compile("%.?|[^%]+", re.DOTALL)


class PartitionPattern(Struct, frozen=True, dict=True):
    """`year=%Y/month=%m/day=%d`: %Y, %m and %d once each, and %H in a level of its own below the day's, or not at all.

    A level that is one number alone takes it with and without leading zeros: month=2 like month=02.
    """

    text: str = DEFAULT

    @property
    def levels(self) -> list[str]:
        return self.text.split("/")

    @property
    def shown(self) -> str:
        """The pattern as a person reads it."""
        words = {"%Y": "YYYY", "%m": "MM", "%d": "DD", "%H": "HH"}
        return re.sub("%[YmdH]", lambda match: words[match[0]], self.text)

    @property
    def wild(self) -> list[str]:
        """The levels as patterns of names, with `*` for numbers."""
        return [re.sub("(%[YmdH][^%]*?)*%[YmdH]", "*", level) for level in self.levels]

    @cached_property
    def _parts(self) -> list[re.Pattern]:
        return [re.compile(self._of_level(level)) for level in self.levels]

    def _of_level(self, level: str) -> str:
        tokens = _TOKEN.findall(level)
        alone = sum(token in _DIGITS for token in tokens) == 1

        def part(token: str) -> str:
            if token not in _DIGITS:
                return re.escape(token)
            digits = "0*[0-9]{1,2}" if alone and token != "%Y" else _DIGITS[token]
            return f"(?P<{token[1]}>{digits})"

        return "".join(map(part, tokens))

    def fits(self, names: list[str]) -> dict[str, int] | None:
        """The numbers in the names of folders, from the outermost on, by their letters; None if one does not fit."""
        found: dict[str, int] = {}
        for name, part in zip(names, self._parts, strict=False):
            match = part.fullmatch(name)
            if match is None:
                return None
            found |= {letter: int(number) for letter, number in match.groupdict().items()}
        good = 1 <= found.get("m", 1) <= 12 and 1 <= found.get("d", 1) <= 31 and found.get("H", 0) <= 23
        if not good or not FIRST_YEAR <= found.get("Y", FIRST_YEAR) <= LAST_YEAR:
            return None
        return None if found.keys() >= _WHOLE and day_of(found) is None else found

    def day(self, names: list[str]) -> Day | None:
        """The day of folders; None if their names do not fit, or not yet say it."""
        found = self.fits(names)
        return day_of(found) if found else None

    def folder_of(self, day: Day) -> str:
        """The folder of a day, as the pattern writes it."""
        levels = [level for level in self.levels if "%H" not in level]
        numbers = {"%Y": f"{day.year:04}", "%m": f"{day.month:02}", "%d": f"{day.day:02}"}
        return re.sub("%[Ymd]", lambda match: numbers[match[0]], "/".join(levels))

    def problem(self) -> str:
        """Why it is no pattern of days; "" if it is one."""
        tokens = _TOKEN.findall(self.text)
        for token in (token for token in tokens if token.startswith("%")):
            if token not in _DIGITS:
                return f"{token} is not one of {', '.join(_DIGITS)}"
            if tokens.count(token) > 1:
                return f"{token} appears more than once"
        if missing := [token for token in _DAY if token not in tokens]:
            return f"{' and '.join(missing)} is missing"
        if bad := [level for level in self.levels if not level or level.startswith(("_", "."))]:
            return f"{bad[0]!r} is not the name of a folder"
        with_hour = [level for level in self.levels if "%H" in level]
        if with_hour and (with_hour != self.levels[-1:] or re.search("%[Ymd]", with_hour[0])):
            return "%H must be a level of its own, below that of the day"
        if plain := [level for level in self.levels if "%" not in level]:
            return f"{plain[0]} has no %Y, %m or %d: it belongs into feed.path"
        return ""


def day_of(found: Mapping[str, int]) -> Day | None:
    """The day that numbers by their letters, as `fits` gives them, say; None if they say none, or not yet."""
    try:
        return Day(found["Y"], found["m"], found["d"])
    except (KeyError, ValueError):
        return None
