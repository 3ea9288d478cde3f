"""What the stage needs from whoever runs it, as protocols: it knows nothing of stores or traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
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

    def remember_facts(self, facts: Mapping[str, Any]) -> None: ...


Looked = Callable[[str, Path, str], None]  # (path, local file with its bytes, digest)


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

    def prepare(self, paths: Sequence[str], looked: Looked) -> None:
        """Looks at many files at once, where that is quicker; tells `looked` of each that had to be read."""

    def of(self, path: str) -> tuple[str, Any]:
        """(digest, stamp of the file as it was digested). Raises OSError or DaedalusError."""

    def is_still(self, path: str, content: str, stamp: Any, looked: int) -> bool:
        """Whether a new look finds what `of` found: (content, stamp), at a time in nanoseconds since 1970."""

    def fetch(self, wanted: Mapping[str, str]) -> AbstractContextManager[Mapping[str, str]]:
        """Local files, while the context lasts, with the bytes of these paths, whose digests are the values."""


class Scratch(Protocol):
    """A folder for unfinished files, on the file system that they end on."""

    def path(self, suffix: str = "") -> Path: ...


MapState = dict[str, Any]  # lineage; digest of the map as we left it, and the next if we left it growing; partitions; …


class MapHome(Protocol):
    """Where the qid map of an output root lies, and what we know of it."""

    @property
    def where(self) -> str:
        """A path or URI that changes whenever the map does."""

    def is_there(self) -> bool:
        """Whether there can be a map."""

    def exclusive(self) -> AbstractContextManager[None]:
        """One at a time."""

    def path(self) -> Path | None:
        """A local file with the map, not to be written to; None when there is no map."""

    def content(self) -> str:
        """Digest of the map; "" when there is none."""

    def state(self) -> MapState: ...

    def remember(self, lineage: str, content: str, shared: bool | None = None) -> None:
        """Takes down that the map of that content is ours.

        Whether other machines may know its lineage (`shared`) stays as it was if that is not said.
        """

    def lay(self, file: Path) -> None:
        """Makes a finished file the map."""

    def grow(self, file: Path, lineage: str) -> None:
        """Makes a file that has more rows than our map our map; durable when it returns."""

    def drop(self) -> None:
        """Takes a file away that cannot be the map; on a disk it is set aside, for it may be somebody else's."""

    def stamp(self) -> str:
        """Changes when any partition does, as far as a look from outside tells."""

    def settle(self) -> None:
        """Takes down that the partitions, as they are now, agree with the map."""

    def held(self) -> list[tuple[Path, bool]]:
        """(file, whether it carries feed_session) of every part of a partition that has a qid."""


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
