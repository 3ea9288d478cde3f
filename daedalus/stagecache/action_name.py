"""The name of an action: its step, the part of the step, and the day or span of days."""

from __future__ import annotations

from functools import cache

from msgspec import Struct

from daedalus.base.days import Day


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
