"""Readings of somebody's files, and the questions to ask where two of them are equally likely."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Ask = Callable[[str, Sequence[str]], int]  # (question, answers) -> the place of one
SURE, LIKELY, GUESSED = "sure", "likely", "a guess"
_NEAR = 5  # points between readings that are equally likely


@dataclass(frozen=True)
class Reading:
    """What something may be: how likely, in points, and by what (`its name`, `its values`)."""

    value: str
    points: float
    by: str


@dataclass(frozen=True)
class Guess:
    """A value of the configuration that was found by looking."""

    file: str
    key: str
    value: str
    by: str
    sure: str


def first(question: str, answers: Sequence[str]) -> int:
    """Asks nobody."""
    return 0


def chosen(readings: Sequence[Reading], question: str, ask: Ask) -> tuple[Reading, str, list[str]] | None:
    """(the likeliest reading, how sure it is, what is equally likely); asks where that is another. None of none."""
    ranked = sorted(readings, key=lambda reading: -reading.points)
    if not ranked:
        return None
    near = [reading for reading in ranked if ranked[0].points - reading.points < _NEAR]
    if len(near) == 1:
        return ranked[0], SURE if ranked[0].points >= 50 else LIKELY if ranked[0].points >= 25 else GUESSED, []
    place = ask(question, [f"{reading.value} ({reading.by})" for reading in near])
    rest = [reading.value for reading in near if reading is not near[place]]
    return (near[place], GUESSED, rest) if ask is first else (near[place], SURE, [])
