"""Content digests of files, remembered with their `stat`.

A remembered digest is valid only while path, size, mtime, ctime and inode are the same, and only
if the file had not been written within one clock tick before the look: two writes inside one tick leave
the same stamps, so a file that young is hashed again the next time. So is a file whose stamp is ahead of
the clock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat as modes
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from daedalus.base import digest
from daedalus.stagecache.records.traces import Traces

_TICK_NS = 20_000_000  # the coarsest clock of file systems with sub-second stamps
_COARSE_TICK_NS = 2_000_000_000  # FAT and some network file systems count in seconds or two
_KINDS = {modes.S_IFDIR: "a folder", modes.S_IFIFO: "a named pipe", modes.S_IFSOCK: "a socket",
          modes.S_IFCHR: "a device", modes.S_IFBLK: "a device"}  # fmt: skip


class Stamp(Struct, frozen=True):
    """What `stat` says of a file."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path | str) -> Stamp:
        stat = os.stat(path)
        if not modes.S_ISREG(stat.st_mode):  # opening a pipe waits for a writer; a device may have no end
            raise OSError(errno.EINVAL, f"{_KINDS.get(modes.S_IFMT(stat.st_mode), 'something')}, not a file", str(path))
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)

    @property
    def values(self) -> tuple[int, int, int, int]:
        """Size, mtime, ctime and inode."""
        return self.size, self.mtime_ns, self.ctime_ns, self.inode

    @property
    def tick(self) -> int:
        """Nanoseconds in which two writes may leave the same stamp."""
        return _COARSE_TICK_NS if self.newest % 1_000_000_000 == 0 else _TICK_NS

    @property
    def newest(self) -> int:
        """When the file was written last, in nanoseconds."""
        return max(self.mtime_ns, self.ctime_ns)

    def settled(self, looked_ns: int) -> bool:
        """Whether the last write was at least one clock tick before the look."""
        return self.newest + self.tick < looked_ns


class FileDigests:
    """Gives content digests of files, hashing only files that may have changed."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._young: set[str] = set()  # files that may yet change unseen
        self._own: set[str] = set()  # files that this process wrote
        self._noted: deque[str] = deque()  # files whose digests are not written down yet
        self._known: dict[str, tuple[Stamp, int, str]] | None = None
        self.hashed = 0

    def of(self, path: Path | str, *, later: bool = False) -> tuple[str, Stamp]:
        """Digest and stamp; `later`: it is written down by the next `write`. Raises OSError when it cannot be read."""
        name = os.path.abspath(path)
        stamp = Stamp.of(name)
        known = self._load().get(name)
        if known and known[0] == stamp and stamp.settled(known[1]):
            return known[2], stamp
        return self._hash(name, later)

    def note(self, path: Path | str, content: str) -> None:
        """Remembers the digest of a file that this process has just written; `write` does for others."""
        name = os.path.abspath(path)
        self._own.add(name)
        self._know(name, Stamp.of(name), time.time_ns(), content)
        self._noted.append(name)

    def relinked(self, path: Path | str, before: tuple[int, int, int, int]) -> None:
        """Keeps the digest of a file that had this `stat` before this process changed its links or mode, if it was
        known for good: whoever writes to a file changes its mtime, unless that is less than a tick ago."""
        name = os.path.abspath(path)
        known, now = self._load().get(name), Stamp.of(name)
        if known is None or known[0].values != before or not known[0].settled(known[1]):
            return
        if (now.size, now.mtime_ns, now.inode) == (before[0], before[1], before[3]):
            self._own.add(name)
            self._know(name, now, time.time_ns(), known[2])
            self._noted.append(name)

    def write(self, durable: Callable[[], None] = lambda: None) -> None:
        """Writes down what was noted so far, once `durable()` has made those files so."""
        names = [self._noted.popleft() for _ in range(len(self._noted))]
        durable()
        known = self._load()
        found = [(name, known[name]) for name in dict.fromkeys(names) if name in known]
        if found:
            self._traces.remember_files((name, *stamp.values, looked, text) for name, (stamp, looked, text) in found)

    def settle(self) -> None:
        """Looks once more, a clock tick later, at files that were young when they were looked at.

        Files that others write are hashed again. Nobody else writes under names that this process gave, so for
        its own files an equal stamp is enough. A stamp that is ahead of the clock cannot be settled.
        """
        known, now = self._load(), time.time_ns()
        stamps = {name: known[name][0] for name in self._young if name in known}
        young = [name for name, stamp in stamps.items() if stamp.tick == _TICK_NS and stamp.newest <= now]
        if young:
            newest = max(stamps[name].newest for name in young)
            time.sleep(max(newest + 2 * _TICK_NS - time.time_ns(), 0) / 1e9)
        looked, settled = time.time_ns(), []
        for name in young:
            stamp, _, content = known[name]
            with contextlib.suppress(OSError):
                if Stamp.of(name) == stamp and (name in self._own or digest.of_file(name) == content):
                    known[name] = (stamp, looked, content)
                    settled.append((name, *stamp.values, looked, content))
        self._young.clear()
        self._own.clear()
        self.write()
        self._traces.remember_files(settled)

    def settled(self, path: Path | str) -> Stamp | None:
        """The stamp of a file whose digest is settled; None when the file may still change without a new stamp."""
        known = self._load().get(os.path.abspath(path))
        return known[0] if known and known[0].settled(known[1]) else None

    def forget(self, path: Path | str) -> None:
        """Makes the next `of` hash the file."""
        self._load().pop(os.path.abspath(path), None)

    def _hash(self, name: str, later: bool) -> tuple[str, Stamp]:
        while True:
            stamp, looked = Stamp.of(name), time.time_ns()
            content = digest.of_file(name)
            if Stamp.of(name) == stamp:
                break
        self.hashed += 1
        self._know(name, stamp, looked, content)
        if later:
            self._noted.append(name)
        else:
            self._traces.remember_files([(name, *stamp.values, looked, content)])
        return content, stamp

    def _know(self, name: str, stamp: Stamp, looked: int, content: str) -> None:
        self._load()[name] = (stamp, looked, content)
        if not stamp.settled(looked):
            self._young.add(name)

    def _load(self) -> dict[str, tuple[Stamp, int, str]]:
        if self._known is None:
            rows = self._traces.files()
            self._known = {path: (Stamp(size, m, c, i), looked, d) for path, size, m, c, i, looked, d in rows}
        return self._known
