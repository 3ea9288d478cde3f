"""Days and ranges of days, in UTC. A range is inclusive and is written as months or as days."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

from msgspec import Struct

from daedalus.base.errors import DaedalusError

Day = dt.date
ONE_DAY = dt.timedelta(days=1)
DAY_US = 86_400_000_000  # microseconds of a day
EPOCH = Day(1970, 1, 1).toordinal()
FIRST_YEAR, LAST_YEAR = 1000, 9000  # of days that a run may be asked for
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH = re.compile(r"(\d{4})-?(\d{2})")
_SPELLINGS = "YYYYMM..YYYYMM, YYYY-MM-DD..YYYY-MM-DD, or one month or day"


class DayRange(Struct, frozen=True):
    """The days from `first` to `last`, both included."""

    first: Day
    last: Day

    def __iter__(self) -> Iterator[Day]:
        return (self.first + dt.timedelta(days=i) for i in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, day: Day) -> bool:
        return self.first <= day <= self.last

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"


def end_of(day: Day) -> int:
    """The end of a day, in microseconds since 1970."""
    return (day.toordinal() - EPOCH + 1) * DAY_US


def parse_day(text: str) -> Day:
    """A day as YYYY-MM-DD. Raises ValueError for other text, and for years that windows could take out of range."""
    day = Day.fromisoformat(text)
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError("year is out of range")
    return day


def is_day(text: str) -> bool:
    """Whether a text is a day that `parse_day` takes, written YYYY-MM-DD."""
    try:
        return bool(_DAY.fullmatch(text) and parse_day(text))
    except ValueError:
        return False


def parse_range(text: str, where: str = "--range") -> DayRange:
    """Reads `202602..202605`, `2026-05-01..2026-05-15`, `2026-05-15` or `202605`."""
    first, dots, last = text.strip().partition("..")
    found = DayRange(_bound(first, text, where)[0], _bound(last if dots else first, text, where)[1])
    if found.last < found.first:
        raise DaedalusError("a range ends before it starts", where=where, found=text, expected="first..last")
    return found


def _bound(part: str, text: str, where: str) -> tuple[Day, Day]:
    """First and last day of the month or day `part`; `text` is the whole range, for errors."""
    try:
        if month := _MONTH.fullmatch(part.strip()):
            first = parse_day(f"{month[1]}-{month[2]}-01")
            return first, (first + dt.timedelta(days=31)).replace(day=1) - ONE_DAY
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", part.strip()):
            day = parse_day(part.strip())
            return day, day
    except ValueError as error:
        raise DaedalusError(f"not a date: {error}", where=where, found=text, expected=_SPELLINGS) from None
    raise DaedalusError("a range that cannot be read", where=where, found=text or "''", expected=_SPELLINGS)


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: object, where: str) -> int:
    """Seconds in a duration such as `7d`, `12h`, `30m`, `45s` or `1w`."""
    match = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", text) if isinstance(text, str) else None
    if not match:
        raise DaedalusError(
            "a duration that cannot be read",
            where=where,
            found=repr(text),
            expected="a whole number above 0 and one of s, m, h, d, w, such as 7d",
        )
    return int(match[1]) * _UNITS[match[2]]
