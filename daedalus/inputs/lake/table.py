"""A version of a Delta or Iceberg table: its files with their partition values, and what its columns are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from msgspec import Struct

from daedalus.base.errors import DaedalusError
from daedalus.inputs.files import Names
from daedalus.objectstore.object_store import is_uri


class LakeFile(Struct, frozen=True):
    """A file of the table. `label` is its path below the table's folder, or its address if it lies elsewhere.

    `values` are its partition's, by field; those of the fields in `days` are dates, if they are not None.
    """

    path: str
    label: str
    values: Mapping[str, object]
    days: frozenset[str] = frozenset()


class Columns(Struct, frozen=True):
    """What a table knows of its columns that its files do not say by names.

    `ids` are the fields by name, where files have ids; `mapped` the ids of names in files that have none. `outside`
    are columns that a file need not hold although they have values, and why.
    """

    ids: Mapping[str, int] | None = None
    mapped: Mapping[str, int] = {}
    outside: Mapping[str, str] = {}


class LakeTable(Struct, frozen=True, dict=True):
    """`format` is Delta or Iceberg; `version` a number of it, or a snapshot; `partitioned` says by what."""

    format: str
    folder: str
    version: int | None
    files: Sequence[LakeFile]
    partitioned: Sequence[str]
    columns: Columns = Columns()

    @cached_property
    def paths(self) -> dict[str, str]:
        """Where the files are, by label."""
        return {file.label: file.path for file in self.files}

    @cached_property
    def labels(self) -> dict[str, str]:
        """The files' labels, by path."""
        return {file.path: file.label for file in self.files}

    @property
    def note(self) -> str:
        """The table and its version, for people."""
        word = "version" if self.format == "Delta" else "snapshot"
        return f"{self.format} table {self.folder}, {word} {'none' if self.version is None else self.version}"


class Place(Struct, frozen=True):
    """Where a table is, and what of it is asked for. `where` is the config key, for errors."""

    folder: str
    version: int | None
    where: str
    files: Names
    options: Mapping[str, str]  # of its object store, for libraries

    def refuse(self, what: str, found: object = None, expected: object = None, hint: str = "") -> DaedalusError:
        """The error (exit 2) of what cannot be read of it."""
        return DaedalusError(what, where=f"{self.where}: {self.folder}", found=found, expected=expected, hint=hint)


def first_line(error: Exception) -> str:
    """What a library's error says, for a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def labelled(path: str, location: str, place: Callable[[str], str]) -> tuple[str, str]:
    """(path, label) of a file of a table at `location`; `place` gives the path of what lies below it."""
    if path.startswith(below := location.rstrip("/") + "/"):
        label = path.removeprefix(below)
        return place(label), label
    return path, path if is_uri(path) else f"file://{path}"
