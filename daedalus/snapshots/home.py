"""Where the snapshots of an output are, as a protocol: folders beside its partitions, or objects in its bucket."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from daedalus.base.days import DayRange
from daedalus.base.errors import DaedalusError
from daedalus.config.steps import SKELETON
from daedalus.output.partitions import Partitions
from daedalus.snapshots.record import QID_MAP, Snapshot

if TYPE_CHECKING:
    from daedalus.workspace.workspace import Workspace


class SnapshotHome(Protocol):
    """The snapshots of one output."""

    def names(self) -> list[str]:
        """Their names, in order."""

    def read(self, name: str) -> Snapshot:
        """What one says of itself. Raises DaedalusError."""

    def create(self, name: str, span: DayRange | None) -> Snapshot:
        """Makes a snapshot of the days of a range, or of all, as they are at one moment. Raises DaedalusError."""

    def holds(self, name: str) -> bool:
        """Whether there is one, or what a process left that made or removed one."""

    def where(self, record: Snapshot) -> str:
        """Its folder, or the URI of its record."""

    def remove(self, name: str) -> int:
        """Removes one, atomically; returns how many bytes that freed."""

    def only_here(self, name: str) -> int:
        """The bytes that nothing but this snapshot holds: what removing it would free."""

    def reading(self, record: Snapshot, day: str) -> AbstractContextManager[list[Path]]:
        """Local files with the parts of a day, in order, while the context lasts. Raises DaedalusError."""

    def damaged(self, record: Snapshot) -> list[str]:
        """The files of a snapshot that are gone, or have other bytes than its record says."""


def local_map(workspace: Workspace) -> list[Path]:
    """The qid map, if all of it is in a file of this machine."""
    skeleton = workspace.outputs[SKELETON.name].partitions
    path = skeleton.root / QID_MAP if isinstance(skeleton, Partitions) else None
    return [path] if path and path.exists() and workspace.qids.is_whole() else []


def map_file(workspace: Workspace) -> Path | None:
    """A local file with the qid map as it is now; None where there is none."""
    skeleton = workspace.outputs[SKELETON.name].partitions
    if isinstance(skeleton, Partitions):
        with workspace.qids.exclusive():
            return workspace.qids.file()
    from daedalus.output.numbers.whole_map import write_whole
    from daedalus.output.remote_map import RemoteMap
    from daedalus.output.remote_partitions import RemotePartitions

    assert isinstance(skeleton, RemotePartitions)
    skeleton.output.forget()
    files = [file.fetch() for file in RemoteMap(skeleton.output, workspace.scratch).files()]
    return files[0] if len(files) == 1 else write_whole(files, workspace.scratch) if files else None


def exists(name: str, where: str) -> DaedalusError:
    """The error for a name that is taken."""
    return DaedalusError("there is a snapshot of that name", where=where, found=name, expected="a new name",
                         hint=f"daeda snapshot show {name}")  # fmt: skip


def nothing_to_hold(root: str, span: DayRange | None, known: list[str], stage: str) -> DaedalusError:
    """The error for a range without a partition."""
    there = f"partitions of {known[0]} to {known[-1]}" if known else "no partition at all"
    asked = f" in {span}" if span else ""
    return DaedalusError(f"there is no partition{asked}", where=root, found=there, hint=f"daeda {stage}")


def not_described(root: str, stage: str) -> DaedalusError:
    """The error for an output whose `_dataset.json` is gone."""
    return DaedalusError("there is no _dataset.json to take along", where=root, found="none, or a damaged one",
                         hint=f"daeda {stage} writes it")  # fmt: skip


def always_changing(root: str) -> DaedalusError:
    return DaedalusError("the output changed at every look", where=root, found="a run that replaces partitions",
                         hint="create the snapshot when that run has ended")  # fmt: skip
