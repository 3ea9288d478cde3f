"""How many tasks are sent ahead to a cluster, and when one that was sent is stuck.

Dask's adaptive scaling sees only what was sent: it starts workers until each has `target-duration` (5 s) of work. So
more than that is sent for each worker there is, and something even if there is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil

_DEPTH = 2  # tasks per slot at least, so that no worker waits for its next task
_MOST = 64  # and at most: when a worker dies, Dask blames all tasks that it had
_AHEAD_SECONDS = 15.0  # of work per slot
_STUCK_SECONDS = 10.0  # before a task is called stuck, at least
_STUCK_TIMES = 4  # and as many times what it was expected to take


class Pace:
    """What a run has seen of its tasks' speed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._usual: float | None = None  # seconds of a task, those that ended last counting most
        self._moved = clock()

    @property
    def silence(self) -> float:
        """Seconds after which a worker that does not report is taken to hang."""
        return _STUCK_SECONDS

    def moved(self) -> None:
        """Notes that something goes on, as when a task is sent or comes back."""
        self._moved = self._clock()

    def took(self, seconds: float) -> None:
        """Notes what a task took."""
        self._usual = seconds if self._usual is None else self._usual + (seconds - self._usual) / 8

    def most(self, slots: int) -> int:
        """How many tasks may be out when the workers can run `slots` at once."""
        ahead = _DEPTH if self._usual is None else ceil(_AHEAD_SECONDS / max(self._usual, 1e-3))
        return max(slots, 1) * min(max(ahead, _DEPTH), _MOST)

    def is_stuck(self, expected: float) -> bool:
        """Whether a task that was `expected` to take so many seconds is overdue: nothing was sent or came back for as
        long."""
        return self._clock() - self._moved > max(_STUCK_SECONDS, _STUCK_TIMES * expected)
