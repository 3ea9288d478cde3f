"""Protocols of what several packages need from their callers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Digests(Protocol):
    """Content digests of files, remembered until a file's `stat` changes."""

    def of(self, path: Path | str) -> tuple[str, Any]:
        """(digest, stamp of the file as it was digested). Raises OSError."""

    def settled(self, path: Path | str) -> Any | None:
        """The stamp under which a file's digest is known for good; None when it may still change unseen."""

    def note(self, path: Path | str, content: str) -> None:
        """Remembers the digest of a file just written."""


class Facts(Protocol):
    """Small JSON values, remembered by key."""

    def fact(self, key: str) -> Any: ...

    def facts(self, prefix: str) -> Mapping[str, Any]:
        """All facts whose keys begin with `prefix`, by key."""

    def remember_fact(self, key: str, value: Any) -> None: ...

    def remember_facts(self, facts: Mapping[str, Any]) -> None: ...


class Scratch(Protocol):
    """A folder for unfinished files, on the file system of their destination."""

    def path(self, suffix: str = "") -> Path: ...
