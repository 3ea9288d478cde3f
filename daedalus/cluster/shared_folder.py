"""A folder that all hosts share: free paths in it, and what one host leaves there for another."""

from __future__ import annotations

import os
import pickle
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from daedalus.base import digest
from daedalus.base.errors import DayError
from daedalus.objectstore.part_list import PartList

_SEEN_SECONDS = 5.0  # within which a shared folder shows all hosts a rename


class Staging:
    """Gives free paths in the coordinator's scratch folder, which removes them even if a worker dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, suffix: str = "") -> Path:
        return self._folder / f"{uuid.uuid4().hex}{suffix}"


class Answers:
    """What a run's workers made, by key, in a folder that they share: a worker may be lost before its answer is known,
    or hang, and whoever is asked next need not make it again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key: str) -> Any:
        """The answer that a worker left, or None."""
        try:
            return pickle.loads((self._folder / f"{key}.answer").read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):
            return None

    def leave(self, key: str, answer: Any) -> None:
        path = self._folder / f"{key}.answer"
        staged = path.with_suffix(f".{uuid.uuid4().hex}")
        with suppress(OSError):  # it is a shortcut
            staged.write_bytes(pickle.dumps(answer))
            staged.rename(path)


def wait_for(path: Path) -> None:
    """Waits a few seconds for a file of another host: network file systems may show it late.

    Listing the folder makes them refresh.
    """
    wait_until(path.exists, path.parent)


def wait_until(shown: Callable[[], bool], folder: Path) -> None:
    """Waits a few seconds for what another host did in a folder."""
    until = time.monotonic() + _SEEN_SECONDS
    while not shown() and time.monotonic() < until:
        with suppress(OSError):
            os.listdir(folder)
        time.sleep(0.1)


def check_there(name: str, folder: Path, sizes: Mapping[str, int]) -> None:
    """Raises DayError when files (sizes by name) that another host left in `folder` are not seen here."""
    for file, size in sizes.items():
        wait_for(path := folder / file)
        found = path.stat().st_size if path.exists() else 0
        if found != size:
            raise _not_as_written(name, f"{path}, {found:,} bytes", f"{size:,} bytes")


def all_there(folder: Path, parts: PartList) -> bool:
    """Whether the files are in a folder where another host left them, so far as is seen now."""
    try:
        return all((folder / one.name).stat().st_size == one.bytes for one in parts.parts)
    except OSError:
        return False


def take(name: str, folder: Path, files: Mapping[str, str], out: Path) -> None:
    """Moves files (digests by name) that another host left in `folder` to a new folder `out`.

    `out` may be on another file system; it is made only if there are files. Raises DayError when one has other bytes.
    """
    for file, content in files.items():
        wait_for(folder / file)
        out.mkdir(exist_ok=True)
        shutil.move(folder / file, out / file)
        if digest.of_file(out / file) != content:
            raise _not_as_written(name, str(folder / file), content)


def _not_as_written(name: str, found: str, expected: str) -> DayError:
    return DayError("a file is not what a worker wrote", where=name, found=found, expected=expected,
                    hint="check that the shared folder has the same content on all hosts")  # fmt: skip
