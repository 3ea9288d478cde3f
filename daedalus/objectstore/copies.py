"""Bounded local copies of objects: files named by the digest of their bytes, evicted least recently used first.

A user of a copy has a hard link to it in a folder of its own, so that a copy may be evicted at any time, by
this process or another. A copy is hashed and compared with its name each time that it is used, so one that a crash
left incomplete is downloaded again.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from daedalus.base import digest

_FULL = 7 / 8  # of the limit is kept at an eviction, so that not every new copy has to evict


class Copies:
    """The copies under one folder, at most `limit` bytes together. Several processes may share it."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._room = 0  # bytes that may be added before the folder is measured again

    def take(self, content: str, name: Path) -> bool:
        """Links the copy with the digest `content` to the free path `name`; False when there is none."""
        kept = self._path(content)
        try:
            _link(kept, name)
            whole = digest.of_file(name) == content
            os.utime(name)  # for the order of eviction
        except FileNotFoundError:
            return False
        if not whole:
            name.unlink()
            kept.unlink(missing_ok=True)
        return whole

    def keep(self, name: Path, content: str) -> None:
        """Adds the file `name`, whose digest is `content`, as a copy; the file stays."""
        kept, new = self._path(content), self._folder / f"new-{uuid.uuid4().hex}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        _link(name, new)
        os.replace(new, kept)
        new.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
        with self._lock:
            self._room -= name.stat().st_size
            if self._room < 0:
                self._evict()

    def _path(self, content: str) -> Path:
        return self._folder / content[:2] / content

    def _ours(self) -> Iterator[Path]:
        """The files with names that `keep` gives; all others in the folder are left alone."""
        kept = (path for path in self._folder.glob("??/*") if path.name[:2] == path.parent.name)
        yield from (path for path in kept if digest.is_digest(path.name))
        yield from (path for path in self._folder.glob("new-*") if digest.is_digest(path.name[4:]))

    def _evict(self) -> None:
        found = []
        for path in self._ours():
            with suppress(OSError):  # another process evicts too
                if path.is_file():
                    stat = path.stat()
                    found.append((stat.st_mtime_ns, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        aim = self._limit * _FULL if total > self._limit else total
        for _, size, path in sorted(found):
            if total <= aim:
                break
            path.unlink(missing_ok=True)
            total -= size
        self._room = int(self._limit - total) // 2  # others add as well


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copyfile(old, new)
