"""Ctrl-C while a walk goes on: it is raised where nothing is held and nothing half done."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes Ctrl-C (and SIGTERM, where it is handled as that) until `check` raises it; a context manager.

    Python would raise it between any two instructions of the main thread. Between the taking of a lock by a context
    manager and its block nobody gives the lock back, and threads that the walk then waits for wait for ever. A second
    Ctrl-C is raised at once. Outside of the main thread, and for signals that the caller handles, all stays as it is.
    """

    def __init__(self, then: Callable[[], None]) -> None:
        """`then` is called in a thread of its own when one comes: it has what runs now end soon."""
        self._then, self._came = then, False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is signal.default_int_handler:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt if one came."""
        if self._came:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True
        _thread.start_new_thread(self._then, ())  # `threading.Thread` takes locks that this thread may hold
