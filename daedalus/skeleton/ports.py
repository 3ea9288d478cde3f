"""What the stage needs from whoever runs it, as protocols: it knows nothing of stores or traces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Digests(Protocol):
    """Content digests of files, remembered while `stat` says that they are the same."""

    def of(self, path: Path | str) -> tuple[str, Any]:
        """(digest, stamp of the file as it was digested). Raises OSError."""

    def note(self, path: Path | str, content: str) -> None:
        """Remembers the digest of a file just written."""


class Facts(Protocol):
    """Small JSON values, remembered by key."""

    def fact(self, key: str) -> Any: ...

    def facts(self, prefix: str) -> Mapping[str, Any]:
        """All facts whose keys begin with `prefix`, by key."""

    def remember_fact(self, key: str, value: Any) -> None: ...


class Scratch(Protocol):
    """A folder for unfinished files, on the file system that they end on."""

    def path(self, suffix: str = "") -> Path: ...


class SharedMap(Protocol):
    """The history of one map, which several machines add to: rows in pieces, each put below the ones before."""

    @property
    def reads(self) -> bool:
        """Whether the numbers of others may be taken up."""

    @property
    def writes(self) -> bool:
        """Whether numbers may be added."""

    def read(self) -> Any | None:
        """The newest state (`lineage`, `rows`, `pieces`), or None if there is none. Raises OSError."""

    def fetch(self, state: Any, rows: int, folder: Path) -> list[tuple[Path, int]]:
        """Files with what the state has beyond `rows`: (file, rows to skip in it). Raises OSError."""

    def create(self, lineage: str, whole: Path | None, rows: int) -> Any:
        """Begins a history with a map as it is; the new state. Raises OSError."""

    def add(self, state: Any, piece: Path, rows: int) -> Any:
        """Puts a piece below a state that must still be the newest; the new state. Raises OSError."""

    def replace(self, state: Any, whole: Path, rows: int) -> Any:
        """The same rows as one piece. Raises OSError."""
