"""How long a walk still takes: its forecast, corrected by what the steps that ended took and by how many ran at once.

The one estimator of all displays. It is told what happens, as a `Progress` is; another thread may ask.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.walk.forecast import Expected, Forecast
from daedalus.stagecache.walk.outcome import BLOCKED, FAILED, HIT, MAYBE, RUN, Outcome

_RUNS_FIRST = {RUN: 1.0, MAYBE: 0.75, HIT: 0.0}  # the share of each verdict taken to run, before any ended
_STEPS_TO_BELIEVE = 2.0  # as many steps of a kind weigh as much as what was expected of it
_SECONDS_TO_BELIEVE = 1.0  # the same of all kinds together, in seconds of work
_USE_OF_A_WORKER = 0.9  # before it is measured
_MOST_AT_FIRST = 1.5  # times what is expected that steps may count which ran beside the first of their kind
_MOST_OF_GUESSED = 1.5  # the same where most is guessed
_PER_STEP, _AT_THE_END = 0.0001, 0.1  # seconds after the last step: for each step of the walk, and in all
_LOOKUP, _LOOKUPS_TO_BELIEVE = 0.0003, 50  # seconds of one, before it is measured
_SILENT = 0.4  # seconds at the start without an estimate
_SILENT_GUESSING = 8.0  # the same where most is guessed: until then warming up says more than work
_TRIED = 0.01  # the share of guessed work to be seen before an estimate


class _Group(Struct):
    """The steps of one kind and one verdict: how many are left, with their expected seconds, ended, and ran."""

    left: int = 0
    left_seconds: float = 0.0
    ended: int = 0
    ran: int = 0


class _Kind(Struct):
    """What the steps of one kind took, and what was expected; apart from the one that took longest for it.

    That one warmed something up for the others, or waited for a warm-up. So did those that began before the first had
    ended: they count at most `most` times what is expected of them.
    """

    ran: int = 0
    first_ended: float = 0.0
    worst_expected: float = 0.0
    worst: float = 0.0
    expected: float = 0.0
    took: float = 0.0

    def add(self, expected: float, took: float, began: float, now: float, most: float) -> None:
        self.ran += 1
        if self.ran == 1:
            self.first_ended = now
        if began <= self.first_ended:
            took = min(took, most * expected)
        if self.ran == 1 or took * self.worst_expected > self.worst * expected:
            self.worst_expected, self.worst, expected, took = expected, took, self.worst_expected, self.worst
        self.expected += expected
        self.took += took

    def seen(self) -> tuple[int, float, float]:
        """(steps, expected, real seconds)."""
        if self.ran == 1:
            return 1, self.worst_expected, self.worst
        return self.ran - 1, self.expected, self.took


class _Clocked:
    """Where the time of a walk goes: with all workers at work, to looking up hits, or to waiting for one another."""

    def __init__(self, workers: int, now: float) -> None:
        self._workers, self._changed = workers, now
        self._full = self._looking = self._waiting = 0.0
        self._beside_looking = self._beside_waiting = self.worked = 0.0  # seconds of work meanwhile
        self._hits = 0

    def event(self, now: float, running: int, hit: bool = False) -> None:
        """Something ended or started, and until now so many steps were running."""
        passed, self._changed = now - self._changed, now
        self._hits += hit
        if running >= max(self._workers, 1):
            self._full += passed
        elif hit:
            self._looking += passed
            self._beside_looking += passed * running
        else:
            self._waiting += passed
            self._beside_waiting += passed * running

    def needed(self, work: float, lookups: float) -> float:
        """The seconds that so much work and so many hits need."""
        hits = self._hits + _LOOKUPS_TO_BELIEVE
        looking = lookups * (self._looking + _LOOKUP * _LOOKUPS_TO_BELIEVE) / hits
        beside = lookups * self._beside_looking / hits
        return looking + max(work - beside, 0.0) / self._at_once()

    def _at_once(self) -> float:
        """Seconds of work in a second, apart from looking up."""
        if not self._workers:  # steps that were handed over may wait elsewhere
            return max((self.worked + 1.0) / (self._full + 1.0), 0.1)
        done = self._full * self._workers + self._beside_waiting
        return max((done + _USE_OF_A_WORKER * self._workers) / (self._full + self._waiting + 1.0), 0.1)


class TimeLeft:
    """Estimates the seconds that a walk still takes; `clock` is read at each call."""

    def __init__(self, forecast: Forecast, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._steps, self._clock = dict(forecast.steps), clock
        self._began = clock()
        self._time = _Clocked(forecast.workers, self._began)
        self._groups: dict[tuple[str, str], _Group] = {}
        self._kinds: dict[str, _Kind] = {}
        self._running: dict[str, float] = {}
        self._ended: set[str] = set()
        self._guessed = sum(e.seconds for e in self._steps.values() if e.guessed and e.state != HIT)
        sure = sum(e.seconds for e in self._steps.values() if not e.guessed and e.state != HIT)
        self._guessing = self._guessed > sure
        self._most = _MOST_OF_GUESSED if self._guessing else _MOST_AT_FIRST
        self._chains = sorted(((e.chain, name) for name, e in self._steps.items() if e.state != HIT), reverse=True)
        self._longest = 0
        for name, expected in self._steps.items():
            group = self._group(name, expected)
            group.left += 1
            group.left_seconds += expected.seconds

    def started(self, name: str) -> None:
        with self._lock:
            self._time.event(self._clock(), len(self._running))
            self._running[name] = self._clock()

    def finished(self, outcome: Outcome) -> None:
        with self._lock:
            self._finished(outcome)

    def left(self) -> float | None:
        """The seconds left; None while too little is known."""
        with self._lock:
            return self._estimate()

    def _finished(self, outcome: Outcome) -> None:
        now = self._clock()
        self._time.event(now, len(self._running), outcome.state == HIT)
        began = self._running.pop(outcome.name, now)
        self._time.worked += outcome.seconds if outcome.ran else 0.0
        expected = self._steps.get(outcome.name)
        if expected is None or outcome.name in self._ended:
            return
        self._ended.add(outcome.name)
        group = self._group(outcome.name, expected)
        group.left -= 1
        group.left_seconds -= expected.seconds
        if outcome.state in (FAILED, BLOCKED):
            return
        group.ended += 1
        if outcome.ran:
            group.ran += 1
            kind = self._kinds.setdefault(kind_of(outcome.name), _Kind())
            kind.add(expected.seconds, outcome.seconds, began, now, self._most)

    def _estimate(self) -> float | None:
        elapsed = self._clock() - self._began
        if not self._steps or elapsed < _SILENT or (self._guessing and not self._tried(elapsed)):
            return None
        usual, shares = self._usual(), self._shares()
        work = lookups = 0.0
        for (kind, state), group in self._groups.items():
            share = (group.ran + shares[state] * _STEPS_TO_BELIEVE) / (group.ended + _STEPS_TO_BELIEVE)
            work += share * group.left_seconds * self._pace_of(kind, usual)
            lookups += (1 - share) * group.left
        work -= sum(self._done_of(name, usual) for name in self._running)
        chain = self._chain(shares) * usual
        needed = self._time.needed(max(work, 0.0), lookups)
        return max(needed, chain) + _AT_THE_END + _PER_STEP * len(self._steps)

    def _group(self, name: str, expected: Expected) -> _Group:
        return self._groups.setdefault((kind_of(name), expected.state), _Group())

    def _tried(self, elapsed: float) -> bool:
        """Whether guesses have met enough of what is true."""
        seen = sum(kind.expected + kind.worst_expected for kind in self._kinds.values())
        return elapsed >= _SILENT_GUESSING and seen >= _TRIED * self._guessed

    def _usual(self) -> float:
        """Real by expected seconds, over all kinds."""
        found = [kind.seen() for kind in self._kinds.values()]
        expected, took = (sum(column) for column in zip(*(row[1:] for row in found), strict=True)) if found else (0, 0)
        weight = _SECONDS_TO_BELIEVE * (0.5 if self._guessing else 1.0)
        return (took + weight) / (expected + weight)

    def _pace_of(self, kind: str, usual: float) -> float:
        """Real by expected seconds of a kind; of one of which little ran, mostly those of all kinds."""
        if kind not in self._kinds:
            return usual
        steps, expected, took = self._kinds[kind].seen()
        weight = _STEPS_TO_BELIEVE * expected / steps
        return (took + weight * usual) / (expected + weight) if expected else usual

    def _shares(self) -> dict[str, float]:
        """Which share of the steps of each verdict runs, by those that ended."""
        found = {}
        for verdict, first in _RUNS_FIRST.items():
            groups = [group for (_, state), group in self._groups.items() if state == verdict]
            ended, ran = sum(group.ended for group in groups), sum(group.ran for group in groups)
            found[verdict] = (ran + first * _STEPS_TO_BELIEVE) / (ended + _STEPS_TO_BELIEVE)
        return found

    def _done_of(self, name: str, usual: float) -> float:
        """The seconds of work already done of a running step, at most what it is taken to need."""
        expected = self._steps.get(name)
        if expected is None or name in self._ended:
            return 0.0
        return min(self._clock() - self._running[name], expected.seconds * self._pace_of(kind_of(name), usual))

    def _chain(self, shares: Mapping[str, float]) -> float:
        """The expected seconds of the longest chain of steps that are left, by the share of them that runs."""
        while self._longest < len(self._chains) and self._chains[self._longest][1] in self._ended:
            self._longest += 1
        if self._longest == len(self._chains):
            return 0.0
        seconds, name = self._chains[self._longest]
        return seconds * shares[self._steps[name].state]


def spoken(seconds: float | None) -> str:
    """Such as `about 0:50 left`, rounded so that it claims no more than an estimate can; "" for None."""
    if seconds is None:
        return ""
    if seconds < 3:
        return "nearly done"
    if seconds < 10:
        return "a few seconds left"
    for most, step in ((30, 5), (120, 10), (240, 30)):
        if seconds < most - step / 2:
            near = max(round(seconds / step), 1) * step
            return f"about {near // 60}:{near % 60:02} left"
    minutes = math.ceil(seconds / 60 - 0.5)
    if minutes < 60:
        return f"about {minutes if minutes < 20 else round(minutes / 5) * 5} min left"
    hours, rest = divmod(round(minutes / 10) * 10, 60)
    return f"about {hours} h{f' {rest} min' if rest else ''} left"
