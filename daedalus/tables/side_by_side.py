"""Does parts of a step's work in several threads, if it has rows enough: for what does not hold the interpreter."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from daedalus.tables.held import HELD

_ROWS = 200_000  # with fewer, a worker has more to do with another step

_T = TypeVar("_T")


def side_by_side(parts: Iterable[Callable[[], _T]], rows: int) -> Iterator[_T]:
    """What each of `parts` returns, in their order, while those behind it run. They are asked for as they are needed,
    so that few are in memory; but those of a list may all run before the first one ends.

    As many threads as a process has workers: a step that others wait for has the machine to itself.
    """
    if rows < _ROWS or HELD.workers < 2:
        for part in parts:
            yield part()
        return
    ahead = len(parts) if isinstance(parts, Sequence) else HELD.workers
    pool = _threads(HELD.workers)
    running: deque[tuple[Callable[[], _T], Future[_T]]] = deque()
    try:
        for part in parts:
            running.append((part, pool.submit(part)))
            if len(running) > ahead:
                yield _made(*running.popleft())
        while running:
            yield _made(*running.popleft())
    finally:
        wait([future for _, future in running if not future.cancel()])


def _made(part: Callable[[], _T], future: Future[_T]) -> _T:
    """What a part returns. It runs here if no thread has begun it: all may be busy with what this thread is a part of,
    so nobody waits for what does not run."""
    return part() if future.cancel() else future.result()


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """The threads of a process, which keep the memory that they work in."""
    return ThreadPoolExecutor(count, thread_name_prefix="daeda-part")


os.register_at_fork(after_in_child=_threads.cache_clear)  # a fork has no threads but one
