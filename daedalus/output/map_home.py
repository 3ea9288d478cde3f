"""Where the qid map of an output lies, and its history that machines share, as protocols."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

MapState = dict[str, Any]  # lineage; digest of the map as we left it, and the next if we left it growing; partitions; …


class MapFile(NamedTuple):
    """A file with rows of the map, and the digest of the map up to its end."""

    content: str
    fetch: Callable[[], Path]  # a local file, not to be written to


class MapHome(Protocol):
    """Where the qid map of an output root lies, and what we know of it."""

    @property
    def where(self) -> str:
        """A path or URI that changes whenever the map does."""

    def is_there(self) -> bool:
        """Whether there can be a map."""

    def exclusive(self) -> AbstractContextManager[None]:
        """One at a time."""

    def files(self) -> list[MapFile]:
        """The files that together are the map: each has rows below those before."""

    def look_again(self) -> None:
        """Takes nothing for granted of the files that were looked at before."""

    def content(self) -> str:
        """Digest of the map; "" when there is none."""

    def state(self) -> MapState: ...

    def remember(self, lineage: str, content: str, shared: bool | None = None) -> None:
        """Takes down that the map of that content is ours.

        Whether other machines may know its lineage (`shared`) stays as it was if that is not said.
        """

    def lay(self, file: Path) -> None:
        """Makes a finished file the map."""

    def grow(self, file: Path, content: str, lineage: str) -> None:
        """Makes a file of that content, which has all rows of our map, our map; durable when it returns."""

    def add(self, file: Path, lineage: str) -> None:
        """Puts the rows of a file below those of our map; durable when it returns."""

    def is_whole(self) -> bool:
        """Whether all rows are surely where readers of the output look for them, or that is another run's matter."""

    def clean(self) -> None:
        """Removes what a process that died has left beside our map."""

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
