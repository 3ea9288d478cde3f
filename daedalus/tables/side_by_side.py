"""Does parts of a step's work in several threads, if it has rows enough: for what does not hold the interpreter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
    with ThreadPoolExecutor(HELD.workers, thread_name_prefix="daeda-part") as pool:
        running: deque[Future[_T]] = deque()
        for part in parts:
            running.append(pool.submit(part))
            if len(running) > ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
