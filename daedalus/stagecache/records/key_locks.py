"""Locks by key, so that one process at a time computes an action. A dead process's locks are free."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

from daedalus.base.durable import open_lock
from daedalus.base.errors import DaedalusError

_PLACES = 1 << 62


class KeyLocks:
    """A lock is a byte of one file, at a place that the key says, so that nothing is made or removed for it.

    Two keys with the same place wait for each other, which happens to nobody. The locks belong to the open file, as
    `fcntl(2)` says of open file description locks: not to the process, and not to its threads.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._handle = path, -1

    def acquire(self, key: str) -> bool:
        """Tries to take the key's lock, without waiting; returns whether this object now holds it."""
        if self._handle < 0:
            self._handle = self._open()
        try:
            self._set(key, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def release(self, key: str) -> None:
        if self._handle >= 0:
            self._set(key, fcntl.F_UNLCK)

    def release_all(self) -> None:
        """Releases all locks."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            os.close(handle)

    def _open(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DaedalusError("a folder cannot be made", where=str(self._path.parent), found=error.strerror) from None
        return open_lock(self._path)

    def _set(self, key: str, kind: int) -> None:
        place = int(key, 16) % _PLACES
        fcntl.fcntl(self._handle, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, place, 1, 0))
