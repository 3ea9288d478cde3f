"""Progress as plain lines, for logs and pipes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from daedalus.base.terminal_text import counted, tell
from daedalus.stagecache.walk.progress import Progress

if TYPE_CHECKING:
    from daedalus.stagecache.walk.forecast import Forecast
    from daedalus.stagecache.walk.outcome import Outcome
    from daedalus.watch.time_left import TimeLeft

_QUIET_SECONDS = 10.0  # after which a line says how far the run is; the first time after less
_QUIET_AT_FIRST = 1.0


class PlainProgress(Progress):
    """Prints a line for each day that ran anything, for each failure, and when nothing else was said for a while."""

    estimates = True

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._days = self._done = self._cached = self._total = self._ended = 0
        self._left: TimeLeft | None = None
        self._speak_at = 0.0

    def say(self, line: str) -> None:
        tell(line, self._out)

    def looking(self, line: str) -> None:
        self.say(line)

    def done_before(self, days: Mapping[str, bool]) -> None:
        self._done = self._days = len(days)

    def begin(self, days: list[str], actions: int, forecast: Forecast) -> None:
        from daedalus.watch.time_left import TimeLeft

        before = f"; {counted(self._done, 'day')} done before" if self._done else ""
        self.say(f"{counted(len(days), 'day')}, {counted(actions, 'step')}{before}")
        self._days += len(days)
        self._total, self._left = actions, TimeLeft(forecast)
        self._speak_at = time.monotonic() + _QUIET_AT_FIRST

    def started(self, name: str) -> None:
        if self._left:
            self._left.started(name)

    def finished(self, outcome: Outcome) -> None:
        self._ended += 1
        if self._left:
            self._left.finished(outcome)
        if outcome.state == "failed":
            from daedalus.watch.failure import failure_lines

            for line in failure_lines(outcome):
                self.say(line)
        elif self._left and time.monotonic() > self._speak_at and (left := self._time_left()):
            self._tell(f"{self._ended:,} of {counted(self._total, 'step')}; {left}")

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        self._done += 1
        states = Counter(outcome.state for outcome in outcomes)
        if set(states) == {"hit"}:
            self._cached += 1
            return
        seconds = sum(outcome.seconds for outcome in outcomes if outcome.ran)
        rows = max(outcome.counts.get("written", 0) for outcome in outcomes)  # the same in each stage
        parts = [", ".join(f"{count} {state}" for state, count in sorted(states.items()))]
        parts += [f"{counted(rows, 'row')}, {seconds:.1f} s"] if rows else [f"{seconds:.1f} s"] if seconds else []
        parts += [left] if (left := self._time_left()) else []
        self._tell(f"{day}  [{self._done}/{self._days}]  {'; '.join(parts)}")

    def end(self) -> None:
        if self._cached:
            self.say(f"{counted(self._cached, 'day')}: nothing to run")

    def _tell(self, line: str) -> None:
        self._speak_at = time.monotonic() + _QUIET_SECONDS
        self.say(line)

    def _time_left(self) -> str:
        from daedalus.watch.time_left import spoken

        return spoken(self._left.left()) if self._left else ""
