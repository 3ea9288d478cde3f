"""How an action of a walk ended: what everyone who reads a walk speaks of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daedalus.stagecache.action import Cause, Counts


HIT, COMPUTED, UNCHANGED, FAILED, BLOCKED = "hit", "computed", "unchanged", "failed", "blocked"
RUN, MAYBE = "run", "maybe"  # what a plan says of an action that is no hit
STATES = (HIT, COMPUTED, UNCHANGED, FAILED, BLOCKED)


@dataclass(frozen=True)
class Outcome:
    """How an action ended."""

    name: str
    step: str
    day: str | None
    state: str
    artifact: str = ""
    counts: Counts = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0
    why: tuple[Cause, ...] = ()
    error: str = ""
    expected: float | None = None  # seconds that it took before
    key: str = ""

    @property
    def ran(self) -> bool:
        return self.state in (COMPUTED, UNCHANGED)

    @property
    def good(self) -> bool:
        return self.state in (HIT, COMPUTED, UNCHANGED)


def rows_out(counts: Counts) -> int:
    """The rows that an action made, by its counts."""
    return counts.get("rows", counts.get("written", 0))
