"""Input files on the local disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base import digest
from daedalus.base.terminal_text import is_utf8
from daedalus.inputs.file_formats import format_of
from daedalus.inputs.files import Tree
from daedalus.objectstore.globs import find, is_folder

if TYPE_CHECKING:
    from daedalus.base.ports import Digests, Scratch
    from daedalus.inputs.files import OnRead


class LocalNames:
    """The `Names` of the local disk."""

    def tree(self, root: str) -> Tree | None:
        if not os.path.isdir(root):
            return None
        with os.scandir(root) as found:
            entries = list(found)
        folders: dict[str, list[str]] = {}
        errors: dict[str, str] = {}
        files = []
        for entry in entries:
            if not is_folder(entry) and (not entry.is_symlink() or os.path.exists(entry.path)):
                files.append(entry.name)
                continue
            try:
                folders[entry.name] = _names(entry.path)
            except OSError as error:  # a broken link, or no permission
                errors[entry.name] = error.strerror or str(error)
        return Tree(folders, files, errors)

    def is_folder(self, source: str) -> bool:
        return os.path.isdir(source)

    def matching(self, pattern: str) -> list[str]:
        paths = find(pattern)
        folders = {path for path in paths if os.path.isdir(path)}
        holding = {path[:i] for path in paths if path not in folders for i, c in enumerate(path) if c == "/"}
        return [path for path in paths if path not in folders or (format_of(path) and path not in holding)]

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def many_in(self, folder: str) -> None:
        pass


class LocalFiles(LocalNames):
    """The `Files` of the local disk. A path that is not UTF-8, which libraries refuse, is read through a symlink."""

    def __init__(self, digests: Digests, links: Scratch) -> None:
        self._digests, self._links = digests, links

    def prepare(self, paths: Sequence[str], looked: OnRead) -> None:
        pass

    def of(self, path: str) -> tuple[str, Any]:
        return self._digests.of(path)

    def is_still(self, path: str, content: str, stamp: Any, looked: int) -> bool:
        try:
            if type(stamp).of(path) != stamp:
                return False
            # Two writes within a clock tick leave the same stamp: a file that was young at the look is hashed again.
            return stamp.settled(looked) or digest.of_file(path) == content
        except OSError:
            return False

    def settled(self, path: str) -> tuple[int, int, int, int] | None:
        stamp = self._digests.settled(path)
        return stamp.values if stamp else None

    @contextmanager
    def fetch(self, wanted: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
        links = {path: self._links.path() for path in wanted if not is_utf8(path)}
        try:
            for path, link in links.items():
                link.symlink_to(os.path.abspath(path))
            yield {path: str(links.get(path, path)) for path in wanted}
        finally:
            for link in links.values():
                link.unlink(missing_ok=True)


def _names(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name + "/" * is_folder(entry) for entry in entries]
