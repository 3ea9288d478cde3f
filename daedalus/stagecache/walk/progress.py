"""Progress of a walk: the silent base class, and plain lines for logs and pipes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from daedalus.base.terminal_text import tell

if TYPE_CHECKING:
    from daedalus.stagecache.walk.outcome import Outcome


class Progress:
    """Follows a walk and prints nothing. Every method is called from the thread of the walk.

    `spilled()` returns the bytes that the walk's workers have on disk because memory is short.
    """

    spilled: Callable[[], int] = staticmethod(lambda: 0)

    def measure(self, spilled: Callable[[], int]) -> None:
        """Says, before the walk, how `spilled` is found out."""
        self.spilled = spilled

    def begin(self, days: list[str], actions: int, expected: Mapping[str, float]) -> None:
        """The walk starts: its days, the number of actions, and the expected seconds of each by name."""

    def started(self, name: str) -> None:
        """An action begins to run."""

    def finished(self, outcome: Outcome) -> None:
        """An action ended: hit, ran, failed or blocked."""

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        """The last action of a day ended."""

    def say(self, line: str) -> None:
        """Prints a sentence for the user."""

    def end(self) -> None:
        """The walk is over, or was interrupted."""


class PlainProgress(Progress):
    """Prints a line for each day that ran anything and for each failure."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._days = 0
        self._done = 0
        self._cached = 0
        self._began = time.monotonic()

    def say(self, line: str) -> None:
        tell(line, self._out)

    def begin(self, days: list[str], actions: int, expected: Mapping[str, float]) -> None:
        self._days, self._began = len(days), time.monotonic()
        self.say(f"{self._days} days, {actions} steps")

    def finished(self, outcome: Outcome) -> None:
        if outcome.state == "failed":
            self.say(f"{outcome.day or 'all days'}  {outcome.name} failed: {outcome.error}")

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        self._done += 1
        states: dict[str, int] = {}
        for outcome in outcomes:
            states[outcome.state] = states.get(outcome.state, 0) + 1
        if set(states) == {"hit"}:
            self._cached += 1
            return
        seconds = sum(outcome.seconds for outcome in outcomes if outcome.ran)
        rows = sum(outcome.counts.get("written", 0) for outcome in outcomes)
        parts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        left = (time.monotonic() - self._began) / self._done * (self._days - self._done)
        self.say(
            f"{day}  [{self._done}/{self._days}]  {parts}; {rows:,} rows, {seconds:.1f} s; about {left:.0f} s left"
        )

    def end(self) -> None:
        if self._cached:
            self.say(f"{self._cached} days: nothing to run")
