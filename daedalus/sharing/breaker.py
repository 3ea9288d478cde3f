"""A circuit breaker for a store that may be down or slow: after a few failures a run goes on without it."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from daedalus.base.errors import is_full
from daedalus.objectstore.object_store import Conflict

_FAILURES = 3  # in a row
_FAIR_SECONDS = 1.0  # a request that takes no longer is not slow
_SLOW_SECONDS = 60.0  # time beyond that, summed over a run, after which the store is given up


class Off(OSError):
    """Raised for requests to a store that was given up for this run."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EHOSTDOWN, why)


class Breaker:
    """Counts failures in a row and time lost; once `off` says why, every `watch` raises Off. Thread-safe."""

    def __init__(self) -> None:
        self.off = ""
        self._failures, self._lost = 0, 0.0
        self._lock = threading.Lock()

    @contextmanager
    def watch(self, *, transfer: bool = False) -> Iterator[None]:
        """Wraps a request. An answer such as "not found" is no failure; the time of a `transfer` is not counted."""
        if self.off:
            raise Off(self.off)
        began = time.monotonic()
        try:
            yield
        except (FileNotFoundError, FileExistsError, Conflict):
            self._answered(began, transfer)
            raise
        except OSError as error:
            if not is_full(error):
                self._failed(error)
            raise
        else:
            self._answered(began, transfer)

    def give_up(self, why: str) -> None:
        with self._lock:
            self.off = self.off or why

    def _answered(self, began: float, transfer: bool) -> None:
        with self._lock:
            self._failures = 0
            if not transfer:
                self._lost += max(time.monotonic() - began - _FAIR_SECONDS, 0)
            if self._lost > _SLOW_SECONDS:
                self.off = self.off or "it is too slow"

    def _failed(self, error: OSError) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= _FAILURES:
                self.off = self.off or str(error.strerror or error)
