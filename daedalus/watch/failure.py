"""A failed step as lines: its day and name, then the parts of its error."""

from __future__ import annotations

import re
from collections.abc import Mapping

from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.walk.outcome import Outcome

_LABELS = ("where", "found", "expected", "hint")
_NEXT_PART = re.compile(rf"; (?=(?:{'|'.join(_LABELS)}): )")


def failure_lines(outcome: Outcome) -> list[str]:
    """`failed  2026-05-15 spine` and, indented, what is wrong, where, what was found and expected, and what to do."""
    problem = getattr(outcome, "problem", None)
    parts = _of_problem(problem) if problem else _NEXT_PART.split(outcome.error)
    return [f"failed  {outcome.day or 'all days'} {kind_of(outcome.name)}", *(f"        {part}" for part in parts)]


def _of_problem(problem: Mapping[str, object]) -> list[str]:
    """The parts of a DaedalusError as JSON, a line each."""
    return [str(problem["what"]), *(f"{label}: {problem[label]}" for label in _LABELS if problem.get(label))]
