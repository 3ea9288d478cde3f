"""Executors, which run the actions of a walk: the protocol, and a pool of threads.

The walk submits a `Task` per action that it must run and waits for the future, whose result is `Made` (the action
ran) or a `Trace` (a second level of the cache had the result). It submits while the executor is `free`, and calls
`tend` regularly in between. An executor may run on other machines and may run a task twice: a task writes under
the digest of its bytes, so the second time changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from daedalus.base.retry import PAUSES, is_transient, retried
from daedalus.stagecache.action import Action, Again, Counts, Manifest, Part, Shelf
from daedalus.stagecache.records.traces import Trace

_IN_LINE = 6  # short tasks
_SHORT, TINY = 0.05, 0.015  # seconds


def nobody() -> None:
    """A `Task.ask` without a second level to ask: always None, so that the action runs."""


@dataclass(frozen=True)
class Task:
    """An action to run, with what it reads.

    `ask()` returns the trace that answers the action if a second level of the cache has one; it may block.
    `seconds` are what the action is expected to take, and `chain` those of the longest chain of actions from it on;
    0 where there is no forecast. `rows` are those of what an action with parts reads, and `others` how many actions are
    ready besides. With a `split` it is one part of the action that is made, or those that were made, by what `Made`
    calls them, are put together.
    """

    action: Action
    digests: Mapping[str, str]  # of the artifacts that it reads, by action name
    above: Mapping[str, Action]  # the actions that made them, whose shelves have the artifacts
    key: str
    manifest: Manifest
    ask: Callable[[], Trace | None] = nobody
    seconds: float = 0.0
    chain: float = 0.0
    rows: Mapping[str, int] = field(default_factory=dict)
    others: int = 0
    split: Part | tuple[str, ...] | None = None

    @property
    def is_part(self) -> bool:
        return isinstance(self.split, Part)

    @property
    def suffix(self) -> str:
        """What tells the tasks of an action apart: nothing for the whole of it."""
        if isinstance(self.split, Part):
            return f" part {self.split.index} of {self.split.count}"
        return " of parts" if self.split else ""


@dataclass(frozen=True)
class Made:
    """What an action made: its artifact's digest and size, row counts, and the seconds it took."""

    artifact: str
    bytes: int
    counts: Counts
    seconds: float


class Executor(Protocol):
    """Runs tasks. The thread of the walk calls it; an executor that wraps this one may call `submit` from others."""

    @property
    def free(self) -> bool:
        """Whether the walk may submit another task now."""

    @property
    def idle(self) -> int:
        """How many more workers could take parts of a task right away."""

    @property
    def spreads(self) -> bool:
        """Whether parts of a task get more of it than the task itself, which may use several cores of its machine."""

    def submit(self, task: Task) -> Future[Made | Trace]:
        """Starts or queues a task. Raises DaedalusError when this executor can run nothing at all."""

    def tend(self) -> None:
        """Called repeatedly during the walk, for housekeeping. Raises RunStopped when the executor cannot go on."""

    def shutdown(self) -> None:
        """Cancels tasks that have not started, waits for the others, and releases resources."""


