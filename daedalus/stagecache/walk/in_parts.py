"""Has large actions computed in parts, by workers that would be idle.

    submit     decides in how many parts; asks the second level first, which may have the whole
    _begin     gives the parts to the executor that it wraps, as tasks like others
    _ended     in a worker's thread: once the last part is there, the action waits for `tend`
    tend       in the walk's thread: submits what puts the parts together, as one more task

A part that fails fails the action. Parts are files of the run, so what is left of them goes with its scratch folder.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import cast

from daedalus.stagecache.action import Part
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk.executor import Executor, Made, Task, Wrapped, nobody

LEAST = 200_000  # rows of a part: of fewer, putting parts together takes longer than they save
_ASKING = 4  # threads that ask the second level


@dataclass
class _Split:
    """An action in parts, and the future that the walk waits for."""

    task: Task
    count: int
    whole: Future[Made | Trace] = field(default_factory=Future)
    parts: list[Future[Made | Trace]] = field(default_factory=list)
    left: int = 0


class InParts(Wrapped):
    """An `Executor` that has another one compute actions in parts.

    `shards` is in how many; None: as many as workers are idle, of LEAST rows at least.
    """

    def __init__(self, executor: Executor, shards: int | None) -> None:
        super().__init__(executor)
        self._shards = shards
        self._counting = threading.Lock()
        self._complete: deque[_Split] = deque()
        self._asking: ThreadPoolExecutor | None = None
        self._asked: list[tuple[_Split, Future[Trace | None]]] = []

    def submit(self, task: Task) -> Future[Made | Trace]:
        count = self._count(task)
        if count < 2:
            return self._executor.submit(task)
        split = _Split(replace(task, ask=nobody), count)
        if task.ask is nobody:
            self._begin(split)
        else:
            self._asking = self._asking or ThreadPoolExecutor(_ASKING, thread_name_prefix="daeda-whole")
            self._asked.append((split, self._asking.submit(task.ask)))
        return split.whole

    def _count(self, task: Task) -> int:
        parts = task.action.parts
        rows = parts.rows(task.rows) if parts and self._shards != 1 else 0
        if self._shards:
            return self._shards if rows else 1
        return min(self._executor.idle - task.others, rows // LEAST)

    def tend(self) -> None:
        self._executor.tend()
        asked, self._asked = self._asked, []
        for split, answer in asked:
            if not answer.done():
                self._asked.append((split, answer))
            elif error := answer.exception():
                split.whole.set_exception(error)
            elif found := answer.result():
                split.whole.set_result(found)
            else:
                self._begin(split)
        while self._complete:
            self._join(self._complete.popleft())

    def shutdown(self) -> None:
        if self._asking:
            self._asking.shutdown(wait=False, cancel_futures=True)
        self._executor.shutdown()

    def _begin(self, split: _Split) -> None:
        split.left = split.count
        for index in range(split.count):
            part = self._executor.submit(replace(split.task, split=Part(index, split.count)))
            split.parts.append(part)
        for part in split.parts:
            part.add_done_callback(partial(self._ended, split))

    def _ended(self, split: _Split, part: Future[Made | Trace]) -> None:
        with suppress(InvalidStateError):  # another part failed before
            try:
                if error := part.exception():
                    split.whole.set_exception(error)
            except CancelledError:
                split.whole.cancel()
        with self._counting:
            split.left -= 1
            complete = not split.left
        if split.whole.done():
            for other in split.parts:
                other.cancel()
        elif complete:
            self._complete.append(split)

    def _join(self, split: _Split) -> None:
        parts = [cast(Made, part.result()) for part in split.parts]
        joining = self._executor.submit(replace(split.task, split=tuple(part.artifact for part in parts)))
        joining.add_done_callback(partial(_joined, split, parts))


def _joined(split: _Split, parts: list[Made], joining: Future[Made | Trace]) -> None:
    """Completes an action whose parts were put together, and removes these."""
    for part in parts:
        with suppress(OSError):
            Path(part.artifact).unlink()
    with suppress(InvalidStateError, CancelledError):
        if error := joining.exception():
            split.whole.set_exception(error)
            return
        made = cast(Made, joining.result())
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part.counts)
        seconds = made.seconds + sum(part.seconds for part in parts)
        split.whole.set_result(replace(made, counts={**counts, **made.counts}, seconds=seconds))
