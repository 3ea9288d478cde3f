"""Input files on the local disk."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from daedalus import digest
from daedalus.words import is_utf8

if TYPE_CHECKING:
    from daedalus.skeleton.ports import Digests, Looked, Scratch


class LocalFiles:
    """See `Files` in ports.py. What is read by a name of ours, because libraries do not take its own, is linked."""

    def __init__(self, digests: Digests, links: Scratch) -> None:
        self._digests, self._links = digests, links

    def partitions(self, root: str) -> dict[str, list[str]] | None:
        if not os.path.isdir(root):
            return None
        with os.scandir(root) as entries:
            return {entry.name: _parquet(entry.path) for entry in entries if entry.is_dir()}

    def is_folder(self, source: str) -> bool:
        return os.path.isdir(source)

    def matching(self, pattern: str) -> list[str]:
        return [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]

    def prepare(self, paths: Sequence[str], looked: Looked) -> None:
        pass

    def of(self, path: str) -> tuple[str, Any]:
        return self._digests.of(path)

    def is_still(self, path: str, content: str, stamp: Any, looked: int) -> bool:
        try:
            if type(stamp).of(path) != stamp:
                return False
            # Two writes within a tick of the clock leave one stamp: a file that was young at the look is read again.
            return stamp.settled(looked) or digest.of_file(path) == content
        except OSError:
            return False

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


def _parquet(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".parquet") and not name.startswith(".")]
