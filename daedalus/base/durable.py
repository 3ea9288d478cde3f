"""Writes files and folders atomically: synced to disk, then renamed or exchanged into place."""

from __future__ import annotations

import errno
import os
import re
import stat
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from daedalus.base.days import is_day
from daedalus.base.errors import DaedalusError, is_full

PART = re.compile(r"part-[0-9]+-0\.parquet")  # the names of a partition's files
PARTS = "part-N-0.parquet"  # the same, as people are told
DATASET = (
    "_dataset.json"  # beside the partitions: what is in them (compile/dataset.py); readers of folders pass it over
)
SNAPSHOTS = "_snapshots"  # the folder beside the partitions of those that are kept (snapshots/)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_OPEN = 128  # files that `sync_all` has open
# Bytes of each whose writing it begins: the advice that does so also lets go of what is on disk already, which of a
# large file may be read again.
_BEGINNING = 1 << 20


def sync(path: Path) -> None:
    """Forces a file's content, or a folder's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        _sync(handle, path)
    finally:
        os.close(handle)


def _sync(handle: int, path: Path) -> None:
    """Forces an open file to disk; an error names it."""
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def sync_all(paths: Sequence[Path]) -> None:
    """Forces many files or folders to disk; those that are gone are passed over.

    The system is told to begin with all of them before the first is waited for: else its journal is written for each.
    """
    for at in range(0, len(paths), _OPEN):
        with ExitStack() as opened:
            handles = {}
            for path in paths[at : at + _OPEN]:
                with suppress(FileNotFoundError):
                    handles[path] = os.open(path, os.O_RDONLY)
                    opened.callback(os.close, handles[path])
            for handle in handles.values() if hasattr(os, "posix_fadvise") else ():
                with suppress(OSError):  # a hint: not all file systems take it
                    os.posix_fadvise(handle, 0, _BEGINNING, os.POSIX_FADV_DONTNEED)
            for path, handle in handles.items():
                _sync(handle, path)


def move_file(written: Path, final: Path) -> None:
    """Puts a finished file under its final name, durably."""
    sync(written)
    os.replace(written, final)
    sync(final.parent)


def day_folders(root: Path) -> list[Path]:
    """What lies in an output under the name of a day's partition, days ascending."""
    return sorted(path for path in root.glob("dt=*") if is_day(path.name[3:]))


def part_files(folder: Path) -> list[Path]:
    """The part files in a partition's folder, in order; none where there is no folder. Raises OSError.

    Files of other names, parquet or not, are not ours: they are not read, and not replaced without --adopt.
    """
    names = os.listdir(folder) if folder.is_dir() else []
    parts = [name for name in names if PART.fullmatch(name)]
    return [folder / name for name in sorted(parts, key=lambda name: (len(name), name))]  # part-10 after part-9


def write_file(final: Path, data: bytes) -> None:
    """Writes a file that the user named, atomically.

    Replaces a plain file of that name. Raises OSError, also when the name is a link, a device or a folder.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(final).st_mode):
            raise FileExistsError(errno.EEXIST, "not a plain file", str(final))
    beside = final.with_name(f".daeda-{uuid.uuid4().hex}")  # short, so that it is valid however long the name is
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with open(handle, "wb") as file:
            file.write(data)
        os.replace(beside, final)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def open_lock(path: Path, flags: int = os.O_CREAT) -> int:
    """A handle of a lock file, created if missing: a plain file, never the target of a link.

    Raises DaedalusError, and OSError when the disk is full or its folder is gone.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | flags, 0o666)
    except OSError as error:
        if is_full(error) or isinstance(error, FileNotFoundError):
            raise
        raise DaedalusError("a lock file cannot be opened", where=str(path), found=error.strerror,
                            expected="a plain file, in a folder that can be written") from None  # fmt: skip
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise DaedalusError("a lock file cannot be opened", where=str(path), found="a device or a pipe",
                            expected="a plain file")  # fmt: skip
    return handle


def sync_folder(folder: Path) -> None:
    """Forces the files in a folder, and their names, to disk."""
    for path in (*folder.iterdir(), folder):
        sync(path)


def swap_folder(written: Path | None, final: Path, aside: Path) -> Path:
    """Moves a folder of finished files, which are on disk, to its final name in one step; with None, removes `final`.

    `aside` is a free path on the same file system. Returns where the old `final` is now, for `end_swap`.
    """
    if written is None:
        os.rename(final, aside)
    elif not os.path.lexists(final):
        os.rename(written, final)
    elif _exchange(written, final):
        return written
    else:  # not supported here: for an instant there is no folder, but never a mix of both
        os.rename(final, aside)
        os.rename(written, final)
    return aside


def end_swap(final: Path, old: Path) -> None:
    """Makes a swap durable, and deletes what lay there before."""
    sync(final.parent)
    remove_folder(old)


def remove_folder(folder: Path) -> None:
    """Removes a folder and its content; errors are ignored."""
    import shutil  # not needed when nothing is removed

    shutil.rmtree(folder, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two folders atomically; False where the system cannot."""
    import ctypes  # needed for publishing only

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
