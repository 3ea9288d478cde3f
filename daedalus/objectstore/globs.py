"""Path patterns with the same meaning on a disk, which is walked, and in an object store, which is listed.

They work as in `glob.glob(…, recursive=True)`, and names that begin with `_` are hidden like those with a dot:
wildcards match neither. An object store has no `.` and `..`, and nothing that ends in a slash.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

HIDDEN = ("_", ".")
_STEPS = ("", ".", "..")  # segments that name a folder without being in its parent's listing; the first ends a pattern


def matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether path segments match the segments of a pattern."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        visible = bool(names) and not names[0].startswith(HIDDEN)
        return matches(names, pattern[1:] or ["*"]) or (visible and matches(names[1:], pattern))
    return bool(names) and _fits(names[0], pattern[0]) and matches(names[1:], pattern[1:])


def _fits(name: str, pattern: str) -> bool:
    hidden = name.startswith(HIDDEN) and not pattern.startswith(name[0])
    return not hidden and fnmatchcase(name, pattern)


def fixed(segments: Sequence[str]) -> int:
    """The number of segments of a pattern before its first wildcard."""
    return next((i for i, segment in enumerate(segments) if glob.has_magic(segment)), len(segments))


def find(pattern: str) -> list[str]:
    """The paths on the disk that match, sorted: files, folders, broken links and anything else with such a name.

    Raises OSError for a folder that cannot be listed.
    """
    segments = pattern.split("/")
    start = fixed(segments)
    if start == len(segments):
        return [pattern] if os.path.lexists(pattern) else []
    folder, wild = "/".join(segments[:start]), [segment for segment in segments[start:] if segment]
    wild += [""] * (not segments[-1])  # after a slash at the end
    return sorted(set(_walk(folder or ("/" if start else ""), wild, (os.path.realpath(folder or "."),))))


def _walk(folder: str, pattern: Sequence[str], above: tuple[str, ...]) -> Iterator[str]:
    """Paths below `folder` that match; `above` are the real paths of its parents, so links to them are not followed."""
    head, *rest = pattern
    if head in _STEPS:
        yield from _step(os.path.join(folder, head), rest, above if head != ".." else ())
        return
    if head == "**":
        yield from _walk(folder, rest or ["*"], above)
    for entry in _entries(folder):
        path = os.path.join(folder, entry.name)
        if head == "**":
            if not entry.name.startswith(HIDDEN) and is_folder(entry):
                inner = os.path.realpath(path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
                if inner not in above:
                    yield from _walk(path, pattern, (*above, inner))
        elif _fits(entry.name, head):
            if not rest:
                yield path
            elif is_folder(entry):
                yield from _walk(path, rest, (*above, os.path.realpath(path)))


def _step(path: str, rest: Sequence[str], above: tuple[str, ...]) -> Iterator[str]:
    """What matches once a step that no listing has is taken, to `path`."""
    if rest and os.path.isdir(path):
        yield from _walk(path, rest, above or (os.path.realpath(path),))
    elif path and not rest and os.path.lexists(path):
        yield path


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a circular link is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder or ".") as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
