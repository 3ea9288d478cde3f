"""Input files on the local disk and in object stores: each call goes to one of them, by the path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from daedalus.base.file_stat import Stat, stat_of
from daedalus.inputs.local_files import LocalFiles
from daedalus.objectstore.object_store import SCHEMES, Traffic, is_uri

if TYPE_CHECKING:
    from daedalus.inputs.files import Files, OnRead, Tree
    from daedalus.inputs.remote_files import RemoteFiles


class InputFiles:
    """A `Files` over both. `remote(say)` is opened at the first URI.

    `say` prints the progress of a long look.
    """

    def __init__(
        self,
        local: LocalFiles,
        remote: Callable[[Callable[[str], None]], RemoteFiles],
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._local, self._open, self._say = local, remote, say

    @cached_property
    def remote(self) -> RemoteFiles:
        return self._open(self._say)

    @property
    def traffic(self) -> Traffic | None:
        """Requests and bytes so far; None if everything is local."""
        return self.remote.traffic if "remote" in self.__dict__ else None

    def _at(self, path: str) -> Files:
        return self.remote if is_uri(path) else self._local

    def tree(self, root: str) -> Tree | None:
        return self._at(root).tree(root)

    def is_folder(self, source: str) -> bool:
        return self._at(source).is_folder(source)

    def matching(self, pattern: str) -> list[str]:
        return self._at(pattern).matching(pattern)

    def read(self, path: str) -> bytes:
        return self._at(path).read(path)

    def many_in(self, folder: str) -> None:
        self._at(folder).many_in(folder)

    def prepare(self, paths: Sequence[str], looked: OnRead) -> None:
        if uris := [path for path in paths if is_uri(path)]:
            self.remote.prepare(uris, looked)

    def of(self, path: str | os.PathLike[str]) -> tuple[str, Any]:
        return self._at(str(path)).of(str(path))

    def is_still(self, path: str, content: str, stamp: Any, looked: int) -> bool:
        return self._at(path).is_still(path, content, stamp, looked)

    def stat(self, path: str) -> Stat:
        """What `stat` says of a file, or the listing of an object."""
        return self.remote.stat(path) if path.startswith(SCHEMES) else stat_of(path)

    def settled(self, path: str) -> Stat | None:
        """What `stat` says of a file whose digest is known for good under it."""
        return self._at(path).settled(path)

    @contextmanager
    def fetch(self, wanted: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
        uris = {path: content for path, content in wanted.items() if is_uri(path)}
        with self._local.fetch({path: content for path, content in wanted.items() if path not in uris}) as local:
            if not uris:
                yield local
                return
            with self.remote.fetch(uris) as fetched:
                yield {**local, **fetched}
