"""A profile as a table: a line a step, a column a cause, in processor seconds; beside them the seconds of waiting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from daedalus.watch.profile import PARTS, Profile, Seconds
from daedalus.watch.profile_causes import CAUSES

_LEAST = 0.005  # of all: a cause with less has no column


def table(profile: Profile) -> list[str]:
    """The lines of the table, steps with most processor time first, and what its columns mean."""
    of_cause, of_step = _sums(profile.busy, 1), _sums(profile.busy, 0)
    whole = sum(of_cause.values())
    causes = [cause for cause in CAUSES if of_cause[cause] >= whole * _LEAST]
    steps = sorted(of_step.keys() - set(PARTS), key=lambda step: -of_step[step])
    rows = [_row(profile, causes, step) for step in (*steps, *(part for part in PARTS if part in of_step))]
    shares = [f"{of_cause[cause] / max(whole, 1e-9):.0%}" for cause in causes]
    waited, queued = (_sums(several, 1) for several in (profile.waited, profile.queued))
    below = [
        ["all", f"{sum(profile.ran.values()):,}", "", _seconds(whole), *(_seconds(of_cause[c]) for c in causes),
         _seconds(sum(waited.values())), _seconds(sum(queued.values()))],
        ["share", "", "", "100%", *shares, "", ""],
        ["waited", "", "", "", *(_seconds(waited[c]) for c in causes), "", ""],
    ]  # fmt: skip
    head = ["step", "ran", "ms each", "all", *causes, "waited", "no core"]
    return [
        f"profile  {whole:.2f} processor seconds in {profile.seconds:.2f} s, {profile.samples:,} samples; "
        f"taking them cost {profile.own:.2f} s more",
        *_aligned([head, *rows, *below]),
        *(f"{cause:<9}{CAUSES[cause]}" for cause in causes),
        "waited   for a disk, a lock or the interpreter; no core: for a processor",
    ]


def _row(profile: Profile, causes: list[str], step: str) -> list[str]:
    busy = sum(seconds for (of, _), seconds in profile.busy.items() if of == step)
    ran = profile.ran[step]
    return [
        step, f"{ran:,}" if ran else "", f"{busy / ran * 1000:.1f}" if ran else "", _seconds(busy),
        *(_seconds(profile.busy[step, cause]) for cause in causes),
        _seconds(_sums(profile.waited, 0)[step]), _seconds(_sums(profile.queued, 0)[step]),
    ]  # fmt: skip


def _sums(several: Seconds, by: int) -> dict[str, float]:
    """The sums by step (0) or by cause (1)."""
    found: dict[str, float] = defaultdict(float)
    for at, seconds in several.items():
        found[at[by]] += seconds
    return found


def _seconds(number: float) -> str:
    return f"{number:.2f}" if number >= 0.005 else "."


def _aligned(rows: Sequence[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
