"""Files that are whole or not there: forced to disk, then renamed or exchanged into place."""

from __future__ import annotations

import os
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def sync(path: Path) -> None:
    """Forces a file's content, or a folder's entries, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_file(written: Path, final: Path) -> None:
    """Puts a finished file under its final name, durably."""
    sync(written)
    os.replace(written, final)
    sync(final.parent)


def part_files(folder: Path) -> list[Path]:
    """The part files in a partition's folder, in order; none where there is no folder. Raises OSError.

    What others leave beside them under names that readers of parquet pass over, such as `._NAME`, is none.
    """
    names = os.listdir(folder) if folder.is_dir() else []
    parts = [name for name in names if name.endswith(".parquet") and not name.startswith((".", "_"))]
    return [folder / name for name in sorted(parts, key=lambda name: (len(name), name))]  # part-10 after part-9


def swap_folder(written: Path | None, final: Path, aside: Path) -> None:
    """Puts a folder of finished files under its final name in one step, or with None takes `final` away.

    `aside` is a free path on the same file system; what `final` was goes there and is deleted.
    """
    if written is None:
        os.rename(final, aside)
    else:
        for path in (*written.iterdir(), written):
            sync(path)
        if not final.exists():
            os.rename(written, final)
        elif _exchange(written, final):
            aside = written
        else:  # no such call here: for an instant there is no folder, but never a mix of both
            os.rename(final, aside)
            os.rename(written, final)
    sync(final.parent)
    remove_folder(aside)


def remove_folder(folder: Path) -> None:
    """Removes a folder with what is in it, as far as that goes."""
    import shutil  # only for who leaves something behind

    shutil.rmtree(folder, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two folders atomically; False where the system cannot."""
    import ctypes  # only for who publishes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
