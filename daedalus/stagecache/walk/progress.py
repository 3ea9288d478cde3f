"""What watches a walk: the base class, which is silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daedalus.stagecache.walk.forecast import Forecast
    from daedalus.stagecache.walk.outcome import Outcome


class Progress:
    """Follows a run and prints nothing. Every method is called from the thread of the walk.

    `estimates` says whether it wants a forecast, which costs time to make: it gets an empty one else. `spilled()`
    returns the bytes that the walk's workers have on disk because memory is short.
    """

    estimates = False
    spilled: Callable[[], int] = staticmethod(lambda: 0)

    def measure(self, spilled: Callable[[], int]) -> None:
        """Says, before the walk, how `spilled` is found out."""
        self.spilled = spilled

    def looking(self, line: str) -> None:
        """What the run does before its walk, or how far it is; the next such line may take its place."""

    def done_before(self, days: Mapping[str, bool]) -> None:
        """The days of the range that need no walk, before it starts; True for those without rows."""

    def begin(self, days: list[str], actions: int, forecast: Forecast) -> None:
        """The walk starts: its days, the number of actions, and what is expected of each."""

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
