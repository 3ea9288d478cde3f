"""Doing something again when it failed: the only loop of its kind."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def retried(
    call: Callable[[], _T], *, on: Callable[[Exception], bool], pauses: Sequence[float],
    clean: Callable[[], object] = lambda: None,
) -> _T:  # fmt: skip
    """What `call` returns, called again after each of the `pauses`, in seconds, while it raises what `on` accepts.

    `clean` is called after each such failure. The last one is raised as it is.
    """
    for pause in (*pauses, None):
        try:
            return call()
        except Exception as error:
            if not on(error):
                raise
            clean()
            if pause is None:
                raise
        if pause:
            time.sleep(pause)
    raise AssertionError("unreachable")


PAUSES = (0.1, 0.5)  # seconds before a failed action is run again
# Errors of a disk, mostly a network's, that may be gone a moment later. All others fail the action at once.
_TRANSIENT = {errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.ESTALE, errno.ENETUNREACH}


def is_transient(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _TRANSIENT
