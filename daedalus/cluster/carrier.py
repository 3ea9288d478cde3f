"""Moves artifacts between machines that share no folder: sent before a task ends, fetched when a path is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from daedalus.base import digest
from daedalus.base.durable import move_file, remove_folder
from daedalus.base.errors import DayError
from daedalus.stagecache.records.artifact_store import ArtifactStore, FreePaths
from daedalus.stagecache.records.file_digests import FileDigests


class Carrier(Protocol):
    """Transfers artifacts through a place that all machines reach. It is sent with the job, so it must pickle."""

    def send(self, artifact: str, path: Path) -> Any:
        """Uploads an artifact; returns the ticket that fetches it. Sending twice changes nothing."""

    def fetch(self, artifact: str, ticket: Any, path: Path) -> bool:
        """Downloads an artifact to `path` and checks its bytes; False when it is not available."""


class CarriedArtifacts(ArtifactStore):
    """A machine's own store; an artifact that it lacks is fetched by its ticket when its path is needed."""

    def __init__(
        self, root: Path, scratch: FreePaths, digests: FileDigests, carrier: Carrier,
        there: Callable[[str], Any] = lambda artifact: None,
    ) -> None:  # fmt: skip
        """`there(artifact)` is the ticket of an artifact that was sent before, or None."""
        super().__init__(root, scratch, digests)
        self._carrier, self._there = carrier, there
        self.tickets: dict[str, Any] = {}
        self._fetching = threading.Lock()

    def path(self, name: str, artifact: str) -> Path:
        """The local path, fetched first if need be. Raises DayError when the artifact cannot be fetched."""
        path = super().path(name, artifact)
        if not path.exists() and (ticket := self.tickets.get(artifact) or self._there(artifact)):
            with self._fetching:
                if not path.exists():
                    self._fetch(name, artifact, ticket)
        return path

    def _fetch(self, name: str, artifact: str, ticket: Any) -> None:
        staged, final = self.stage(name), super().path(name, artifact)
        self._bring(name, artifact, ticket, staged)
        final.parent.mkdir(parents=True, exist_ok=True)
        move_file(staged, final)
        self.adopt(artifact)

    def _bring(self, name: str, artifact: str, ticket: Any, path: Path) -> None:
        fetched = self._carrier.fetch(artifact, ticket, path)
        if not fetched or digest.of_file(path) != artifact:
            raise DayError("an artifact cannot be fetched", where=name, found=artifact,
                           hint="run again: lost artifacts are recomputed")  # fmt: skip

    def send(self, artifact: str) -> Any:
        """The artifact's ticket; an artifact without one is sent first."""
        if artifact not in self.tickets:
            sent = self._there(artifact) or self._carrier.send(artifact, super().path("", artifact))
            self.tickets[artifact] = sent
        return self.tickets[artifact]

    def carry(self, content: str, path: Path) -> Any:
        """Sends a file that is none of the artifacts; returns its ticket."""
        return self._carrier.send(content, path)

    def bring(self, content: str) -> Path:
        """A new file with what was carried under this digest, by its ticket."""
        path = self.stage("")
        self._bring(content, content, self.tickets[content], path)
        return path

    def send_folder(self, folder: Path, files: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
        """Sends a folder's `files` (digests by name) and removes the folder; returns (digest, ticket) by name."""
        try:
            return {name: (content, self._carrier.send(content, folder / name)) for name, content in files.items()}
        finally:
            remove_folder(folder)

    def fetch_folder(self, name: str, files: Mapping[str, tuple[str, Any]], folder: Path) -> None:
        """Fetches the files of a sent folder into `folder`, if it has any. Raises DayError if one cannot be fetched."""
        for file, (content, ticket) in files.items():
            folder.mkdir(exist_ok=True)
            self._bring(name, content, ticket, folder / file)

    def tickets_of(self, artifacts: Iterable[str]) -> Mapping[str, Any]:
        """Tickets by artifact; those without one are sent first."""
        return {artifact: self.send(artifact) for artifact in artifacts}
