"""Write-behind: threads that upload results while the run goes on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

_THREADS = 4
_QUEUED = 20_000  # jobs, each with a name and a trace; what does not fit is left for a later run


class Uploads:
    """A queue of upload jobs and the threads that run them, which start with the first jobs."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[tuple[Callable[[], None], int]] = queue.Queue(_QUEUED)
        self._open = threading.Condition()
        self.waiting, self.bytes = 0, 0  # jobs not done yet, and their bytes
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def add(self, job: Callable[[], None], size: int) -> bool:
        """Queues a job of `size` bytes; False if the queue is full or stopped. A job must not raise."""
        with self._open:
            if self._stopped:
                return False
            try:
                self._jobs.put_nowait((job, size))
            except queue.Full:
                return False
            self.waiting, self.bytes = self.waiting + 1, self.bytes + size
            if len(self._threads) < min(_THREADS, self.waiting):
                thread = threading.Thread(target=self._work, name="daeda-share", daemon=True)
                self._threads.append(thread)
                thread.start()
        return True

    def drain(self, seconds: float) -> int:
        """Waits until all jobs are done, at most `seconds`; returns how many are left."""
        until = time.monotonic() + seconds
        with self._open:
            while self.waiting and (left := until - time.monotonic()) > 0:
                self._open.wait(min(left, 0.2))  # short, so that Ctrl-C is noticed
            return self.waiting

    def stop(self) -> None:
        """Drops waiting jobs; does not wait for running ones."""
        with self._open:
            self._stopped = True

    def _work(self) -> None:
        while True:
            job, size = self._jobs.get()
            if not self._stopped:
                job()
            with self._open:
                self.waiting, self.bytes = self.waiting - 1, self.bytes - size
                self._open.notify_all()
