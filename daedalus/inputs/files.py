"""Where input files lie, whether on a disk or in an object store, as a protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

OnRead = Callable[[str, Path, str], None]  # (path, local file with its bytes, digest)


@dataclass(frozen=True)
class Tree:
    """What lies in a hive tree, two levels deep. Names of folders inside a folder end in a slash."""

    folders: Mapping[str, Sequence[str]]
    files: Sequence[str] = ()  # beside the folders
    errors: Mapping[str, str] = field(default_factory=dict)  # folders that cannot be listed, and why


class Files(Protocol):
    """Where input files lie, on disk or in an object store. Paths are as the config spells them."""

    def tree(self, root: str) -> Tree | None:
        """What lies in a hive tree; None: there is none. Raises OSError when the root cannot be listed."""

    def is_folder(self, source: str) -> bool: ...

    def matching(self, pattern: str) -> list[str]:
        """What a pattern matches (see globs.py), in path order; of a disk also what is no file, as that is an error.

        Raises OSError for a folder that cannot be listed.
        """

    def prepare(self, paths: Sequence[str], looked: OnRead) -> None:
        """Looks at many files at once, where that is quicker; tells `looked` of each that had to be read."""

    def of(self, path: str) -> tuple[str, Any]:
        """(digest, stamp of the file as it was digested). Raises OSError or DaedalusError."""

    def is_still(self, path: str, content: str, stamp: Any, looked: int) -> bool:
        """Whether a new look finds what `of` found: (content, stamp), at a time in nanoseconds since 1970."""

    def settled(self, path: str) -> tuple[int, int, int, int] | None:
        """What `stat` says of a file whose digest is known for good under it; None when it may change unseen."""

    def fetch(self, wanted: Mapping[str, str]) -> AbstractContextManager[Mapping[str, str]]:
        """Local files, while the context lasts, with the bytes of these paths, whose digests are the values."""
