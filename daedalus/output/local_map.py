"""Where the qid map lies: `qid_map.parquet` in a local output root, with what a run has not written into it yet.

What is known of the map is a fact of the cache. While there are pieces, its digest is one that versions which do not
know of pieces find nowhere: they reconcile the map, as one that is not theirs, and go on under another lineage.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base import digest
from daedalus.base.durable import day_folders, move_file, open_lock, part_files
from daedalus.output.map_home import MapFile
from daedalus.output.numbers.pieces import Pieces
from daedalus.output.part_file import parts_with_qids

if TYPE_CHECKING:
    from daedalus.base.file_stat import Stat
    from daedalus.base.ports import Digests, Facts
    from daedalus.output.map_home import MapState

NO_STATE: MapState = {"lineage": "", "digest": None, "next": None, "partitions": ""}


class LocalMap:
    """See `MapHome` in map_home.py."""

    def __init__(self, root: Path, digests: Digests, facts: Facts) -> None:
        self._path, self._root = root / "qid_map.parquet", root
        self._digests, self._facts, self._pieces = digests, facts, Pieces(root)
        self._seen: tuple[str, Stat, list[MapFile]] | None = None  # files below a digest, by the `stat` of their folder
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

    def files(self) -> list[MapFile]:
        return list(self._look()[2])

    def _look(self) -> tuple[str, Stat, list[MapFile]]:
        """`_seen`, as it is now. Pieces are listed again only if their folder changed, or if the state, which tells in
        which of a clock's ticks it did, is of another content: a day costs the same however many lie there."""
        base = self._base()
        at = self._pieces.stat(base)
        if self._seen and self._seen[:2] == (base, at) and _content(self._seen[2]) == self.state()["digest"]:
            return self._seen
        content, found = base, [MapFile(base, lambda: self._path)] if base else []
        for piece, path in self._pieces.of(base):
            content = below(content, piece)
            found.append(MapFile(content, partial(Path, path)))
        self._seen = base, at, found
        return self._seen

    def look_again(self) -> None:
        self._seen = None

    def _base(self) -> str:
        return self._digests.of(self._path)[0] if self._path.exists() else ""

    def content(self) -> str:
        return _content(self._look()[2])

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
        self._lay(file, digest.of_file(file))

    def _lay(self, file: Path, content: str) -> None:
        move_file(file, self._path)
        self._digests.note(self._path, content)
        self._pieces.drop()

    def grow(self, file: Path, content: str, lineage: str) -> None:
        self._take_down(lineage, self.content(), content)  # first: a crash leaves one of the two
        self._lay(file, content)
        self.remember(lineage, content)

    def add(self, file: Path, lineage: str) -> None:
        base, _, files = self._look()
        before, piece = _content(files), digest.of_file(file)
        after = below(before, piece)
        self._take_down(lineage, before, after)
        path = self._pieces.add(base, len(files) - bool(base), file, piece)
        self.remember(lineage, after)
        self._seen = base, self._pieces.stat(base), [*files, MapFile(after, partial(Path, path))]

    def is_whole(self) -> bool:
        return not self._pieces.any()

    def clean(self) -> None:
        base = self._base()
        self._pieces.drop(but=base if self._pieces.of(base) else None)

    def drop(self) -> None:
        if self._path.exists():
            self._path.replace(self._path.with_suffix(f".damaged-{time.time_ns()}"))
        self._pieces.drop()

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


def _content(files: Sequence[MapFile]) -> str:
    return files[-1].content if files else ""


def below(content: str, piece: str) -> str:
    """The content of a map of one content with a piece below it."""
    return digest.of_json([content, piece])
