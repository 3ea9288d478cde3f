"""The error of a full disk, and where it is full: libraries often name no file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from daedalus.base.errors import DaedalusError, RunStopped, is_full

_TEXTS = ("No space left on device", "disk is full")  # of DuckDB and Arrow, and of SQLite
_QUOTED = re.compile(r"""(["'])([^"'\n]*/[^"'\n]*)\1""")
_FULL = 64 << 20  # bytes: a disk with less is full, since what a failed write left may be gone again


class OutOfSpace(RunStopped):
    """A disk is full. `path` is the file that had no room, or "" where no error names it."""

    def __init__(self, name: str, error: BaseException | None = None) -> None:
        self.path = file_named(error) if error else ""
        found = f"no space left {f'to write {self.path} ' if self.path else ''}in the step {name}"
        super().__init__("a disk is full", where=os.path.dirname(self.path) or name, found=found, first="make room")

    def look_in(self, folders: Mapping[str, str]) -> None:
        """Says which of the folders, by the name that people know it by, is full."""
        path = os.path.realpath(self.path) if self.path else ""
        inside = [key for key, folder in folders.items() if path.startswith(f"{os.path.realpath(folder)}/")]
        if not path:
            inside = [key for key, folder in folders.items() if _free(folder) < _FULL] or list(folders)
        if inside:
            self.where = " or ".join(f"{key}: {folders[key]}" for key in inside)


def is_out_of_space(error: BaseException) -> bool:
    """Whether an error means that a disk or a quota is full, also one that DuckDB or Arrow raised."""
    return is_full(error) or any(text in str(error) for text in _TEXTS)


def file_named(error: BaseException) -> str:
    """The file that an error of a full disk, or one that it came from, names; or ""."""
    for one in _chain(error):
        if isinstance(one, OSError) and (name := one.filename2 or one.filename):
            return os.fsdecode(name)
        if isinstance(one, DaedalusError) and "/" in one.where:
            return one.where
        if quoted := _QUOTED.search(str(one)):
            return quoted[2]
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _free(folder: str) -> int:
    """The bytes that may still be written to a folder's disk; none if it takes no further file."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return _FULL
    return found.f_bavail * found.f_frsize if found.f_favail or not found.f_files else 0
