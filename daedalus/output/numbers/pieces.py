"""Rows that a run has put below a map in a folder, a piece each time, until it writes them into the map.

    .qid_map/<digest of the map>/<place>-<digest of the piece>

Pieces belong to the map with that digest and no other: below one that has their rows, or that somebody brought, they
are not looked at, and removed when the map grows next. So nothing is counted twice, whenever a process dies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from daedalus.base import digest
from daedalus.base.durable import move_file, remove_folder, sync
from daedalus.base.file_stat import GONE, Stat, stat_of

FOLDER = ".qid_map"
_PIECE = re.compile(r"([0-9]{6,})-([0-9a-f]{32})")
_NO_MAP = "none"


class Pieces:
    """The pieces in the folder of one output. Changed by one process at a time."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER
        self._whole: dict[Path, Stat] = {}  # files whose bytes are those that their name says
        self._left: Stat = GONE  # of a folder in which we left nothing but pieces that count

    def stat(self, base: str) -> Stat:
        """Changes with what lies below the map with a digest, unless within a tick of the clock."""
        return stat_of(str(self._below(base)))

    def of(self, base: str) -> list[tuple[str, Path]]:
        """(digest, file) of the pieces below the map with a digest, in order, up to one that is not whole."""
        found = sorted((int(match[1]), match[2], path) for match, path in self._named(base))
        whole = []
        for place, (at, content, path) in enumerate(found):
            if at != place or not self._is_whole(path, content):
                break
            whole.append((content, path))
        return whole

    def any(self) -> bool:
        """Whether there may be pieces, of whatever map."""
        return self._folder.is_dir()

    def _named(self, base: str) -> Iterator[tuple[re.Match, Path]]:
        folder = self._below(base)
        for path in folder.iterdir() if folder.is_dir() else ():
            if match := _PIECE.fullmatch(path.name):
                yield match, path

    def _below(self, base: str) -> Path:
        return self._folder / (base or _NO_MAP)

    def _is_whole(self, path: Path, content: str) -> bool:
        try:
            stat = stat_of(str(path))
            if self._whole.get(path) != stat:
                if digest.of_file(path) != content:
                    return False
                self._whole[path] = stat
        except OSError:
            return False
        return True

    def add(self, base: str, place: int, file: Path, content: str) -> Path:
        """Puts a finished file below the map with a digest and its pieces, of which there are `place`; returns where it
        lies. Durable when it returns."""
        self.drop(but=base)
        if self.stat(base) != self._left:
            kept = {path for _, path in self.of(base)}
            for _, path in self._named(base):
                if path not in kept:
                    path.unlink()
        folder = self._below(base)
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync(folder.parent)
            sync(folder.parent.parent)
        path = folder / f"{place:06}-{content}"
        move_file(file, path)
        self._whole[path] = stat_of(str(path))
        self._left = self.stat(base)
        return path

    def drop(self, but: str | None = None) -> None:
        """Removes all pieces, but for those of the map with a digest."""
        if but is None:
            remove_folder(self._folder)
            return
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder != self._below(but):
                remove_folder(folder)


def map_files(root: Path) -> list[Path]:
    """The files of the map in a folder, for who only looks."""
    path, pieces = root / "qid_map.parquet", Pieces(root)
    files = [path] if path.exists() else []
    if pieces.any():
        files += [piece for _, piece in pieces.of(digest.of_file(path) if files else "")]
    return files
