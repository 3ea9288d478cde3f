"""Artifacts between machines that share no folder: sent before a task is done, fetched when a path is asked for."""

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
    """Where artifacts are left for others. It travels with the job, so it must pickle."""

    def send(self, artifact: str, path: Path) -> Any:
        """Returns when everyone can fetch the artifact: the ticket that they need. Sending twice changes nothing."""

    def fetch(self, artifact: str, ticket: Any, path: Path) -> bool:
        """Writes the artifact to `path`, its bytes checked; False when it is not to be had."""


class CarriedArtifacts(ArtifactStore):
    """A machine's own store; what it lacks is fetched by its ticket when its path is asked for."""

    def __init__(
        self, root: Path, scratch: FreePaths, digests: FileDigests, carrier: Carrier,
        there: Callable[[str], Any] = lambda artifact: None,
    ) -> None:  # fmt: skip
        """`there(artifact)` is the ticket of what everyone can fetch already, or None."""
        super().__init__(root, scratch, digests)
        self._carrier, self._there = carrier, there
        self.tickets: dict[str, Any] = {}
        self._fetching = threading.Lock()

    def path(self, name: str, artifact: str) -> Path:
        """Raises DayError when the artifact is not here and cannot be fetched."""
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
                           hint="run again: what is lost is made anew")  # fmt: skip

    def send(self, artifact: str) -> Any:
        """The artifact's ticket; what has none yet is sent first."""
        if artifact not in self.tickets:
            sent = self._there(artifact) or self._carrier.send(artifact, super().path("", artifact))
            self.tickets[artifact] = sent
        return self.tickets[artifact]

    def send_folder(self, folder: Path, files: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
        """(digest, ticket) of a folder's `files` by name, sent; the folder goes."""
        try:
            return {name: (content, self._carrier.send(content, folder / name)) for name, content in files.items()}
        finally:
            remove_folder(folder)

    def fetch_folder(self, name: str, files: Mapping[str, tuple[str, Any]], folder: Path) -> None:
        """Makes the folder that was sent, if it has files. Raises DayError when one cannot be fetched."""
        for file, (content, ticket) in files.items():
            folder.mkdir(exist_ok=True)
            self._bring(name, content, ticket, folder / file)

    def tickets_of(self, artifacts: Iterable[str]) -> Mapping[str, Any]:
        return {artifact: self.send(artifact) for artifact in artifacts}
