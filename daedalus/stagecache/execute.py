"""The walk: every action in order, looked up, and run when the cache has no answer.

The walking thread alone touches the traces; workers only run actions and write files. One action's
failure blocks what needs it and nothing else.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from daedalus.errors import EXIT_DAY_FAILED, DaedalusError, Interrupted
from daedalus.stagecache.action import Action, Cause, Counts
from daedalus.stagecache.locks import KeyLocks
from daedalus.stagecache.outcome import BLOCKED, COMPUTED, FAILED, HIT, UNCHANGED, Outcome, rows_out
from daedalus.stagecache.plan import Lookup, look_up, turned_back
from daedalus.stagecache.progress import Progress
from daedalus.stagecache.schedule import Schedule
from daedalus.stagecache.trace import Trace, Traces

_POLL_SECONDS = 0.02  # between looks at what another process computes
_RETRY_PAUSES = (0.1, 0.5)  # seconds
_TRANSIENT = {errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.ESTALE, errno.ENETUNREACH}


class OutOfSpace(DaedalusError):
    """A disk is full: no other day would fare better, so the run stops; what it finished is kept."""

    exit_code = EXIT_DAY_FAILED

    def __init__(self, name: str) -> None:
        super().__init__(
            "a disk is full", where=name, found="no space left", hint="make room, then: daeda skeleton --resume"
        )


def is_out_of_space(error: BaseException) -> bool:
    """Whether an error means that a disk or a quota is full, whoever says so."""
    text = str(error)
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left on device" in text or "disk is full" in text


class Walk:
    """One execution of a graph of actions. `execute()` may be called once."""

    def __init__(
        self,
        actions: Sequence[Action],
        traces: Traces,
        *,
        locks: KeyLocks | None = None,
        code: Callable[[], str] = lambda: "",
        workers: int = 1,
        force: bool = False,
        progress: Progress | None = None,
        day_done: Callable[[str, list[Outcome]], None] = lambda day, outcomes: None,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        self._count, self._schedule = len(actions), Schedule(actions)
        self._traces, self._locks, self._force, self._code = traces, locks, force, code
        costs = traces.costs()
        kinds = {action.name: action.name.partition("@")[0] for action in actions}
        self._expected = {name: costs[kind][0] for name, kind in kinds.items() if kind in costs}
        self._workers, self._progress = workers, progress or Progress()
        self._day_done, self._interrupt = day_done, interrupt
        self._of_day: dict[str, list[Outcome]] = {}
        self._closes: dict[str, str] = {}
        self._latest = traces.latest_keys()
        self._running: dict[Future, tuple[Action, Lookup]] = {}
        self._elsewhere: list[Action] = []  # another process computes them
        self.outcomes: dict[str, Outcome] = {}

    def execute(self, closing: Mapping[str, str]) -> dict[str, Outcome]:
        """Walks the graph and returns every action's outcome by name.

        `closing` names, for each day to report, the action with whose end the day is done. Raises
        Interrupted on Ctrl-C, OutOfSpace when a disk is full, and the error of an action that belongs
        to no day: nothing can be done without it.
        """
        self._closes = {name: day for day, name in closing.items()}
        self._progress.begin(sorted(closing), self._count, self._expected)
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="daeda")
        try:
            while self._schedule or self._running or self._elsewhere:
                self._advance(pool)
        except KeyboardInterrupt:
            raise Interrupted from None
        finally:
            if self._running:
                self._interrupt()
            pool.shutdown(wait=True, cancel_futures=True)
            if self._locks:
                self._locks.release_all()
            self._progress.end()
        return self.outcomes

    def _advance(self, pool: ThreadPoolExecutor) -> None:
        waiting, self._elsewhere = self._elsewhere, []
        for action in waiting:
            if len(self._running) < self._workers:
                self._begin(pool, action)
            else:
                self._elsewhere.append(action)
        while self._schedule and len(self._running) < self._workers:
            self._begin(pool, self._schedule.pop())
        if self._running:
            done, _ = wait(self._running, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: self._schedule.place(self._running[f][0].name)):
                self._collect(future)
        elif self._elsewhere and not self._schedule:
            time.sleep(_POLL_SECONDS)

    def _begin(self, pool: ThreadPoolExecutor, action: Action) -> None:
        bad = [name for name in (*action.upstream, *action.guards) if not self.outcomes[name].good]
        if bad:
            why = tuple(Cause("upstream", name, None, self.outcomes[name].state) for name in bad)
            self._end(Outcome(action.name, action.step, action.day, BLOCKED, why=why))
            return
        digests = {name: self.outcomes[name].artifact for name in action.upstream}
        found = look_up(action, digests, self._traces, self._force)
        if not found.trace and not self._force:
            found = self._spare(action, found)
        if not found.trace and self._locks:
            if not self._locks.acquire(found.key):
                self._elsewhere.append(action)
                return
            if not self._force:  # it may have been computed between the look and the lock
                found = look_up(action, digests, self._traces)
        if found.trace:
            if self._locks:
                self._locks.release(found.key)
            self._hit(action, found.trace)
            return
        self._progress.started(action.name)
        above = {name: self._schedule.action(name) for name in action.upstream}
        self._running[pool.submit(_run, action, digests, above)] = (action, found)

    def _spare(self, action: Action, found: Lookup) -> Lookup:
        """A hit, where what changed since the last time surely leaves the bytes as they are."""
        last = found.previous
        if last is None or not action.spared(last.manifest, found.manifest):
            return found
        if action.shelf.problem(action.name, last.artifact):
            return found
        trace = replace(last, key=found.key, manifest=found.manifest, code=self._code())
        self._traces.record(trace)
        self._latest[action.name] = trace.key
        return replace(found, trace=trace)

    def _rows_in(self, action: Action) -> int:
        return sum(rows_out(self.outcomes[name].counts) for name in action.upstream)

    def _hit(self, action: Action, trace: Trace) -> None:
        why: tuple[Cause, ...] = ()
        if self._latest.get(action.name) != trace.key:
            why = turned_back(action, trace, self._traces)
            self._traces.point(action.name, trace.key)
        self._end(
            Outcome(action.name, action.step, action.day, HIT, trace.artifact, trace.counts, trace.seconds, trace.bytes,
                    why, key=trace.key)
        )  # fmt: skip

    def _collect(self, future: Future) -> None:
        action, found = self._running.pop(future)
        try:
            artifact, size, counts, seconds = future.result()
            same = found.previous is not None and found.previous.artifact == artifact
            counts = {**counts, "rows_in": self._rows_in(action)}
            trace = Trace(found.key, action.name, artifact, counts, seconds, size, found.manifest, self._code())
            self._traces.record(trace)
        except Exception as error:  # an action may fail in any way; its day says how
            self._fail(action, found, error)
        else:
            state = UNCHANGED if same else COMPUTED
            expected = found.previous.seconds if found.previous else None
            self._end(
                Outcome(action.name, action.step, action.day, state, artifact, counts, seconds, size, found.why,
                        expected=expected, key=found.key)
            )  # fmt: skip
        finally:
            if self._locks:
                self._locks.release(found.key)

    def _fail(self, action: Action, found: Lookup, error: Exception) -> None:
        if is_out_of_space(error):
            raise OutOfSpace(action.name) from error
        if action.day is None:
            if isinstance(error, DaedalusError):
                raise error
            raise DaedalusError(f"the step {action.name} failed", found=_first_lines(error)) from error
        text = (
            error.one_line() if isinstance(error, DaedalusError) else f"{type(error).__name__}: {_first_lines(error)}"
        )
        self._end(Outcome(action.name, action.step, action.day, FAILED, why=found.why, error=text))

    def _end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.name] = outcome
        self._progress.finished(outcome)
        self._schedule.ended(outcome.name)
        if outcome.day:
            self._of_day.setdefault(outcome.day, []).append(outcome)
        if day := self._closes.get(outcome.name):
            self._day_done(day, self._of_day[day])
            self._progress.day_done(day, self._of_day[day])


def _run(action: Action, digests: Mapping[str, str], above: Mapping[str, Action]) -> tuple[str, int, Counts, float]:
    """Runs an action in a worker: (artifact digest, bytes, counts, seconds)."""
    began = time.perf_counter()
    paths = {name: above[name].shelf.path(name, artifact) for name, artifact in digests.items()}
    for pause in (*_RETRY_PAUSES, None):
        try:
            staged = action.shelf.stage(action.name)
            counts = action.run(paths, staged)
            action.verify()
            artifact, size = action.shelf.keep(action.name, staged)
            return artifact, size, counts, time.perf_counter() - began
        except OSError as error:
            if pause is None or error.errno not in _TRANSIENT:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split("\n\n")[0].split())
