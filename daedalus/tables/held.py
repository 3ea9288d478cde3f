"""What was just written or read, kept in memory for who reads it next.

The file stays the truth: what is held is what its bytes say, so whoever finds nothing here reads the file. Paths of
artifacts are names of their content, and unfinished files have names of their own, so nothing held is ever outdated.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHARE, _EACH = 8, 2  # the part of the configured memory that is held, as its divisor; and of that, for one file
_UNLIMITED = 4 << 30  # taken for the limit where none is configured
_SMALL, _LARGE = 1 << 16, 1 << 20  # bytes
# What is held for an artifact: an Arrow table, or what is no text of it, or its lists by row group (windows_file.py);
# and, by digest, for a file of the feed (feed_files.py).
TABLE, NUMBERS, LISTS, FEED = "table", "numbers", "lists", "feed"
# For a spine: its events, and its sessions, as numbers (artifacts.py). Further forms are those of windows/seen.py and
# windows/roll.py.
EVENTS, SESSIONS = "events", "sessions"


class Held:
    """Objects by path and form, those used last, within a limit of bytes. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], tuple[Any, int]] = OrderedDict()
        self._forms: dict[str, set[str]] = {}  # that are held, by path
        self._bytes = self._most = self._memory = 0
        self.each = 0  # bytes that one worker may use beside, for what it works on
        self.workers = 1  # of this process

    def limit(self, memory: int | None, workers: int) -> None:
        """Divides the configured `memory` in bytes between what is held and the workers."""
        memory = memory or _UNLIMITED
        self.workers = max(workers, 1)
        self._memory, self._most, self.each = memory, memory // _SHARE, memory // 2 // self.workers

    def put(self, path: Path | str, what: Any, size: int, form: str = TABLE) -> None:
        """Holds `what` of `size` bytes for the file, unless it is too large."""
        key = str(path), form
        if size >= _LARGE and 0 < self._memory < _resident():
            _give_back()
        with self._lock:
            if key in self._kept:
                self._drop(key)
            if not self.takes(size):
                return
            self._kept[key] = what, size
            self._forms.setdefault(key[0], set()).add(form)
            self._bytes += size
            while self._bytes > self._most:
                self._drop(next(iter(self._kept)))

    def takes(self, size: int) -> bool:
        """Whether something of `size` bytes would be held."""
        return size <= self._most // _EACH

    def get(self, path: Path | str, form: str = TABLE) -> Any:
        """What is held for the file, or None."""
        key = str(path), form
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def moved(self, before: Path | str, now: Path | str) -> None:
        """The file has another name now."""
        with self._lock:
            found = [(form, *self._drop((str(before), form))) for form in [*self._forms.get(str(before), ())]]
        for form, what, size in found:
            self.put(now, what, size, form)

    def forget(self, path: Path | str) -> None:
        """Lets go of what is held for the file, but for what is small: to free it takes time, and gains no room."""
        with self._lock:
            keys = [(str(path), form) for form in self._forms.get(str(path), ())]
            for key in [key for key in keys if self._kept[key][1] >= _SMALL]:
                self._drop(key)

    def _drop(self, key: tuple[str, str]) -> tuple[Any, int]:
        """Lets go of one form of a file, which is held, and returns it with its size."""
        path, form = key
        found = self._kept.pop(key)
        self._bytes -= found[1]
        forms = self._forms[path]
        forms.discard(form)
        if not forms:
            del self._forms[path]
        return found


def _resident() -> int:
    """The bytes that this process has in memory; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def _give_back() -> None:
    """Has Arrow give back what it keeps of memory that was freed; it does so after some seconds, see cli/main.py."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


HELD = Held()
