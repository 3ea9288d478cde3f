"""A plan as lines: what would run, by step, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from daedalus.base.days import DayRange
from daedalus.base.terminal_text import column, counted, cut, fitted
from daedalus.stagecache.walk.plan import MAYBE, RUN

REMOVE = "remove"  # the state of a partition whose day has no feed rows any more


def plan_lines(span: DayRange, plan: Sequence[Mapping], causes: Sequence[Mapping], notes: Sequence[str]) -> list[str]:
    """What would run, by step, after the causes that are no mere consequence."""
    from daedalus.explain.cause_lines import cause_lines

    if not plan:
        return [f"{span}: nothing would run", *notes]
    run, maybe, gone = ([row for row in plan if row["state"] == state] for state in (RUN, MAYBE, REMOVE))
    lines = [f"{span}: {_how_many(len(run), len(maybe))}; {_cost(plan)}"]
    lines += notes
    lines += [cut(f"  dt={row['day']} would be removed: its day has no feed rows any more ({row['why'][0]['old']})")
              for row in gone[:8]]  # fmt: skip
    lines += [f"  and {len(gone) - 8} more would be removed"] if len(gone) > 8 else []
    for cause in causes[:8]:
        lines += cause_lines(cause)
    if len(causes) > 8:
        lines.append(f"  and {counted(len(causes) - 8, 'more cause')}")
    tally = Counter((row["step"], row["state"]) for row in plan)
    wide = column((row["step"] for row in plan), 46, 24)
    lines.append(f"{'step':<{wide}}{'state':<8}{'days':>6}{'seconds':>10}")
    for (step, state), count in sorted(tally.items()):
        known = [row["expected_seconds"] for row in plan if (row["step"], row["state"]) == (step, state)]
        seconds = "" if None in known else f"{sum(known):.1f}"
        lines.append(f"{fitted(step, wide)}{state:<8}{count:>6}{seconds:>10}".rstrip())
    return lines


def _how_many(run: int, maybe: int) -> str:
    return f"{counted(run, 'step-day')} would run, {maybe:,} may"


def _cost(plan: Sequence[Mapping]) -> str:
    known = [row["expected_seconds"] for row in plan if row["expected_seconds"] is not None]
    if not known:
        return "cost unknown: nothing like it has run here yet"
    sure = sum(row["expected_seconds"] or 0 for row in plan if row["state"] == RUN)
    return (
        f"{sure:.1f} to {sum(known):.1f} s expected"
        if sum(known) < 10
        else f"{sure:.0f} to {sum(known):.0f} s expected"
    )
