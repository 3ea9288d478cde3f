"""The time left is near what comes, in walks of many kinds that are simulated with a clock of their own."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping

import pytest

from daedalus.stagecache.walk.forecast import Expected, Forecast
from daedalus.stagecache.walk.outcome import BLOCKED, COMPUTED, FAILED, HIT, MAYBE, RUN, Outcome
from daedalus.watch.time_left import TimeLeft, spoken

Real = Callable[[str], float]  # the seconds that a step takes; 0 for a hit
_LOOKUP = 0.001


class Simulated:
    """A walk over steps in order on two workers: each looked up for a millisecond, and run if `real` says so."""

    def __init__(self, steps: Mapping[str, Expected], real: Real, workers: int = 2) -> None:
        self.now = 0.0
        self._real, self._workers = real, workers
        self.time = TimeLeft(Forecast(steps, workers), clock=lambda: self.now)
        self.said: list[tuple[float, float | None]] = []
        self._running: list[tuple[float, str]] = []
        for name in steps:
            if len(self._running) == workers:
                self._end_one()
            self.now += _LOOKUP
            if real(name):
                self.time.started(name)
                heapq.heappush(self._running, (self.now + real(name), name))
            else:
                self._finished(name, HIT)
        while self._running:
            self._end_one()

    def _end_one(self) -> None:
        ends, name = heapq.heappop(self._running)
        self.now = max(self.now, ends)
        self._finished(name, COMPUTED)

    def _finished(self, name: str, state: str) -> None:
        self.time.finished(Outcome(name, name.partition("@")[0], None, state, seconds=self._real(name)))
        self.said.append((self.now, self.time.left()))

    def ratios(self, first: float = 0.0, last: float = 0.9) -> list[float]:
        """Said by real time left, from one share of the walk to another."""
        told = [(at, left) for at, left in self.said if left is not None and first <= at / self.now <= last]
        return [left / (self.now - at) for at, left in told]


def steps(count: int, state: str, seconds: float = 0.1, guessed: bool = False) -> dict[str, Expected]:
    """As many steps of three kinds."""
    return {f"{kind}@{i}": Expected(state, seconds, 0.0, guessed) for i in range(count // 3) for kind in "abc"}


def near(ratios: list[float], factor: float = 1.5) -> bool:
    return len(ratios) > 20 and all(1 / factor <= ratio <= factor for ratio in ratios)


def test_a_walk_that_goes_as_recorded():
    assert near(Simulated(steps(600, RUN), lambda name: 0.1).ratios(), 1.1)


@pytest.mark.parametrize("real", [0.02, 0.3])
def test_guesses_are_corrected_by_what_ran(real):
    walk = Simulated(steps(900, MAYBE, guessed=True), lambda name: real)
    assert walk.said[0][1] is None  # nothing is known in the first moment
    assert near(walk.ratios(0.05))


def test_a_kind_that_is_slower_than_the_others_is_known_for_it():
    walk = Simulated(steps(600, RUN), lambda name: 0.4 if name.startswith("a") else 0.1)
    assert near(walk.ratios(0.1), 1.2)


def test_hits_cost_a_look_and_what_comes_after_them_what_it_takes():
    there = {f"old-{name}": expected for name, expected in steps(3000, HIT).items()}
    walk = Simulated({**there, **steps(300, RUN)}, lambda name: 0.0 if name.startswith("old") else 0.1)
    assert near(walk.ratios(), 1.3)


@pytest.mark.parametrize("share", [0, 3, 10])
def test_a_maybe_counts_by_how_many_of_them_ran(share):
    """None of ten, three or all of them, in days one after the other."""
    sure = {f"sure@{i}": Expected(RUN, 0.1) for i in range(200)}
    unsure = {f"unsure@{i}": Expected(MAYBE, 0.1) for i in range(200)}
    days = {name: expected for pair in zip(sure.items(), unsure.items(), strict=True) for name, expected in pair}
    walk = Simulated(days, lambda name: 0.1 if name.startswith("sure") or int(name[7:]) % 10 < share else 0.0)
    assert near(walk.ratios(0.2)) and near(walk.ratios(), 2.0)


def test_the_first_step_of_a_kind_may_warm_up():
    walk = Simulated(steps(600, RUN), lambda name: 2.0 if name.endswith("@0") else 0.1)
    assert near(walk.ratios(0.1), 1.3) and max(walk.ratios()) < 2


def test_one_chain_does_not_get_faster_by_more_workers():
    chain = {f"link@{i}": Expected(RUN, 1.0, 20.0 - i) for i in range(20)}
    time = TimeLeft(Forecast(chain, 8), clock=iter([*[0.0] * 2, *[10.0] * 9]).__next__)
    time.started("link@0")
    left = time.left()
    assert left is not None and left > 19


def test_what_failed_is_not_waited_for():
    now = [0.0]
    time = TimeLeft(Forecast(steps(300, RUN), 2), clock=lambda: now[0])
    now[0] = 1.0
    before = time.left()
    for i in range(100):
        for kind, state in zip("abc", (FAILED, BLOCKED, BLOCKED), strict=True):
            time.finished(Outcome(f"{kind}@{i}", kind, None, state))
    after = time.left()
    assert before is not None and before > 10 and after is not None and after < 1


def test_without_a_forecast_nothing_is_claimed():
    walk = Simulated({}, lambda name: 0.1)
    walk.time.finished(Outcome("a@1", "a", None, COMPUTED, seconds=1.0))
    assert walk.time.left() is None and spoken(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.3, "nearly done"), (3.5, "a few seconds left"), (9.9, "a few seconds left"),
     (10.2, "about 0:10 left"), (27, "about 0:25 left"), (29, "about 0:30 left"),
     (48.6, "about 0:50 left"), (68, "about 1:10 left"), (118, "about 2:00 left"), (140, "about 2:30 left"),
     (239, "about 4 min left"), (700, "about 12 min left"), (2_700, "about 45 min left"),
     (6_000, "about 1 h 40 min left"), (7_200, "about 2 h left")],
)  # fmt: skip
def test_an_estimate_is_rounded_as_one(seconds, text):
    assert spoken(seconds) == text
