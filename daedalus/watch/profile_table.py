"""A profile as two tables, in 80 columns: a line a step with what costs it most, and a line a cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from daedalus.watch.profile import PARTS, Profile, Seconds
from daedalus.watch.profile_causes import CAUSES

_LEAST = 0.005  # of all: a cause with less has no line
_NAMED = 2  # causes of a step that its line names


def table(profile: Profile) -> list[str]:
    """The lines of the tables, most processor time first."""
    whole = sum(profile.busy.values())
    return [
        f"profile  {whole:.2f} processor seconds in {profile.seconds:.2f} s; {profile.samples:,} samples took "
        f"{profile.own:.2f} s more",
        *_of_steps(profile),
        "",
        *_of_causes(profile, whole),
        "",
        f"waited: for a disk, a lock or the interpreter; for a processor {sum(profile.queued.values()):.2f} s more",
    ]


def _of_steps(profile: Profile) -> list[str]:
    busy, waited = _sums(profile.busy, 0), _sums(profile.waited, 0)
    steps = sorted(busy.keys() - set(PARTS), key=lambda step: -busy[step])
    rows = [["step", "ran", "ms each", "seconds", "waited"]]
    named = ["mostly"]
    for step in (*steps, *(part for part in PARTS if part in busy)):
        ran = profile.ran[step]
        each = f"{busy[step] / ran * 1000:.1f}" if ran else ""
        rows.append([step, f"{ran:,}" if ran else "", each, _seconds(busy[step]), _seconds(waited[step])])
        named.append(_mostly(profile.busy, step, busy[step]))
    rows.append(
        ["all", f"{sum(profile.ran.values()):,}", "", _seconds(sum(busy.values())), _seconds(sum(waited.values()))]
    )
    return [f"{line}  {text}".rstrip() for line, text in zip(_aligned(rows), [*named, ""], strict=True)]


def _of_causes(profile: Profile, whole: float) -> list[str]:
    busy, waited = _sums(profile.busy, 1), _sums(profile.waited, 1)
    causes = sorted((cause for cause in CAUSES if busy[cause] >= whole * _LEAST), key=lambda cause: -busy[cause])
    rows = [[cause, _seconds(busy[cause]), f"{busy[cause] / max(whole, 1e-9):.0%}", _seconds(waited[cause])]
            for cause in causes]  # fmt: skip
    said = ["", *(CAUSES[cause] for cause in causes)]
    lines = _aligned([["cause", "seconds", "share", "waited"], *rows])
    return [f"{line}  {text}".rstrip() for line, text in zip(lines, said, strict=True)]


def _mostly(busy: Seconds, step: str, seconds: float) -> str:
    """What costs a step most, such as `encode 40%, arrays 21%`."""
    costs = sorted(((cost, cause) for (of, cause), cost in busy.items() if of == step), reverse=True)[:_NAMED]
    return ", ".join(f"{cause} {cost / seconds:.0%}" for cost, cause in costs if cost >= 0.005)


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
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
