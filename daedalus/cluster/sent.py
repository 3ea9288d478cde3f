"""The copies of tasks that are with Dask: one of each task, and another of what is stuck.

A copy leaves in one of these ways. The last column is what becomes of the other copy of its task.

    answered   a result or an error came: the first one counts          it is cancelled
    killed     its workers died: the task is to run alone               it is cancelled
    returned   its worker refused it, or all that it was sent to went   it goes on; without one, the task is sent again
    cancelled  by Dask, since the scheduler is gone                     the run ends

Nothing but the copies that are here says how many there are: a task that lost one is as if it had never had two. Dask's
thread brings answers, and the walk's thread does all else.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from daedalus.cluster.pace import Pace
from daedalus.cluster.reading import Read
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk.executor import Made, Task


@dataclass(frozen=True)
class Sent:
    """A copy of a task, what is told of what it reads, and the future that the walk waits for."""

    task: Task
    future: Future[Made | Trace]
    read: Read = field(default_factory=Read)
    alone: bool = False  # a suspect that has the cluster to itself
    key: tuple[str | int, ...] = ()  # Dask's; another each time, since the same key returns the same result
    workers: frozenset[str] = frozenset()  # those that it was sent to, if not to all

    @property
    def is_answered(self) -> bool:
        """Whether its answer has come, also if a partition is still being published; or nobody waits for it."""
        return self.future.running() or self.future.done()


Copies = dict[Future, Sent]  # of one task, by Dask's futures


class Out:
    """What is with Dask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[Future, Copies] = {}  # by the walk's futures
        self._done: deque[Future] = deque()  # the walk's, whose copies are of no use any more

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Copies]:
        with self._lock:
            return iter([dict(copies) for copies in self._tasks.values()])

    def add(self, inner: Future, sent: Sent) -> None:
        with self._lock:
            self._tasks.setdefault(sent.future, {})[inner] = sent
        sent.future.add_done_callback(self._done.append)

    def take(self, inner: Future, sent: Sent) -> bool:
        """Takes out a copy that has left; False if it was given up before."""
        with self._lock:
            copies = self._tasks.get(sent.future, {})
            found = copies.pop(inner, None)
            if not copies:
                self._tasks.pop(sent.future, None)
        return found is not None

    def claim(self, sent: Sent) -> bool:
        """Has an answer be the one that counts; False if another is."""
        with self._lock:
            return not sent.is_answered and sent.future.set_running_or_notify_cancel()

    def has(self, future: Future) -> bool:
        """Whether there is a copy of a task, by the walk's future."""
        return future in self._tasks

    def give_up(self, copies: Copies) -> None:
        """Takes copies back from Dask. This waits for Dask's thread, so that one may not call it."""
        for inner, sent in copies.items():
            self.take(inner, sent)
            inner.cancel()

    def give_up_all(self, future: Future) -> None:
        """Takes all copies of a task back."""
        with self._lock:
            copies = dict(self._tasks.get(future, {}))
        self.give_up(copies)

    def give_up_done(self) -> None:
        """Takes back what is left of tasks that were answered."""
        while self._done:
            self.give_up_all(self._done.popleft())

    def stuck(self, pace: Pace) -> list[Copies]:
        """The copies of all tasks that are overdue, by task."""
        return [copies for copies in self if pace.is_stuck(next(iter(copies.values())).task.seconds)]

    def sent_to_none_of(self, there: Collection[str]) -> Copies:
        """What was sent to workers that are not there any more."""
        return {inner: sent for copies in self for inner, sent in copies.items()
                if sent.workers and sent.workers.isdisjoint(there)}  # fmt: skip
