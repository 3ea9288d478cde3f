"""The walk: every action in order, looked up, and run when the cache has no answer.

The walking thread alone touches the traces; workers only run actions and write files. One action's
failure blocks what needs it and nothing else.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from daedalus.errors import DaedalusError
from daedalus.stagecache.action import Action, Cause, Counts
from daedalus.stagecache.plan import Lookup, look_up
from daedalus.stagecache.progress import Progress
from daedalus.stagecache.trace import Trace, Traces

HIT, COMPUTED, UNCHANGED, FAILED, BLOCKED = "hit", "computed", "unchanged", "failed", "blocked"
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

    @property
    def ran(self) -> bool:
        return self.state in (COMPUTED, UNCHANGED)

    @property
    def good(self) -> bool:
        return self.state in (HIT, COMPUTED, UNCHANGED)


class Interrupted(Exception):
    """The walk was told to stop; what had finished is kept."""


class Walk:
    """One execution of a graph of actions. `execute()` may be called once."""

    def __init__(
        self,
        actions: Sequence[Action],
        traces: Traces,
        *,
        workers: int = 1,
        force: bool = False,
        progress: Progress | None = None,
        day_done: Callable[[str, list[Outcome]], None] = lambda day, outcomes: None,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self._actions, self._traces, self._force = actions, traces, force
        self._workers, self._progress = workers, progress or Progress()
        self._day_done, self._interrupt = day_done, interrupt
        self._index = {action.name: i for i, action in enumerate(actions)}
        self._needed_by: dict[str, list[str]] = {action.name: [] for action in actions}
        self._missing: dict[str, int] = {}
        for action in actions:
            needs = {name for name in (*action.upstream, *action.after) if name in self._index}
            self._missing[action.name] = len(needs)
            for name in needs:
                self._needed_by[name].append(action.name)
        self._of_day: dict[str, list[Outcome]] = {}
        self._closes: dict[str, str] = {}
        self._latest = traces.latest_keys()
        self._ready = [self._index[name] for name, missing in self._missing.items() if not missing]
        self._running: dict[Future, tuple[Action, Lookup]] = {}
        self.outcomes: dict[str, Outcome] = {}

    def execute(self, closing: Mapping[str, str]) -> dict[str, Outcome]:
        """Walks the graph and returns every action's outcome by name.

        `closing` names, for each day to report, the action with whose end the day is done. Raises
        Interrupted on Ctrl-C, and the error of an action that belongs to no day: nothing can be done
        without it.
        """
        heapq.heapify(self._ready)
        self._closes = {name: day for day, name in closing.items()}
        self._progress.begin(sorted(closing), len(self._actions))
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="daeda")
        try:
            while self._ready or self._running:
                self._advance(pool)
        except KeyboardInterrupt:
            raise Interrupted from None
        finally:
            self._interrupt_running()
            pool.shutdown(wait=True, cancel_futures=True)
            self._progress.end()
        return self.outcomes

    def _advance(self, pool: ThreadPoolExecutor) -> None:
        while self._ready and len(self._running) < self._workers:
            self._begin(pool, self._actions[heapq.heappop(self._ready)])
        if self._running:
            done, _ = wait(self._running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: self._index[self._running[f][0].name]):
                self._collect(future)

    def _begin(self, pool: ThreadPoolExecutor, action: Action) -> None:
        bad = [name for name in action.upstream if not self.outcomes[name].good]
        if bad:
            why = tuple(Cause("upstream", name, None, self.outcomes[name].state) for name in bad)
            self._end(Outcome(action.name, action.step, action.day, BLOCKED, why=why))
            return
        digests = {name: self.outcomes[name].artifact for name in action.upstream}
        found = look_up(action, digests, self._traces, self._force)
        if found.trace:
            self._hit(action, found.trace)
            return
        self._progress.started(action.name)
        self._running[pool.submit(_run, action, digests, self._actions, self._index)] = (action, found)

    def _hit(self, action: Action, trace: Trace) -> None:
        if self._latest.get(action.name) != trace.key:
            self._traces.point(action.name, trace.key)
        self._end(
            Outcome(action.name, action.step, action.day, HIT, trace.artifact, trace.counts, trace.seconds, trace.bytes)
        )

    def _collect(self, future: Future) -> None:
        action, found = self._running.pop(future)
        try:
            artifact, size, counts, seconds = future.result()
        except DaedalusError as error:
            if action.day is None:
                raise
            self._fail(action, found, error.one_line())
            return
        except Exception as error:  # an action may fail in any way; its day says how
            if action.day is None:
                raise DaedalusError(f"the step {action.name} failed", found=_first_lines(error)) from error
            self._fail(action, found, f"{type(error).__name__}: {_first_lines(error)}")
            return
        same = found.previous is not None and found.previous.artifact == artifact
        self._traces.record(Trace(found.key, action.name, artifact, counts, seconds, size, found.manifest))
        state = UNCHANGED if same else COMPUTED
        self._end(Outcome(action.name, action.step, action.day, state, artifact, counts, seconds, size, found.why))

    def _fail(self, action: Action, found: Lookup, error: str) -> None:
        self._end(Outcome(action.name, action.step, action.day, FAILED, why=found.why, error=error))

    def _end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.name] = outcome
        self._progress.finished(outcome)
        for name in self._needed_by[outcome.name]:
            self._missing[name] -= 1
            if not self._missing[name]:
                heapq.heappush(self._ready, self._index[name])
        if outcome.day:
            self._of_day.setdefault(outcome.day, []).append(outcome)
        if day := self._closes.get(outcome.name):
            self._day_done(day, self._of_day[day])
            self._progress.day_done(day, self._of_day[day])

    def _interrupt_running(self) -> None:
        if self._running:
            self._interrupt()


def _run(
    action: Action, digests: Mapping[str, str], actions: Sequence[Action], index: Mapping[str, int]
) -> tuple[str, int, Counts, float]:
    """Runs an action in a worker: (artifact digest, bytes, counts, seconds)."""
    began = time.perf_counter()
    paths = {name: actions[index[name]].shelf.path(name, artifact) for name, artifact in digests.items()}
    staged = action.shelf.stage(action.name)
    counts = action.run(paths, staged)
    action.verify()
    artifact, size = action.shelf.keep(action.name, staged)
    return artifact, size, counts, time.perf_counter() - began


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split("\n\n")[0].split())
