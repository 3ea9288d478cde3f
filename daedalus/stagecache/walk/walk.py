"""The walk: looks up every action in order, and runs those that the cache cannot answer.

Only the thread of the walk uses the traces; workers run actions and write files (see executor.py).
An action's failure blocks what is downstream of it and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue

from msgspec import structs

from daedalus.base.errors import DaedalusError, Interrupted, RunStopped, problem_of
from daedalus.stagecache.action import Action, Again, Cause
from daedalus.stagecache.records.key_locks import KeyLocks
from daedalus.stagecache.records.traces import Trace, Traces
from daedalus.stagecache.walk.commits import Commits
from daedalus.stagecache.walk.executor import Executor, Made, Task, Threads, nobody
from daedalus.stagecache.walk.forecast import Expected, Forecast
from daedalus.stagecache.walk.full_disk import OutOfSpace, is_out_of_space
from daedalus.stagecache.walk.in_turn import InTurn
from daedalus.stagecache.walk.interrupts import Interrupts
from daedalus.stagecache.walk.outcome import BLOCKED, COMPUTED, FAILED, HIT, RUN, UNCHANGED, Outcome, rows_out
from daedalus.stagecache.walk.plan import Lookup, look_up, turned_back
from daedalus.stagecache.walk.progress import Progress
from daedalus.stagecache.walk.schedule import Schedule
from daedalus.stagecache.walk.second_level import SecondLevel

_UNKNOWN = Expected(RUN, 0.0)  # of an action without a forecast
_POLL_SECONDS = 0.02  # between checks of what another process computes


class Walk:
    """One execution of a graph of actions. `execute()` may be called once."""

    def __init__(
        self,
        actions: Sequence[Action],
        traces: Traces,
        *,
        locks: KeyLocks | None = None,
        level: SecondLevel | None = None,
        code: Callable[[], str] = lambda: "",
        executor: Executor | None = None,
        commit: Callable[[], None] | None = None,
        force: bool = False,
        progress: Progress | None = None,
        forecast: Forecast | None = None,
        longest_first: bool = False,
        day_done: Callable[[str, list[Outcome]], None] = lambda day, outcomes: None,
        interrupt: Callable[[], None] = lambda: None,
        ends_run: Callable[[Action], bool] = lambda action: action.day is None,
        unread: Callable[[str], None] = lambda artifact: None,
    ) -> None:
        """`ends_run` says of which actions a failure ends the walk: by default of those that belong to no day.
        `unread` is told the artifacts that no action reads any more.

        With `longest_first`, actions that long chains wait for, by the forecast, start before others.
        """
        self._forecast = forecast or Forecast()
        chains = {name: step.chain for name, step in self._forecast.steps.items()} if longest_first else None
        self._in_turn = executor if isinstance(executor, InTurn) else None
        self._count, self._schedule = len(actions), Schedule(actions, chains, ahead=self._in_turn is not None)
        self._traces, self._locks, self._force, self._code = traces, locks, force, code
        self._level = level or SecondLevel()
        self._executor, self._progress = executor or Threads(1), progress or Progress()
        self._day_done, self._interrupt, self._ends_run, self._unread = day_done, interrupt, ends_run, unread
        self._commits = Commits(commit or traces.write)
        self._of_day: dict[str, list[Outcome]] = {}
        self._closes: dict[str, str] = {}
        self._latest = traces.latest_keys()
        self._done: SimpleQueue[Future | None] = SimpleQueue()
        self._interrupts = Interrupts(self._end_soon)
        self._running: dict[Future[Made | Trace], tuple[Action, Lookup]] = {}
        self._elsewhere: list[Action] = []  # to look up again: another process computes them, or an upstream is remade
        self._reopened: set[str] = set()  # ended before, but their artifacts are gone
        self.outcomes: dict[str, Outcome] = {}
        if self._in_turn:
            self._in_turn.attend(actions, partial(self._done.put, None))

    def execute(self, closing: Mapping[str, str]) -> dict[str, Outcome]:
        """Walks the graph and returns every action's outcome by name.

        `closing` maps each day to report to the action that completes it. Raises Interrupted on Ctrl-C,
        RunStopped when no further day can be done (OutOfSpace: a disk is full), and the error of an action
        that every day needs.
        """
        self._closes = {name: day for day, name in closing.items()}
        self._progress.begin(sorted(closing), self._count, self._forecast)
        with self._interrupts:
            self._to_the_end()
        return self.outcomes

    def _to_the_end(self) -> None:
        try:
            while self._schedule or self._running or self._elsewhere:
                self._advance()
            self._commits.finish()
            self._interrupts.check()
        except KeyboardInterrupt:
            raise Interrupted from None
        except (OSError, DaedalusError) as error:  # of a commit: an action's own errors are told by its day
            if is_out_of_space(error) and not isinstance(error, RunStopped):
                raise OutOfSpace("that writes the cache", error) from error
            raise
        finally:
            try:
                if self._running:
                    self._interrupt()
                self._executor.shutdown()
                with suppress(OSError, DaedalusError):  # the walk raises what stopped it
                    self._commits.finish()  # what was done before an interrupt is kept
            finally:
                if self._locks:
                    self._locks.release_all()
                self._progress.end()

    def _end_soon(self) -> None:
        self._interrupt()
        self._done.put(None)

    def _advance(self) -> None:
        """Starts what can start, then waits for a result or, if other processes compute all the rest, a moment."""
        self._executor.tend()
        self._commits.tend()
        for line in self._level.news():
            self._progress.say(line)
        waiting, self._elsewhere = self._elsewhere, []
        for action in waiting:
            if self._executor.free:
                self._begin(action)
            else:
                self._elsewhere.append(action)
        while self._schedule and self._executor.free:
            self._begin(self._schedule.pop())
        if self._running:
            for future in sorted(self._ended(), key=lambda f: self._schedule.place(self._running[f][0].name)):
                self._collect(future)
        elif self._elsewhere and not self._schedule:
            time.sleep(_POLL_SECONDS)

    def _ended(self) -> list[Future]:
        """The tasks that ended; waits a moment for the first."""
        found: list[Future | None] = []
        with suppress(Empty):
            found.append(self._done.get(timeout=0.2))
            while True:
                found.append(self._done.get_nowait())
        self._interrupts.check()  # what ended because of one did not fail
        return [future for future in found if future]

    def _begin(self, action: Action) -> None:
        """Looks an action up, and submits it if there is no answer; or puts it off to the next `_advance`."""
        self._interrupts.check()
        if not self._reopened.isdisjoint(action.reads):
            self._elsewhere.append(action)
            return
        bad = [name for name in (*action.reads, *action.guards) if not self.outcomes[name].good]
        if bad:
            why = tuple(Cause("upstream", name, None, self.outcomes[name].state) for name in bad)
            self._end(Outcome(action.name, action.step, action.day, BLOCKED, why=why))
            return
        digests = {name: self.outcomes[name].artifact for name in action.reads}
        is_new = self._locks is not None and action.name not in self._latest  # it is looked for below
        found = look_up(action, digests, self._traces, self._force, is_new=is_new)
        if not found.trace and not self._force:
            found = self._answered(action, found)
        if not found.trace and self._locks:
            if not self._locks.acquire(found.key):
                self._commits.hurry()
                self._elsewhere.append(action)
                return
            if not self._force and self._traces.find(found.key):  # computed between the look and the lock
                found = look_up(action, digests, self._traces)
        if found.trace:
            if self._locks:
                self._locks.release(found.key)
            self._hit(action, found.trace)
            return
        self._progress.started(action.name)
        above = {name: self._schedule.action(name) for name in action.reads}
        ask = nobody if self._force or type(self._level) is SecondLevel else partial(self._level.ask, action, found.key)
        expected = self._forecast.steps.get(action.name, _UNKNOWN)
        rows = {name: rows_out(self.outcomes[name].counts) for name in action.upstream} if _may_be_split(action) else {}
        others = len(self._schedule) + len(self._elsewhere)
        task = Task(action, digests, above, found.key, found.manifest, ask, seconds=expected.seconds,
                    chain=expected.chain, rows=rows, others=others)  # fmt: skip
        future = self._executor.submit(task)
        self._running[future] = (action, found)
        future.add_done_callback(self._done.put)

    def _answered(self, action: Action, found: Lookup) -> Lookup:
        """Answers by the second level, or by the last trace if the changes cannot affect the bytes."""
        if trace := self._level.cached_answer(action, found.key):
            self._traces.record(trace)
            self._latest[action.name] = trace.key
            return replace(found, trace=trace)
        return self._if_unaffected(action, found)

    def _if_unaffected(self, action: Action, found: Lookup) -> Lookup:
        """A hit by the last trace, if what changed since cannot change the bytes."""
        last = found.previous
        if last is None or not action.is_unaffected(last.manifest, found.manifest):
            return found
        if action.shelf.problem(action.name, last.artifact):
            return found
        trace = structs.replace(last, key=found.key, manifest=found.manifest, code=self._code())
        self._traces.record(trace)
        self._latest[action.name] = trace.key
        return replace(found, trace=trace)

    def _rows_in(self, action: Action) -> int:
        return sum(rows_out(self.outcomes[name].counts) for name in action.upstream)

    def _hit(self, action: Action, trace: Trace) -> None:
        self._level.share(action, trace)
        why: tuple[Cause, ...] = ()
        if self._latest.get(action.name) != trace.key:
            why = turned_back(action, trace, self._traces)
            self._traces.point(action.name, trace.key)
        self._end(
            Outcome(action.name, action.step, action.day, HIT, trace.artifact, trace.counts, trace.seconds, trace.bytes,
                    why, key=trace.key)
        )  # fmt: skip

    def _collect(self, future: Future) -> None:
        """Records the result of a finished task."""
        action, found = self._running.pop(future)
        kept = False
        try:
            made = future.result()
            if self._outdated(action, found):
                raise Again
            if isinstance(made, Trace):
                self._traces.record(made)
                self._latest[action.name] = made.key
                self._hit(action, made)
                return
            same = found.previous is not None and found.previous.artifact == made.artifact
            counts = {**made.counts, "rows_in": self._rows_in(action)}
            trace = Trace(found.key, action.name, made.artifact, counts, made.seconds, made.bytes, found.manifest,
                          self._code())  # fmt: skip
            self._traces.record(trace)
            self._latest[action.name] = trace.key
            kept = True
            self._commits.after(partial(self._committed, action, trace))  # before its day may be closed
        except Again as again:
            self._reopen(again.lost)
            self._elsewhere.append(action)
        except Exception as error:  # an action may fail in any way; its day reports the error
            self._fail(action, found, error)
        else:
            state = UNCHANGED if same else COMPUTED
            expected = found.previous.seconds if found.previous else None
            self._end(
                Outcome(action.name, action.step, action.day, state, made.artifact, counts, made.seconds, made.bytes,
                        found.why, expected=expected, key=found.key)
            )  # fmt: skip
        finally:
            if self._locks and not kept:
                self._locks.release(found.key)

    def _committed(self, action: Action, trace: Trace) -> None:
        """Others may have what an action made, now that it is durable."""
        self._level.share(action, trace)
        if self._locks:
            self._locks.release(trace.key)

    def _reopen(self, names: Iterable[str]) -> None:
        """Has actions that ended looked up again; actions downstream of them wait."""
        for name in names:
            if name in self.outcomes and name not in self._reopened:
                self._reopened.add(name)
                self._elsewhere.append(self._schedule.action(name))

    def _outdated(self, action: Action, found: Lookup) -> bool:
        """Whether an upstream artifact was remade with other bytes while the action ran, or what moves did move: nobody
        knows under which of the two it was made."""
        moved = any(found.manifest[label] != value for label, value in action.moving().items())
        return moved or any(
            found.manifest[f"upstream:{name}"] != self.outcomes[name].artifact for name in action.upstream
        )

    def _fail(self, action: Action, found: Lookup, error: Exception) -> None:
        if is_out_of_space(error):
            raise OutOfSpace(action.name, error) from error
        if isinstance(error, RunStopped):
            raise error
        if self._ends_run(action):
            if isinstance(error, DaedalusError):
                raise error
            raise DaedalusError(f"the step {action.name} failed", found=problem_of(error)["what"]) from error
        self._end(Outcome(action.name, action.step, action.day, FAILED, why=found.why, problem=problem_of(error)))

    def _end(self, outcome: Outcome) -> None:
        before = self.outcomes.get(outcome.name)
        self.outcomes[outcome.name] = outcome
        self._progress.finished(outcome)
        if before:
            self._replace(before, outcome)
            return
        for above in self._schedule.ended(outcome.name):
            if artifact := self.outcomes[above].artifact:
                self._unread(artifact)
        if self._in_turn:
            self._in_turn.ended(outcome.name)
        if outcome.day:
            self._of_day.setdefault(outcome.day, []).append(outcome)
        if day := self._closes.get(outcome.name):
            self._commits.when_done(partial(self._close, day))

    def _close(self, day: str) -> None:
        self._day_done(day, self._of_day[day])
        self._progress.day_done(day, self._of_day[day])

    def _replace(self, before: Outcome, outcome: Outcome) -> None:
        """Handles a second end of an action: if its bytes changed, what is downstream is looked up again too."""
        self._reopened.discard(outcome.name)
        if outcome.day:
            found = self._of_day[outcome.day]
            found[:] = [outcome if one.name == outcome.name else one for one in found]
        if day := self._closes.get(outcome.name):
            self._day_done(day, self._of_day[day])
        if outcome.good and before.artifact != outcome.artifact:
            self._reopen(self._schedule.below(outcome.name))


def _may_be_split(action: Action) -> bool:
    """Whether the executor wants to know how many rows an action reads."""
    return action.parts is not None or action.in_order is not None
