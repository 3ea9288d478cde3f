"""The protocol of input files, whether on a disk or in an object store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

OnRead = Callable[[str, Path, str], None]  # (path, local file with its bytes, digest)


class Tree(Struct, frozen=True):
    """The names in a hive tree, two levels deep. Names of folders inside a folder end in a slash."""

    folders: Mapping[str, Sequence[str]]
    files: Sequence[str] = ()  # beside the folders
    errors: Mapping[str, str] = field(default_factory=dict)  # folders that cannot be listed, and why


class Names(Protocol):
    """Lists input files. Paths are as the config spells them."""

    def tree(self, root: str) -> Tree | None:
        """Lists a hive tree; None if the root does not exist. Raises OSError when it cannot be listed."""

    def is_folder(self, source: str) -> bool: ...

    def matching(self, pattern: str) -> list[str]:
        """The paths that a pattern matches (see globs.py), sorted; on a disk also those of folders named *.parquet and
        of broken links, which fail later.

        Raises OSError for a folder that cannot be listed.
        """

    def read(self, path: str) -> bytes:
        """The bytes of a small file. Raises OSError."""

    def many_in(self, folder: str) -> None:
        """Says that much of a folder will be asked for: a store lists it whole, which answers all that."""


class Files(Names, Protocol):
    """Lists, digests and fetches input files."""

    def prepare(self, paths: Sequence[str], looked: OnRead) -> None:
        """Digests many files at once, where that is quicker; calls `looked` for each that had to be read."""

    def of(self, path: str) -> tuple[str, Any]:
        """(digest, stamp of the file as it was digested). Raises OSError or DaedalusError."""

    def is_still(self, path: str, content: str, stamp: Any, looked: int) -> bool:
        """Whether the file is still the one with the digest and stamp that `of` found, `looked` ns after 1970."""

    def settled(self, path: str) -> tuple[int, int, int, int] | None:
        """What `stat` says of a file whose digest is known for good under it; None when it may change unseen."""

    def fetch(self, wanted: Mapping[str, str]) -> AbstractContextManager[Mapping[str, str]]:
        """Local files, by path, with the bytes of `wanted`, which maps paths to digests. They last as the context."""
