"""Says how far the work before a run is, if it takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_FIRST_SECONDS, _MORE_SECONDS = 1.0, 2.0  # until the first line, and from one to the next

_T = TypeVar("_T")


def counted_off(items: Iterable[_T], total: int, say: Callable[[str], None], line: str) -> Iterator[_T]:
    """The items; if going through them takes long, `say` is told `line` with how many are `done` of the `total`."""
    next_line = time.monotonic() + _FIRST_SECONDS
    for done, item in enumerate(items):
        if time.monotonic() >= next_line:
            say(line.format(done=done, total=total))
            next_line = time.monotonic() + _MORE_SECONDS
        yield item
