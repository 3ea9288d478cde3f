"""A failed step as lines: its day and name, then the parts of its error."""

from __future__ import annotations

from daedalus.base.errors import problem_lines
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.walk.outcome import Outcome


def failure_lines(outcome: Outcome) -> list[str]:
    """`failed  2026-05-15 spine` and, indented, what is wrong, where, what was found and expected, and what to do."""
    head = f"failed  {outcome.day or 'all days'} {kind_of(outcome.name)}"
    return [head, *problem_lines(outcome.problem, " " * 8)]