class Wrapped:
    """What an executor that has another one do the work has in common with it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    @property
    def free(self) -> bool:
        return self._executor.free

    @property
    def idle(self) -> int:
        return self._executor.idle

    @property
    def spreads(self) -> bool:
        return self._executor.spreads


class Threads:
    """A pool of threads; an `Executor`.

    Short tasks wait in line, since for a worker to fall asleep and be woken costs as much as they do. Those that are
    shorter still run in the thread of the walk, a few between two looks around: they are mostly Python, of which
    several threads get no more done than one, and hand the interpreter to each other a hundred times a task.
    """

    def __init__(self, workers: int, ahead: Callable[[], None] | None = None) -> None:
        """`ahead` is called once, in a thread of its own when the first task of a day starts: it warms up what those
        need."""
        self._workers, self._ahead = workers, ahead
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="daeda")
        self._busy: set[Future] = set()
        self._here = 0  # tasks that ran in the thread of the walk since it looked around
        self._usual = 1.0  # seconds of a task, those that ended last counting most

    @property
    def free(self) -> bool:
        waiting = _IN_LINE if self._usual < _SHORT else 0
        return self._here < _IN_LINE and len(self._busy) < self._workers + waiting

    @property
    def idle(self) -> int:
        return max(self._workers - len(self._busy), 0)

    @property
    def spreads(self) -> bool:
        return False

    def submit(self, task: Task) -> Future[Made | Trace]:
        if self._ahead and task.action.day:
            threading.Thread(target=self._ahead, name="daeda-ahead").start()
            self._ahead = None
        future: Future[Made | Trace] = Future()
        if self._usual < TINY:
            self._here += 1
            self._run(future, task)
        else:
            self._busy.add(future)
            future.add_done_callback(self._busy.discard)
            self._pool.submit(self._run, future, task)
        return future

    def tend(self) -> None:
        self._here = 0

    def shutdown(self) -> None:
        for future in list(self._busy):
            future.cancel()
        self._pool.shutdown(wait=True)

    def _run(self, future: Future[Made | Trace], task: Task) -> None:
        if not future.set_running_or_notify_cancel():
            return
        began = time.perf_counter()
        try:
            made = answer(task)
        except BaseException as error:  # the walk raises or tells it
            future.set_exception(error)
        else:
            future.set_result(made)
        self._usual += (time.perf_counter() - began - self._usual) / 8


def answer(task: Task) -> Made | Trace:
    """The trace that answers a task if a second level has it; else runs the task."""
    return task.ask() or perform(task)


def perform(task: Task) -> Made:
    """Runs a task in this thread. Raises Again when upstream artifacts are no longer available."""
    began = time.perf_counter()
    action, paths = task.action, _paths(task)
    work, shelf = _work(task)

    def run() -> Made:
        staged = shelf.stage(action.name)
        try:
            counts = work(paths, staged)
        finally:
            _check_in_place(task)
        action.verify()  # before `keep`: what was made of an input that changed meanwhile is never kept
        artifact, size = shelf.keep(action.name, staged)
        return Made(artifact, size, counts, time.perf_counter() - began)

    return retried(run, on=is_transient, pauses=PAUSES)


def _work(task: Task) -> tuple[Callable[[Mapping[str, Path], Path], Counts], Shelf]:
    """What a task runs, and where the result goes."""
    action, split = task.action, task.split
    if split is None or action.parts is None:
        return action.run, action.shelf
    if isinstance(split, Part):
        return partial(action.parts.run, split), _Loose(action.shelf)
    return partial(action.parts.join, [Path(one) for one in split]), action.shelf


class _Loose:
    """The `Shelf` of a part: it stays where it was made, and its path is its name."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def stage(self, name: str) -> Path:
        return self._shelf.stage(name)

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        return str(staged), staged.stat().st_size

    def problem(self, name: str, artifact: str) -> str:
        return "" if Path(artifact).exists() else "missing"

    def path(self, name: str, artifact: str) -> Path:
        return Path(artifact)


def _check_in_place(task: Task) -> None:
    """Raises Again when an artifact that others may replace is not the one any more that was to be read."""
    lost = [name for name in task.action.replaced if task.above[name].shelf.problem(name, task.digests[name])]
    if lost:
        raise Again(lost)


def _paths(task: Task) -> dict[str, Path]:
    """Paths of what is read, by action name. Asking for a path may fetch it; all that are lost raise Again."""
    lost: list[str] = []
    paths = {}
    for name, artifact in task.digests.items():
        try:
            paths[name] = task.above[name].shelf.path(name, artifact)
        except Again as again:
            lost += again.lost
    if lost:
        raise Again(lost)
    return paths
