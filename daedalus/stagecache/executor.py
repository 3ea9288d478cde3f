"""Where actions run: what a walk asks of an executor, and the one of threads.

An executor may be elsewhere and may run a task twice: a task writes under the digest of its bytes, so the
second time changes nothing.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from daedalus.errors import EXIT_DAY_FAILED, DaedalusError
from daedalus.stagecache.action import Action, Counts, Manifest

_RETRY_PAUSES = (0.1, 0.5)  # seconds
_TRANSIENT = {errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.ESTALE, errno.ENETUNREACH}


class RunStopped(DaedalusError):
    """No other day would fare better, so the whole run stops; what it finished is kept."""

    exit_code = EXIT_DAY_FAILED


@dataclass(frozen=True)
class Task:
    """An action to run: the digests of what it reads, the actions that made them, and what its key is made of."""

    action: Action
    digests: Mapping[str, str]
    above: Mapping[str, Action]
    key: str
    manifest: Manifest


@dataclass(frozen=True)
class Made:
    """What an action made, and what that took."""

    artifact: str
    bytes: int
    counts: Counts
    seconds: float


class Executor(Protocol):
    """Runs tasks. Every method is called by the walking thread."""

    @property
    def free(self) -> bool:
        """Whether it takes another task now."""

    def submit(self, task: Task) -> Future[Made]:
        """Begins a task. Raises DaedalusError when nothing can be run there at all."""

    def tend(self) -> None:
        """Called again and again during the walk. Raises RunStopped when the executor cannot go on."""

    def shutdown(self) -> None:
        """Drops what has not begun, waits for what has, and gives back what it holds."""


class Threads:
    """So many threads of this process; an `Executor`."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="daeda")
        self._busy: set[Future] = set()

    @property
    def free(self) -> bool:
        return len(self._busy) < self._workers

    def submit(self, task: Task) -> Future[Made]:
        future = self._pool.submit(perform, task)
        self._busy.add(future)
        future.add_done_callback(self._busy.discard)
        return future

    def tend(self) -> None:
        """Threads look after themselves."""

    def shutdown(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def perform(task: Task) -> Made:
    """Runs a task here and now."""
    began = time.perf_counter()
    action = task.action
    paths = {name: task.above[name].shelf.path(name, artifact) for name, artifact in task.digests.items()}
    for pause in (*_RETRY_PAUSES, None):
        try:
            staged = action.shelf.stage(action.name)
            counts = action.run(paths, staged)
            action.verify()
            artifact, size = action.shelf.keep(action.name, staged)
            return Made(artifact, size, counts, time.perf_counter() - began)
        except OSError as error:
            if pause is None or error.errno not in _TRANSIENT:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")
