"""What tests of snapshots look at: the files of a snapshot with their bytes, and what lies on the disk."""

from __future__ import annotations

import json
from pathlib import Path

from small import answered

from daedalus.output.claims import RECORD


def files_of(root: Path, name: str) -> dict[str, bytes]:
    """The files of a snapshot in an output root, by path below it."""
    folder = root / "_snapshots" / name
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def published(root: Path) -> dict[str, bytes]:
    """The partitions of an output and its qid map, by path below it."""
    paths = [*sorted(root.glob("dt=*/part-*")), *root.glob("qid_map.parquet")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def data_of(root: Path, name: str) -> dict[str, bytes]:
    """The partitions and the qid map of a snapshot."""
    return {path: data for path, data in files_of(root, name).items() if path.endswith(".parquet")}


def blocks(root: Path) -> int:
    """Bytes that files below a folder take on the disk, each inode once."""
    return sum({(s.st_dev, s.st_ino): s.st_blocks * 512 for p in root.rglob("*") if (s := p.lstat())}.values())


def said(*arguments: str, code: int = 0) -> dict:
    """What `daeda snapshot` prints as JSON."""
    done = answered("snapshot", *arguments, "--json")
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def names_in(root: Path) -> list[str]:
    return sorted(path.parent.name for path in root.glob(f"_snapshots/*/{RECORD}"))


def left_over(root: Path) -> list[Path]:
    """What unfinished processes left in an output; a folder that is empty may be one just being made."""
    return [path for path in root.glob(".daeda-*") if any(path.iterdir())]
