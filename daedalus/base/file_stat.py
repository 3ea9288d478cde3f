"""What `stat` says of a file, as far as it tells whether the file changed."""

from __future__ import annotations

import os

Stat = tuple[int, int, int, int]  # size, mtime, ctime, inode


GONE: Stat = (-1, 0, 0, 0)  # of a file that is not there


def stat_of(path: str) -> Stat:
    try:
        found = os.stat(path)
    except OSError:
        return GONE
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
