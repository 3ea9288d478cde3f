"""A folder that all hosts share: free names in it, and files that one host leaves there for another."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from daedalus.base import digest
from daedalus.base.durable import sync
from daedalus.base.errors import DayError

_SEEN_SECONDS = 5.0  # in which a shared folder shows everyone what someone renamed there


class Staging:
    """Free paths in a folder that someone else holds; a worker that dies leaves them to its holder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, suffix: str = "") -> Path:
        return self._folder / f"{uuid.uuid4().hex}{suffix}"


def wait_for(path: Path) -> None:
    """Network file systems show what others renamed a little later; listing the folder makes them look."""
    until = time.monotonic() + _SEEN_SECONDS
    while not path.exists() and time.monotonic() < until:
        with suppress(OSError):
            os.listdir(path.parent)
        time.sleep(0.1)


def left_in(folder: Path) -> dict[str, str]:
    """Forces a folder's files to disk; their digests by name. None for a folder that is not there."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in files:
        sync(path)
    return {path.name: digest.of_file(path) for path in files}


def take(name: str, folder: Path, files: Mapping[str, str], out: Path) -> None:
    """Moves files that another host left to a new folder `out`, if there are any, maybe on another file system.

    Raises DayError when one is not what that host wrote.
    """
    for file, content in files.items():
        wait_for(folder / file)
        out.mkdir(exist_ok=True)
        shutil.move(folder / file, out / file)
        if digest.of_file(out / file) != content:
            raise DayError("a file is not what a worker wrote", where=name, found=str(folder / file), expected=content,
                           hint="does the shared folder show all hosts the same?")  # fmt: skip
