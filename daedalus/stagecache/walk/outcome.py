"""The result of one action in a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from daedalus.base.errors import one_line

if TYPE_CHECKING:
    from daedalus.stagecache.action import Cause, Counts


HIT, COMPUTED, UNCHANGED, FAILED, BLOCKED = "hit", "computed", "unchanged", "failed", "blocked"
RUN, MAYBE = "run", "maybe"  # states that only a plan has
STATES = (HIT, COMPUTED, UNCHANGED, FAILED, BLOCKED)


class Outcome(Struct, frozen=True):
    """How an action ended: its state, what it made, and why it ran."""

    name: str
    step: str
    day: str | None
    state: str
    artifact: str = ""
    counts: Counts = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0
    why: tuple[Cause, ...] = ()
    problem: Mapping[str, str | None] = field(default_factory=dict)  # of a failure: `DaedalusError.as_json`
    expected: float | None = None  # seconds of its previous run
    key: str = ""

    @property
    def error(self) -> str:
        """What went wrong, in one line."""
        return one_line(self.problem)

    @property
    def ran(self) -> bool:
        return self.state in (COMPUTED, UNCHANGED)

    @property
    def good(self) -> bool:
        return self.state in (HIT, COMPUTED, UNCHANGED)


def rows_out(counts: Counts) -> int:
    """The number of rows that an action wrote, from its counts."""
    return counts.get("rows", counts.get("written", 0))
