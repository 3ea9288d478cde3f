"""Artifacts by content digest, under the cache root:

    artifacts/ab/abcdef….parquet    immutable outputs, named by the digest of their bytes
    damaged/                        artifacts whose bytes do not match their name
    tmp/run-…/                      one folder a process, locked while it runs; those of dead processes are removed
    traces.db                       what each action made, and from what (see traces.py)

A file gets its name, and can be read, before it is on disk: the next `sync` sees to that, for many at once, and only
then are their digests and traces written. So after a power cut a file without a record may be torn; whoever finds one
hashes it, and what does not have the digest of its name is made anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from daedalus.base import digest
from daedalus.base.durable import open_lock, remove_folder, sync_all
from daedalus.base.errors import DaedalusError
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.tables.held import HELD


class Scratch:
    """A process's own folder for unfinished files, held by a lock that dies with the process.

    It is made when the first path is needed; folders that dead processes left beside it are swept then.
    """

    def __init__(self, parent: Path, prefix: str = "run-") -> None:
        self._parent, self._prefix = parent, prefix
        self._folder: Path | None = None
        self._lock = -1
        self._making = threading.Lock()

    @property
    def folder(self) -> Path:
        with self._making:
            if self._folder is None:
                self._folder = self._make()
                self.sweep()
            return self._folder

    def _make(self) -> Path:
        try:
            for _ in range(_TRIES):
                folder = self._parent / f"{self._prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}"
                try:
                    folder.mkdir(parents=True)
                    self._lock = open_lock(folder / "lock")
                except FileNotFoundError:  # swept between the two
                    continue
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                if (folder / "lock").exists():
                    os.write(self._lock, _MARK)
                    return folder
                os.close(self._lock)  # swept between the two
        except OSError as error:
            raise DaedalusError("a folder cannot be written", where=str(self._parent), found=error.strerror) from None
        raise DaedalusError("a folder cannot be written", where=str(self._parent), found="folders made in it disappear")

    def sweep(self) -> None:
        """Removes the folders that dead processes left beside it, and nothing else."""
        ours = re.compile(re.escape(self._prefix) + "[0-9]+-[0-9a-f]{8}").fullmatch
        with contextlib.suppress(OSError), os.scandir(self._parent) as entries:
            for folder in [entry for entry in entries if ours(entry.name) and entry.is_dir(follow_symlinks=False)]:
                with contextlib.suppress(OSError, DaedalusError):
                    _sweep_one(Path(folder.path))

    def path(self, suffix: str = "") -> Path:
        """A free path in the folder, whose name no other process has either."""
        return self.folder / f"{os.urandom(16).hex()}{suffix}"

    def close(self) -> None:
        if self._folder is not None:
            try:
                _remove(self._folder)
            finally:  # so that the next process can, whatever happened
                os.close(self._lock)
                self._folder = None


_TRIES = 100
_MARK = b"daeda: unfinished files of one process, swept by the next\n"
_BEING_MADE = 60  # seconds for which a folder without a lock is taken for one that is just being made
_UNFINISHED = re.compile(r"[0-9a-f]{32}(\.\w+)*")  # names that `path` gives, also with further suffixes


def _sweep_one(folder: Path) -> None:
    """Removes a folder with a name like ours if nobody holds its lock and the lock has our mark."""
    try:
        lock = open_lock(folder / "lock", 0)
    except FileNotFoundError:
        if time.time() - folder.stat().st_mtime > _BEING_MADE:
            folder.rmdir()  # an empty one
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its process is alive
        if os.read(lock, len(_MARK) + 1) == _MARK or _is_unmarked(folder, lock):
            _remove(folder)
    finally:
        os.close(lock)


def _remove(folder: Path) -> None:
    """Removes a process's folder, also while a worker that it sent there goes on writing: where the folder had its name
    that one finds nothing any more, and fails."""
    remove_folder(folder)
    if folder.exists():
        away = folder.with_name(f"{folder.name[:-8]}{uuid.uuid4().hex[:8]}")  # a name that sweeps know
        with contextlib.suppress(OSError):
            folder.rename(away)
            remove_folder(away)


def _is_unmarked(folder: Path, lock: int) -> bool:
    """Whether a folder without the mark is ours: of version 0.2, or of a process that died before it wrote the mark."""
    names = set(os.listdir(folder)) - {"lock"}
    return os.fstat(lock).st_size == 0 and all(map(_UNFINISHED.fullmatch, names))


class FreePaths(Protocol):
    """Gives free paths for unfinished files, on the file system of the artifacts."""

    def path(self, suffix: str = "") -> Path: ...


_PATHS = 4096  # that are remembered: a step reads up to ten artifacts, of which its neighbours read most too


class ArtifactStore:
    """The artifacts of one cache root; a `Shelf`."""

    def __init__(self, root: Path, scratch: FreePaths, digests: FileDigests) -> None:
        self.root, self._scratch, self._digests = root, scratch, digests
        self._artifacts = os.path.abspath(root / "artifacts")
        self._path = lru_cache(_PATHS)(lambda artifact: Path(self._file(artifact)))
        self._unsynced: deque[Path] = deque()
        self._taking = threading.Lock()
        self._shelves: set[str] = set()  # folders that are there
        self._has_new_folders = False

    def stage(self, name: str) -> Path:
        return self._scratch.path(".parquet")

    def path(self, name: str, artifact: str) -> Path:
        return self._path(artifact)

    def _file(self, artifact: str) -> str:
        return f"{self._artifacts}/{artifact[:2]}/{artifact}.parquet"

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        artifact, size = digest.of_file(staged), staged.stat().st_size
        with self._taking:  # another action may make the same bytes
            if self.problem(name, artifact):
                self.take(artifact, staged)
                return artifact, size
        self._unsynced.append(self.path(name, artifact))  # who made it may not have synced it yet
        staged.unlink()
        return artifact, size

    def adopt(self, artifact: str) -> None:
        """Records the digest of an artifact that another process of this run has put into the store."""
        with contextlib.suppress(OSError):  # this machine may not see it yet: then it is hashed when it is needed
            self._digests.note(self.path("", artifact), artifact)

    def take(self, artifact: str, staged: Path) -> None:
        """Moves a file whose digest is known into the store; `sync` makes it durable."""
        kept = self.path("", artifact)
        if artifact[:2] not in self._shelves:
            kept.parent.mkdir(parents=True, exist_ok=True)
            self._shelves.add(artifact[:2])
            self._has_new_folders = True
        os.replace(staged, kept)
        HELD.moved(staged, kept)
        self._unsynced.append(kept)
        self._digests.note(kept, artifact)

    def let_go(self, artifact: str) -> None:
        """Frees the memory of an artifact that nothing reads soon."""
        HELD.forget(self._file(artifact))

    def drop(self, artifact: str) -> None:
        """Removes an artifact that only this run knows of."""
        path = self.path("", artifact)
        self._digests.forget(path)
        path.unlink(missing_ok=True)

    def sync(self) -> None:
        """Makes all files that were taken durable, and writes their digests down."""
        self._digests.write(self._sync)

    def _sync(self) -> None:
        paths = [self._unsynced.popleft() for _ in range(len(self._unsynced))]
        new, self._has_new_folders = self._has_new_folders, False
        sync_all([*dict.fromkeys(paths)])
        sync_all([*dict.fromkeys(path.parent for path in paths), *([Path(self._artifacts)] if new else [])])

    def problem(self, name: str, artifact: str) -> str:
        try:
            found, _ = self._digests.of(self._file(artifact), later=True)
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return f"unreadable ({error.strerror})"
        return "" if found == artifact else "damaged"

    def intact(self, artifact: str) -> Path | None:
        """The path of an artifact if it is here and has the bytes of its name."""
        return None if self.problem("", artifact) else self.path("", artifact)

    def all_intact(self, artifacts: Iterable[str]) -> dict[str, Path] | None:
        """The paths of some artifacts; None unless all are intact."""
        asked = dict.fromkeys(artifacts)
        found = {artifact: path for artifact in asked if (path := self.intact(artifact))}
        return found if len(found) == len(asked) else None

    def set_aside(self, artifact: str) -> None:
        """Moves a damaged artifact to damaged/, where it can be examined."""
        (self.root / "damaged").mkdir(exist_ok=True)
        os.replace(self.path("", artifact), self.root / "damaged" / f"{artifact}.parquet")

    def artifacts(self) -> Iterator[tuple[str, Path]]:
        """(digest, path) of every artifact."""
        for path in sorted((self.root / "artifacts").glob("??/*.parquet")):
            if _is_artifact(path.parent.name, path.name):
                yield path.stem, path

    def sizes(self, known: Mapping[str, int] | None = None) -> dict[str, int]:
        """The size of every artifact by digest; those in `known` are not looked at again."""
        found: dict[str, int] = {}
        known, root = known or {}, self._artifacts
        shelves = os.listdir(root) if os.path.isdir(root) else []
        for shelf in (shelf for shelf in shelves if len(shelf) == 2):
            for name in os.listdir(f"{root}/{shelf}"):
                artifact = name[:-8]
                if _is_artifact(shelf, name):
                    size = known.get(artifact)
                    found[artifact] = os.stat(f"{root}/{shelf}/{name}").st_size if size is None else size
        return found

    def damaged(self) -> Iterator[Path]:
        """The artifacts that `set_aside` has moved."""
        return (path for path in (self.root / "damaged").glob("*.parquet") if digest.is_digest(path.stem))

    def reread(self, path: Path) -> str:
        """The digest of the file's bytes now, read even if `stat` says that nothing changed."""
        self._digests.forget(path)
        return self._digests.of(path)[0]


def _is_artifact(shelf: str, name: str) -> bool:
    """Whether a file below `artifacts` has a name that we give; files with other names are left alone."""
    return name[-8:] == ".parquet" and name[:2] == shelf and digest.is_digest(name[:-8]) is not None
