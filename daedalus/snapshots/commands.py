"""`daeda snapshot create`, `list`, `show` and `remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.base.days import parse_range
from daedalus.base.errors import DaedalusError, did_you_mean
from daedalus.config.steps import STAGES
from daedalus.output.partitions import Partitions
from daedalus.snapshots.folder import FolderSnapshots
from daedalus.snapshots.home import SnapshotHome, exists
from daedalus.snapshots.record import Snapshot, check_name, unknown
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import StageOutput, Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.snapshots import SnapshotDay, SnapshotList, SnapshotRemoved, SnapshotShown, SnapshotSummary

_COMMAND = "daeda snapshot"


def snapshot_homes(workspace: Workspace) -> dict[str, SnapshotHome]:
    """The snapshots of each stage that the config has."""
    return {name: _home(workspace, output) for name, output in workspace.outputs.items()}


def _home(workspace: Workspace, output: StageOutput) -> SnapshotHome:
    home = output.partitions
    if isinstance(home, Partitions):
        return FolderSnapshots(workspace, home, output.stage)
    from daedalus.output.remote_partitions import RemotePartitions
    from daedalus.snapshots.bucket import BucketSnapshots

    assert isinstance(home, RemotePartitions)
    return BucketSnapshots(workspace, home, output.stage)


def find(homes: dict[str, SnapshotHome], name: str, where: str) -> SnapshotHome:
    """The home of a snapshot, of whatever stage it is. Raises DaedalusError."""
    known = [(home, home.names()) for home in homes.values()]
    for home, names in known:
        if name in names:
            return home
    raise unknown(name, [one for _, names in known for one in names], where)


def create_snapshot(settings: Settings, name: str, range: str | None = None, stage: str = "skeleton") -> SnapshotShown:
    """Makes a snapshot of the partitions of a range, or of all, as they are now. Raises DaedalusError."""
    check_name(name, f"{_COMMAND} create NAME")
    if stage not in STAGES:
        raise DaedalusError("there is no such stage", where=f"{_COMMAND} create --stage", found=stage,
                            expected=" or ".join(STAGES), hint=did_you_mean(stage, STAGES))  # fmt: skip
    span = parse_range(range) if range is not None else None
    with opened(settings) as workspace:
        homes = snapshot_homes(workspace)
        if stage not in homes:
            raise DaedalusError("the configuration has no embeddings", where=f"{_COMMAND} create --stage", found=stage,
                                expected="skeleton, or embeddings in runtime.yaml")  # fmt: skip
        for home in homes.values():
            if name in home.names():
                raise exists(name, f"{_COMMAND} create NAME")
        return _shown(homes[stage], homes[stage].create(name, span))


def list_snapshots(settings: Settings) -> SnapshotList:
    """The snapshots of every stage, the oldest first."""
    with opened(settings) as workspace:
        found = [(home.read(name), home) for home in snapshot_homes(workspace).values() for name in home.names()]
        found.sort(key=lambda one: (one[0].made, one[0].name))
        return {"snapshots": [{**_summary(home, one), "days": len(one.days)} for one, home in found]}


def show_snapshot(settings: Settings, name: str) -> SnapshotShown:
    """What a snapshot holds. Raises DaedalusError."""
    with opened(settings) as workspace:
        home = find(snapshot_homes(workspace), name, f"{_COMMAND} show NAME")
        return _shown(home, home.read(name))


def remove_snapshot(settings: Settings, name: str) -> SnapshotRemoved:
    """Removes a snapshot. Raises DaedalusError."""
    with opened(settings) as workspace:
        homes = snapshot_homes(workspace)
        begun = [home for home in homes.values() if home.holds(name)]
        home = begun[0] if begun else find(homes, name, f"{_COMMAND} remove NAME")
        return {"name": name, "freed_bytes": home.remove(name)}


def _summary(home: SnapshotHome, one: Snapshot) -> SnapshotSummary:
    return {"name": one.name, "stage": one.stage, "made": one.made, "range": [*one.range], "rows": one.rows,
            "bytes": one.bytes, "only_here_bytes": home.only_here(one.name)}  # fmt: skip


def _shown(home: SnapshotHome, one: Snapshot) -> SnapshotShown:
    days: dict[str, SnapshotDay] = {}
    for day, held in one.days.items():
        days[day] = {"rows": held.rows, "bytes": held.bytes, "digest": held.digest, "compile": held.compile}
    return {**_summary(home, one), "where": home.where(one), "compile": one.compile, "dataset": one.dataset,
            "days": days}  # fmt: skip
