"""One process at a time computes a key. A lock goes with its process, so a dead one is never waited for."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from daedalus.base import digest
from daedalus.base.durable import open_lock
from daedalus.base.errors import DaedalusError


class KeyLocks:
    """A lock file a key, under one folder; it is there only while it is held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}

    def acquire(self, key: str) -> bool:
        """Whether this process now holds the key's lock; never waits."""
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
            os.close(handle)  # its holder removed it before we had the lock: it is no one's name any more

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
        """Releases what is held, and removes what an interrupt while one was taken, or a dead process, left."""
        for key in list(self._held):
            self.release(key)
        for path in self._folder.glob("*"):
            with suppress(DaedalusError):  # somebody else's, such as a link
                if digest.is_digest(path.name) and self.acquire(path.name):
                    self.release(path.name)


def _is(path: Path, handle: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
