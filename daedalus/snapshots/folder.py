"""Snapshots of a local output: hard links, made read-only, in a folder beside its partitions.

    _snapshots/NAME/_snapshot.json                  what it is, and the digests of all that it holds (record.py)
    _snapshots/NAME/_dataset.json                   that of the output, with these days alone
    _snapshots/NAME/qid_map.parquet                 a link of the map, which is never written to, only replaced
    _snapshots/NAME/dt=YYYY-MM-DD/part-N-0.parquet  links of the parts

A partition is replaced by a folder of other files, never written to, so a link keeps its bytes whatever runs do. It
is put together in the folder of an unfinished process and renamed when all of it is on disk; removed, it is renamed
back first. So there is all of a snapshot or none of it, and what a killed process leaves is swept by the next.
All partitions are linked first and looked at then, all again, until none changed since it was linked: at the moment
between, they were there together.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base import digest
from daedalus.base.days import DayRange
from daedalus.base.durable import DATASET, SNAPSHOTS, remove_folder, sync
from daedalus.compile.dataset import described
from daedalus.config.steps import Stage
from daedalus.output.partitions import Partitions
from daedalus.snapshots.home import exists, local_map, not_described, nothing_to_hold
from daedalus.snapshots.known import Known
from daedalus.snapshots.linking import Linking
from daedalus.snapshots.record import QID_MAP, Snapshot, days_in, names_in, read_record, unknown

if TYPE_CHECKING:
    from daedalus.workspace.workspace import Workspace


class FolderSnapshots:
    """See `SnapshotHome` in home.py."""

    def __init__(self, workspace: Workspace, home: Partitions, stage: Stage) -> None:
        self._workspace, self._home, self._stage = workspace, home, stage
        self._folder = home.root / SNAPSHOTS
        self._hashed: dict[tuple[int, int], str] = {}  # SHA-256 of files, by device and inode

    def names(self) -> list[str]:
        return names_in(str(self._home.root))

    def read(self, name: str) -> Snapshot:
        if not self.holds(name):
            raise unknown(name, self.names(), str(self._folder))
        return read_record(self._folder / name)

    def create(self, name: str, span: DayRange | None) -> Snapshot:
        made: list[Snapshot] = []

        def make(dataset: bytes | None, since: int) -> None:
            made.append(self._create(name, span, dataset, since))

        self._home.edit(DATASET, make)  # while no run changes it
        return made[0]

    def _create(self, name: str, span: DayRange | None, dataset: bytes | None, since: int) -> Snapshot:
        root, stage, folder = str(self._home.root), self._stage.name, self._home.scratch.path()
        if dataset is None or described(dataset, (), {}) is None:
            raise not_described(root, stage)
        days = days_in(self._home.days(), span)
        known = Known(self._home, days, local_map(self._workspace), dataset, since)
        linking = Linking(self._workspace, self._home, span, folder)
        try:
            if not linking.link():
                raise nothing_to_hold(root, span, self._home.days(), stage)
            record = linking.describe(name, stage, known, dataset)
            linking.settle()
            self._publish(folder, name)
        finally:
            remove_folder(folder)
            known.keep(self._workspace)
        return record

    def _publish(self, folder: Path, name: str) -> None:
        self._folder.mkdir(exist_ok=True)
        try:
            os.rename(folder, self._folder / name)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise exists(name, str(self._home.root)) from None
            raise
        sync(self._folder)
        sync(self._home.root)

    def holds(self, name: str) -> bool:
        return name in self.names()

    def where(self, record: Snapshot) -> str:
        return str(self._folder / record.name)

    def remove(self, name: str) -> int:
        freed = self.only_here(name)

        def take(dataset: bytes | None, since: int) -> None:
            if not self.holds(name):
                raise unknown(name, self.names(), str(self._folder))
            folder, aside = self._folder / name, self._home.scratch.path()
            days = [path.name[3:] for path in folder.glob("dt=*")]
            known = Known(self._home, days, local_map(self._workspace), dataset, since)
            os.rename(folder, aside)
            sync(self._folder)
            remove_folder(aside)
            known.keep(self._workspace)

        self._home.edit(DATASET, take)
        return freed

    def only_here(self, name: str) -> int:
        found = (path.stat() for path in (self._folder / name).rglob("*.parquet"))
        return sum(stat.st_size for stat in found if stat.st_nlink == 1)

    @contextmanager
    def reading(self, record: Snapshot, day: str) -> Iterator[list[Path]]:
        yield [self._folder / record.name / f"dt={day}" / part.name for part in record.days[day].parts]

    def damaged(self, record: Snapshot) -> list[str]:
        folder = self._folder / record.name
        wanted = {
            folder / f"dt={day}" / part.name: part.digest for day, one in record.days.items() for part in one.parts
        }
        wanted[folder / DATASET] = record.dataset
        if record.qid_map:
            wanted[folder / QID_MAP] = record.qid_map.digest
        return [str(path) for path, content in wanted.items() if self._digest(path) != content]

    def _digest(self, path: Path) -> str:
        """SHA-256 of a file, once for all links to it; "" of one that cannot be read."""
        try:
            stat = path.stat()
            file = stat.st_dev, stat.st_ino
            if file not in self._hashed:
                self._hashed[file] = digest.sha256_of(path)
            return self._hashed[file]
        except OSError:
            return ""
