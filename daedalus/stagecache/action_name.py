"""The name of an action: its step, the part of the step, and the day or span of days."""

from __future__ import annotations

from functools import cache

from msgspec import Struct

from daedalus.base.days import ONE_DAY, Day

_ISO = len("YYYY-MM-DD")


class ActionName(Struct, frozen=True):
    """The fields of `step:part@day` or `step:part@span`. Names that differ give different strings."""

    step: str
    part: str = ""
    day: Day | None = None
    span: str = ""  # of more than one day; `day` is its last

    def __str__(self) -> str:
        at = self.span or self.day
        return f"{_kind(self.step, self.part)}@{at}" if at else _kind(self.step, self.part)


@cache
def _kind(step: str, part: str) -> str:
    return f"{step}:{escaped(part, '@')}" if part else step


def escaped(text: str, separators: str) -> str:
    """The text with `separators` and `%` percent-encoded. Texts that differ give different results."""
    if not any(c in text for c in (*separators, "%")):
        return text
    return "".join(f"%{ord(c):02X}" if c in separators or c == "%" else c for c in text)


def kind_of(name: str) -> str:
    """The step and part of a name, without the day: `rolling:likes` of `rolling:likes@2026-05-15`."""
    return name.partition("@")[0]


def step_of(name: str) -> str:
    """The step of a name: `rolling` of `rolling:likes@2026-05-15`."""
    return kind_of(name).partition(":")[0]


def day_of(name: str) -> str:
    """The day or span of a name, "" for none: `2026-05-15` of `rolling:likes@2026-05-15`."""
    return name.partition("@")[2]


def gathered(first: Day, days: int) -> str:
    """The span of days whose artifact is put together from those of fewer."""
    return f"{first}+{days}d"


def at_once(first: Day, days: int) -> str:
    """The span of days that are read at once."""
    return f"{first}..{first + (days - 1) * ONE_DAY}"


def days_of(at: str) -> tuple[Day, int]:
    """(the first day, how many days) of a name's day or span."""
    first = Day.fromisoformat(at[:_ISO])
    if at[_ISO : _ISO + 2] == "..":
        return first, (Day.fromisoformat(at[_ISO + 2 :]) - first).days + 1
    return first, int(at[_ISO + 1 : -1] or 1)
