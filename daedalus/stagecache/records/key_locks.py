"""Locks by key, so that one process at a time computes an action. A dead process's locks are free."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from daedalus.base import digest
from daedalus.base.durable import open_lock
from daedalus.base.errors import DaedalusError


class KeyLocks:
    """One lock file per key in a folder; the file exists only while the lock is held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def acquire(self, key: str) -> bool:
        """Tries to take the key's lock, without waiting; returns whether this process now holds it."""
        self._make_folder()
        path = self._folder / key
        while True:
            handle = open_lock(path)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is(path, handle):
                    self._held[key] = handle
                    return True
            except BaseException as error:  # Ctrl-C too: an open handle would hold the lock unknown to us
                self._held.pop(key, None)
                os.close(handle)
                if isinstance(error, BlockingIOError):
                    return False
                raise
            os.close(handle)  # the holder unlinked the file before we got the lock: try again with a new file

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DaedalusError("a folder cannot be made", where=str(self._folder), found=error.strerror) from None

    def release(self, key: str) -> None:
        if key in self._held:
            (self._folder / key).unlink(missing_ok=True)
            os.close(self._held.pop(key))

    def release_all(self) -> None:
        """Releases all locks, and removes lock files that dead processes or an interrupt left."""
        for key in list(self._held):
            self.release(key)
        for path in self._folder.glob("*"):
            with suppress(DaedalusError):  # not a lock file of ours, such as a link
                if digest.is_digest(path.name) and self.acquire(path.name):
                    self.release(path.name)


def _is(path: Path, handle: int) -> bool:
    """Whether the path still names the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
