"""The local store with the shared cache behind it: a missing artifact is downloaded when its path is needed."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from daedalus.sharing.bucket import CacheBucket
from daedalus.sharing.record import Blob
from daedalus.stagecache.action import Again
from daedalus.stagecache.records.artifact_store import ArtifactStore
from daedalus.stagecache.records.traces import Traces

_FACT = "shared:"


class SharedShelf:
    """A `Shelf`. An artifact that only the shared cache has counts as present, and is downloaded when it is needed.

    The expected digests of its bytes come from checked traces and are remembered as facts for later runs.
    """

    def __init__(self, store: ArtifactStore, remote: CacheBucket, traces: Traces, listing: Callable[[], None]) -> None:
        """`listing()` ensures that the bucket's objects are listed."""
        self._store, self._remote, self._traces, self._list = store, remote, traces, listing
        self._parts: dict[str, Blob] = {}
        self._fetching: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self.bytes = 0  # downloaded

    def stage(self, name: str) -> Path:
        return self._store.stage(name)

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        return self._store.keep(name, staged)

    def problem(self, name: str, artifact: str) -> str:
        found = self._store.problem(name, artifact)
        if not found or not self._remote.reads:
            return found
        part = self._part(artifact)
        if part is None:
            return found
        self._list()
        if self._remote.has(part):
            return ""
        fault = self._remote.fault(part)
        return found if fault in ("", "missing") else f"{fault} (in the shared cache)"

    def path(self, name: str, artifact: str) -> Path:
        """The local path of an artifact, downloaded if need be. Raises Again when it is no longer available."""
        if self._store.problem(name, artifact):
            with self._fetching[artifact]:
                if self._store.problem(name, artifact) and not self._fetch(name, artifact):
                    raise Again((name,))
        return self._store.path(name, artifact)

    def here(self, artifact: str) -> Path | None:
        """The path of an artifact if it is on this machine and intact."""
        return self._store.intact(artifact)

    def sent(self, artifact: str) -> Blob | None:
        """The blob of an artifact if the shared cache has its bytes."""
        part = self._part(artifact)
        return part if part and self._remote.has(part) else None

    def expect(self, part: Blob) -> None:
        """Remembers the expected digests of an artifact, from a trace that was checked or made here."""
        if self._part(part.digest) != part:
            self._parts[part.digest] = part
            self._traces.remember_fact(_FACT + part.digest, [part.sha256, part.size])

    def _fetch(self, name: str, artifact: str) -> bool:
        part = self._part(artifact)
        if part is None or not self._remote.has(part):
            return False
        staged = self._store.stage(name)
        if not self._remote.fetch(part, staged):
            return False
        self._store.take(artifact, staged)
        self.bytes += part.size
        return True

    def _part(self, artifact: str) -> Blob | None:
        if artifact not in self._parts:
            known = self._traces.fact(_FACT + artifact)
            if not isinstance(known, list):
                return None
            self._parts[artifact] = Blob(artifact, *known)
        return self._parts[artifact]
