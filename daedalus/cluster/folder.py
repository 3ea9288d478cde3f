"""A folder that all hosts share: free names in it, and waiting for what another host put there."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

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
