"""Where the qid map lies: `qid_map.parquet` in a local output root, and what is known of it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base import digest
from daedalus.base.durable import day_folders, move_file, open_lock, part_files
from daedalus.output.part_file import parts_with_qids

if TYPE_CHECKING:
    from daedalus.base.ports import Digests, Facts
    from daedalus.output.map_home import MapState

NO_STATE: MapState = {"lineage": "", "digest": None, "next": None, "partitions": ""}


class LocalMap:
    """See `MapHome` in ports.py. What is known of the map is a fact of the cache."""

    def __init__(self, root: Path, digests: Digests, facts: Facts) -> None:
        self._path, self._root = root / "qid_map.parquet", root
        self._digests, self._facts = digests, facts
        self._state_key = f"qid_map:{root}"  # as configured, so that a project can be moved

    @property
    def where(self) -> str:
        return str(self._path)

    def is_there(self) -> bool:
        return self._root.is_dir()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        if not os.access(self._root, os.W_OK):  # nobody writes here: commands that only read need no lock
            yield
            return
        handle = open_lock(self._root / ".qid_map.lock")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # it goes with its process
            yield
        finally:
            os.close(handle)

    def path(self) -> Path | None:
        return self._path if self._path.exists() else None

    def content(self) -> str:
        return self._digests.of(self._path)[0] if self._path.exists() else ""

    def state(self) -> MapState:
        return {**NO_STATE, "shared": False, **(self._facts.fact(self._state_key) or {})}

    def remember(self, lineage: str, content: str, shared: bool | None = None) -> None:
        self._take_down(lineage, content, content, shared)

    def _take_down(self, lineage: str, content: str, next_content: str, shared: bool | None = None) -> None:
        if shared is None:
            before = self.state()
            shared = before["lineage"] == lineage and before["shared"]
        state = {"lineage": lineage, "digest": content, "next": next_content, "partitions": "", "shared": shared}
        self._facts.remember_fact(self._state_key, state)

    def lay(self, file: Path) -> None:
        content = digest.of_file(file)
        move_file(file, self._path)
        self._digests.note(self._path, content)

    def grow(self, file: Path, lineage: str) -> None:
        content = digest.of_file(file)
        self._take_down(lineage, self.content(), content)  # first: a crash leaves one of the two
        self.lay(file)
        self.remember(lineage, content)

    def drop(self) -> None:
        if self._path.exists():
            self._path.replace(self._path.with_suffix(f".damaged-{time.time_ns()}"))

    def stamp(self) -> str:
        stats = [(str(path.relative_to(self._root)), path.stat()) for path in self._parts()]
        return digest.of_json([[name, stat.st_size, stat.st_mtime_ns, stat.st_ino] for name, stat in stats])

    def settle(self) -> None:
        state = self._facts.fact(self._state_key)
        if state:
            self._facts.remember_fact(self._state_key, {**state, "partitions": self.stamp()})

    def held(self) -> list[tuple[Path, bool]]:
        return parts_with_qids(self._parts())

    def _parts(self) -> list[Path]:
        return sorted(part for folder in day_folders(self._root) for part in part_files(folder))
