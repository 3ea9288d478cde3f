"""Where actions run: what a walk asks of an executor, and the one of threads.

An executor may be elsewhere and may run a task twice: a task writes under the digest of its bytes, so the
second time changes nothing.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daedalus.base.errors import EXIT_DAY_FAILED, DaedalusError
from daedalus.base.retry import retried
from daedalus.stagecache.action import Action, Again, Counts, Manifest
from daedalus.stagecache.records.traces import Trace

_RETRY_PAUSES = (0.1, 0.5)  # seconds
_TRANSIENT = {errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.ESTALE, errno.ENETUNREACH}


class RunStopped(DaedalusError):
    """No other day would fare better, so the whole run stops; what it finished is kept."""

    exit_code = EXIT_DAY_FAILED


def nobody() -> None:
    """Nobody is asked: the action is to run."""


@dataclass(frozen=True)
class Task:
    """An action to run: the digests of what it reads, the actions that made them, and what its key is made of.

    `ask()` may know the answer already; it may wait.
    """

    action: Action
    digests: Mapping[str, str]
    above: Mapping[str, Action]
    key: str
    manifest: Manifest
    ask: Callable[[], Trace | None] = nobody


@dataclass(frozen=True)
class Made:
    """What an action made, and what that took."""

    artifact: str
    bytes: int
    counts: Counts
    seconds: float


class Executor(Protocol):
    """Runs tasks. The walking thread calls it; another executor may call `submit` from a thread of its own."""

    @property
    def free(self) -> bool:
        """Whether it takes another task now."""

    def submit(self, task: Task) -> Future[Made | Trace]:
        """Begins a task. Raises DaedalusError when nothing can be run there at all."""

    def tend(self) -> None:
        """Called again and again during the walk. Raises RunStopped when the executor cannot go on."""

    def shutdown(self) -> None:
        """Drops what has not begun, waits for what has, and gives back what it holds."""


class Threads:
    """So many threads of this process; an `Executor`."""

    def __init__(self, workers: int, ahead: Callable[[], None] | None = None) -> None:
        """`ahead` is called beside the first task, for what later ones would wait for."""
        self._workers, self._ahead = workers, ahead
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="daeda")
        self._busy: set[Future] = set()

    @property
    def free(self) -> bool:
        return len(self._busy) < self._workers

    def submit(self, task: Task) -> Future[Made | Trace]:
        if self._ahead:
            threading.Thread(target=self._ahead, name="daeda-ahead").start()
            self._ahead = None
        future = self._pool.submit(answer, task)
        self._busy.add(future)
        future.add_done_callback(self._busy.discard)
        return future

    def tend(self) -> None:
        """Threads look after themselves."""

    def shutdown(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def answer(task: Task) -> Made | Trace:
    """Asks, and runs the task where nobody knows."""
    return task.ask() or perform(task)


def perform(task: Task) -> Made:
    """Runs a task here and now. Raises Again when upstream artifacts cannot be had any more."""
    began = time.perf_counter()
    action, paths = task.action, _paths(task)

    def run() -> Made:
        staged = action.shelf.stage(action.name)
        counts = action.run(paths, staged)
        action.verify()
        artifact, size = action.shelf.keep(action.name, staged)
        return Made(artifact, size, counts, time.perf_counter() - began)

    return retried(run, on=_is_transient, pauses=_RETRY_PAUSES)


def _is_transient(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _TRANSIENT


def _paths(task: Task) -> dict[str, Path]:
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
