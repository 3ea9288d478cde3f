"""Artifacts by content digest, under the cache root:

    artifacts/ab/abcdef….parquet    immutable outputs, named by the digest of their bytes
    damaged/                        artifacts whose bytes were not what their name says
    tmp/run-…/                      one folder a process, locked while it lives; others are swept
    traces.db                       what each action made, and from what (see trace.py)

Order of a commit: bytes, fsync, rename, fsync of the folder, and only then the trace.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from daedalus import digest
from daedalus.durable import move_file
from daedalus.errors import DaedalusError
from daedalus.stagecache.files import FileDigests


class Scratch:
    """A process's own folder for unfinished files, held by a lock that dies with the process."""

    def __init__(self, parent: Path, prefix: str = "run-") -> None:
        self.folder = parent / f"{prefix}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise DaedalusError("a folder cannot be written", where=str(parent), found=error.strerror) from None
        self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        _sweep(parent, prefix)

    def path(self, suffix: str = "") -> Path:
        return self.folder / f"{uuid.uuid4().hex}{suffix}"

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _sweep(parent: Path, prefix: str) -> None:
    """Removes what dead processes left half-written."""
    for folder in parent.glob(f"{prefix}*"):
        try:
            lock = os.open(folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            continue  # just being made, or just being swept, by another process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its process lives
        finally:
            os.close(lock)


class Store:
    """The artifacts of one cache root; a `Shelf`."""

    def __init__(self, root: Path, scratch: Scratch, digests: FileDigests) -> None:
        self.root, self._scratch, self._digests = root, scratch, digests

    def stage(self, name: str) -> Path:
        return self._scratch.path(".parquet")

    def path(self, name: str, artifact: str) -> Path:
        return self.root / "artifacts" / artifact[:2] / f"{artifact}.parquet"

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        artifact, size = digest.of_file(staged), staged.stat().st_size
        kept = self.path(name, artifact)
        if self.problem(name, artifact):
            kept.parent.mkdir(parents=True, exist_ok=True)
            move_file(staged, kept)
            self._digests.note(kept, artifact)
        else:
            staged.unlink()
        return artifact, size

    def problem(self, name: str, artifact: str) -> str:
        kept = self.path(name, artifact)
        try:
            found, _ = self._digests.of(kept)
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

    def reread(self, path: Path) -> str:
        """The digest of the bytes that are there now, whatever `stat` says."""
        self._digests.forget(path)
        return self._digests.of(path)[0]
