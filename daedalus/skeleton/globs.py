"""Patterns of paths where there is no disk for `glob` to walk."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether path segments match a pattern's, by the rules of `glob.glob(…, recursive=True)`."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        visible = bool(names) and not names[0].startswith(".")
        return matches(names, pattern[1:] or ["*"]) or (visible and matches(names[1:], pattern))
    if not names or (names[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(names[0], pattern[0]) and matches(names[1:], pattern[1:])
