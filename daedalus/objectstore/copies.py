"""Local copies of objects, bounded: files named by the digest of their bytes, the least recently used go first.

Whoever uses a copy holds a second name (a hard link) of it in a folder of its own, so that a copy may be
evicted at any moment, by this process or another. Nothing on the disk is trusted: a copy is read and
held to its name each time that it is taken, so one torn by a crash is only fetched again.
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

_FULL = 7 / 8  # of the limit is kept, so that not every new copy has to make room


class Copies:
    """The copies under one folder, at most `limit` bytes together. Several processes may share it."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._room = 0  # bytes that may come before the folder is looked at again

    def take(self, content: str, name: Path) -> bool:
        """Gives the copy of that digest the free name `name` too; False when there is none."""
        kept = self._path(content)
        try:
            _link(kept, name)
            whole = digest.of_file(name) == content
            os.utime(name)  # what was used last
        except FileNotFoundError:
            return False
        if not whole:
            name.unlink()
            kept.unlink(missing_ok=True)
        return whole

    def keep(self, name: Path, content: str) -> None:
        """Keeps a file, whose digest that is, as a copy; it keeps its own name too."""
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
        """Files of the names that `keep` gives; whatever else lies in the folder is somebody's."""
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
