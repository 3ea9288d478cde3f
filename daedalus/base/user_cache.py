"""Folders in this user's cache for what a start would else make anew. Who removes them loses time only."""

from __future__ import annotations

import os
from stat import S_ISDIR


def private_folder(name: str) -> str | None:
    """`~/.cache/daeda/NAME`, made where it is not; None unless it is this user's, and nobody else may write there.

    `$XDG_CACHE_HOME` is in place of `~/.cache`. What others may have put there must not be trusted: it may be code.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(home):
        return None
    folders = [home, f"{home}/daeda", f"{home}/daeda/{name}"]
    if all(map(_is_private, folders)):
        return folders[-1]
    try:
        for folder in folders:
            if not os.path.isdir(folder):
                os.mkdir(folder, 0o700)
    except OSError:
        return None
    return folders[-1] if all(map(_is_private, folders)) else None


def _is_private(folder: str) -> bool:
    try:
        found = os.lstat(folder)
    except (OSError, ValueError):
        return False
    return S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
