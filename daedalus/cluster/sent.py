"""The tasks that are with Dask. One that was sent twice, because it was stuck, is there twice; its first answer counts.

Dask's thread brings answers, and the walk's thread does all else.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from daedalus.cluster.pace import Pace
from daedalus.cluster.reading import Read
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk.executor import Made, Task

_CLAIMING = threading.Lock()


@dataclass(frozen=True)
class Sent:
    """A submitted task, what is told of what it reads, and the future that the walk waits for."""

    task: Task
    future: Future[Made | Trace]
    read: Read = field(default_factory=Read)
    alone: bool = False  # a suspect that has the cluster to itself
    key: tuple[str | int, ...] = ()  # Dask's; another each time, since the same key returns the same result
    since: float = 0.0  # when it was sent
    apart: str | None = None  # the slow worker that has its twin, and may not have this too
    workers: frozenset[str] = frozenset()  # those that it was sent to, if not to all

    @property
    def is_answered(self) -> bool:
        """Whether its answer has come, also if a partition is still being published."""
        return self.future.running() or self.future.done()

    def claim(self) -> bool:
        """Has an answer be the one that counts; False if another is."""
        with _CLAIMING:
            return not self.is_answered and self.future.set_running_or_notify_cancel()


class Out:
    """What is with Dask, by Dask's futures."""

    def __init__(self) -> None:
        self._sent: dict[Future, Sent] = {}
        self._doubled: set[Future] = set()  # of `Sent`, those that were sent twice
        self._outrun: list[Future] = []  # Dask's, of tasks whose twin was first

    def __len__(self) -> int:
        return len(self._sent)

    def __iter__(self) -> Iterator[Future]:
        return iter(list(self._sent))

    @property
    def is_held(self) -> bool:
        """Whether a task has the cluster to itself."""
        return any(sent.alone for sent in list(self._sent.values()))

    def add(self, inner: Future, sent: Sent) -> None:
        self._sent[inner] = sent

    def take(self, inner: Future) -> Sent | None:
        """What an answer is of; None if it is not waited for any more."""
        return self._sent.pop(inner, None)

    def twins(self, sent: Sent) -> dict[Future, Sent]:
        """What is with Dask of a task that was sent twice; nothing of another."""
        if sent.future not in self._doubled:
            return {}
        return {inner: other for inner, other in list(self._sent.items()) if other.future is sent.future}

    def outrun(self, sent: Sent) -> None:
        """Notes that a task is answered: what is left of it is to be cancelled."""
        self._outrun += self.twins(sent)

    def cancel_outrun(self) -> None:
        outrun, self._outrun = self._outrun, []
        for inner in outrun:
            inner.cancel()

    def stuck(self, pace: Pace) -> list[tuple[Future, Sent]]:
        """What is overdue."""
        return [(inner, sent) for inner, sent in list(self._sent.items())
                if not sent.alone and pace.is_stuck(sent.since, sent.task.seconds)]  # fmt: skip

    def sent_to_none_of(self, there: Collection[str]) -> list[tuple[Future, Sent]]:
        """What was sent to workers that are not there any more."""
        return [(inner, sent) for inner, sent in list(self._sent.items())
                if sent.workers and sent.workers.isdisjoint(there)]  # fmt: skip

    def give_up(self, inner: Future) -> None:
        """Takes a task back from Dask."""
        self.take(inner)
        inner.cancel()

    def doubled(self, sent: Sent) -> None:
        self._doubled.add(sent.future)

    def left_alone(self, sent: Sent) -> None:
        """Notes that a task's twin died with its worker: if what is left is stuck, it is sent a second time again."""
        self._doubled.discard(sent.future)
