"""Makes what actions made durable, many files and records at a time, while other actions run.

What is downstream need not wait for that: the bytes are there. A crash loses what was not committed, no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_MOST = 1000  # results that wait for a commit
# Seconds that one waits for others: a file system writes many new files at once for little more than a few. Where
# another process computes what this one needs, the two wait for each other's results.
_SECONDS, _SECONDS_SHARED = 0.5, 0.1


class Commits:
    """Calls `commit()` in a thread of its own, and then, in the thread of the walk, what waited for it."""

    def __init__(self, commit: Callable[[], None]) -> None:
        self._commit = commit
        self._waiting: list[Callable[[], None]] = []
        self._going: list[Callable[[], None]] = []
        self._since, self._seconds = 0.0, _SECONDS
        self._future: Future[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    def after(self, then: Callable[[], None]) -> None:
        """Has `then` called once all that is done so far is durable."""
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(then)

    def when_done(self, then: Callable[[], None]) -> None:
        """The same for what makes nothing itself: at once if nothing waits."""
        if self._waiting or self._going:
            self.after(then)
        else:
            then()

    def hurry(self) -> None:
        """Commits more often from now on: another process has part of the work."""
        self._seconds = _SECONDS_SHARED

    def tend(self) -> None:
        """Ends a commit that is done; starts one if enough waits, or for long enough. Raises what a commit raised."""
        if self._future is not None:
            if not self._future.done():
                return
            self._end()
        if len(self._waiting) >= _MOST or (self._waiting and time.monotonic() - self._since >= self._seconds):
            self._start()

    def finish(self) -> None:
        """Commits all that waits."""
        try:
            if self._future is not None:
                self._end()
            while self._waiting:
                self._start()
                self._end()
        finally:
            if self._thread:
                self._thread.shutdown()
                self._thread = None

    def _start(self) -> None:
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="daeda-commit")
        self._going, self._waiting = self._waiting, []
        self._future = self._thread.submit(self._commit)

    def _end(self) -> None:
        assert self._future is not None
        future, self._future = self._future, None
        try:
            future.result()
        except BaseException:
            self._waiting.clear()  # after a failed commit there is none
            raise
        try:
            while self._going:
                self._going.pop(0)()
        finally:  # an interrupt between two of them: what is durable is told by the next commit
            self._going, self._waiting = [], self._going + self._waiting
