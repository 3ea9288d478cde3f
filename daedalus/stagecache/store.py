"""Artifacts by content digest, under the cache root:

    artifacts/ab/abcdef….parquet    immutable outputs, named by the digest of their bytes
    damaged/                        artifacts whose bytes were not what their name says
    tmp/run-…/                      one folder a process, locked while it lives; others are swept
    traces.db                       what each action made, and from what (see trace.py)

Order of a commit: bytes, fsync, rename, fsync of the folder, and only then the trace.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from daedalus import digest
from daedalus.durable import move_file, remove_folder
from daedalus.errors import DaedalusError
from daedalus.stagecache.files import FileDigests


class Scratch:
    """A process's own folder for unfinished files, held by a lock that dies with the process.

    It is made when the first path is asked for; what dead processes left beside it is swept then.
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
                _sweep(self._parent, self._prefix)
            return self._folder

    def _make(self) -> Path:
        while True:
            folder = self._parent / f"{self._prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}"
            try:
                folder.mkdir(parents=True)
                self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
            except FileNotFoundError:
                continue  # swept between the two
            except OSError as error:
                raise DaedalusError("a folder cannot be written", where=str(folder), found=error.strerror) from None
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if (folder / "lock").exists():
                return folder
            os.close(self._lock)

    def path(self, suffix: str = "") -> Path:
        return self.folder / f"{uuid.uuid4().hex}{suffix}"

    def close(self) -> None:
        if self._folder is not None:
            remove_folder(self._folder)
            os.close(self._lock)
            self._folder = None


_BEING_MADE = 60  # seconds in which a folder without a lock may be one that is just being made


def _sweep(parent: Path, prefix: str) -> None:
    """Removes what dead processes left half-written."""
    for folder in parent.glob(f"{prefix}*"):
        try:
            lock = os.open(folder / "lock", os.O_RDWR)
        except OSError:
            with contextlib.suppress(OSError):
                if time.time() - folder.stat().st_mtime > _BEING_MADE:
                    remove_folder(folder)
            continue
        with contextlib.suppress(BlockingIOError):  # then its process lives
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_folder(folder)
        os.close(lock)


class FreePaths(Protocol):
    """Names for unfinished files, on the file system of the artifacts."""

    def path(self, suffix: str = "") -> Path: ...


class Store:
    """The artifacts of one cache root; a `Shelf`."""

    def __init__(self, root: Path, scratch: FreePaths, digests: FileDigests) -> None:
        self.root, self._scratch, self._digests = root, scratch, digests
        self._artifacts = os.path.abspath(root / "artifacts")

    def stage(self, name: str) -> Path:
        return self._scratch.path(".parquet")

    def path(self, name: str, artifact: str) -> Path:
        return Path(self._file(artifact))

    def _file(self, artifact: str) -> str:
        return f"{self._artifacts}/{artifact[:2]}/{artifact}.parquet"

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        artifact, size = digest.of_file(staged), staged.stat().st_size
        if self.problem(name, artifact):
            self.take(artifact, staged)
        else:
            staged.unlink()
        return artifact, size

    def adopt(self, artifact: str) -> None:
        """Takes up an artifact that another process has made for this one, and digested, under its name."""
        with contextlib.suppress(OSError):  # this machine may not see it yet: then it is read when it is asked for
            self._digests.note(self.path("", artifact), artifact)

    def take(self, artifact: str, staged: Path) -> None:
        """Keeps a file whose digest is known."""
        kept = self.path("", artifact)
        kept.parent.mkdir(parents=True, exist_ok=True)
        move_file(staged, kept)
        self._digests.note(kept, artifact)

    def problem(self, name: str, artifact: str) -> str:
        try:
            found, _ = self._digests.of(self._file(artifact))
        except FileNotFoundError:
            return "missing"
        except OSError as error:
            return f"unreadable ({error.strerror})"
        return "" if found == artifact else "damaged"

    def set_aside(self, artifact: str) -> None:
        """Moves a damaged artifact out of the way, for whoever wants to look at it."""
        (self.root / "damaged").mkdir(exist_ok=True)
        os.replace(self.path("", artifact), self.root / "damaged" / f"{artifact}.parquet")

    def artifacts(self) -> Iterator[tuple[str, Path]]:
        """(digest, path) of all that is stored."""
        for path in sorted((self.root / "artifacts").glob("??/*.parquet")):
            yield path.stem, path

    def sizes(self, known: Mapping[str, int] | None = None) -> dict[str, int]:
        """Bytes of all that is stored, by digest; of those in `known` without another look."""
        found: dict[str, int] = {}
        known, root = known or {}, self._artifacts
        shelves = os.listdir(root) if os.path.isdir(root) else []
        for shelf in (shelf for shelf in shelves if len(shelf) == 2):
            for name in os.listdir(f"{root}/{shelf}"):
                artifact, suffix = name[:-8], name[-8:]
                if suffix == ".parquet":
                    size = known.get(artifact)
                    found[artifact] = os.stat(f"{root}/{shelf}/{name}").st_size if size is None else size
        return found

    def reread(self, path: Path) -> str:
        """The digest of the bytes that are there now, whatever `stat` says."""
        self._digests.forget(path)
        return self._digests.of(path)[0]
