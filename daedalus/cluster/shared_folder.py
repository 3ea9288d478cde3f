"""A folder that all hosts share: free paths in it, and files that one host leaves there for another."""

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

_SEEN_SECONDS = 5.0  # within which a shared folder shows all hosts a rename


class Staging:
    """Gives free paths in the coordinator's scratch folder, which removes them even if a worker dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, suffix: str = "") -> Path:
        return self._folder / f"{uuid.uuid4().hex}{suffix}"


def wait_for(path: Path) -> None:
    """Waits a few seconds for a file of another host: network file systems may show it late.

    Listing the folder makes them refresh.
    """
    until = time.monotonic() + _SEEN_SECONDS
    while not path.exists() and time.monotonic() < until:
        with suppress(OSError):
            os.listdir(path.parent)
        time.sleep(0.1)


def left_in(folder: Path) -> dict[str, str]:
    """Syncs a folder's files to disk and returns their digests by name; empty if there is no folder."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in files:
        sync(path)
    return {path.name: digest.of_file(path) for path in files}


def take(name: str, folder: Path, files: Mapping[str, str], out: Path) -> None:
    """Moves files (digests by name) that another host left in `folder` to a new folder `out`.

    `out` may be on another file system; it is made only if there are files. Raises DayError when one has other bytes.
    """
    for file, content in files.items():
        wait_for(folder / file)
        out.mkdir(exist_ok=True)
        shutil.move(folder / file, out / file)
        if digest.of_file(out / file) != content:
            raise DayError("a file is not what a worker wrote", where=name, found=str(folder / file), expected=content,
                           hint="check that the shared folder has the same content on all hosts")  # fmt: skip
