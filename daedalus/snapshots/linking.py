"""Puts a snapshot of a local output together in a folder: links of the parts, and what it says of itself."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.days import DayRange
from daedalus.base.durable import DATASET, remove_folder, sync
from daedalus.base.errors import DaedalusError
from daedalus.base.file_stat import stat_of
from daedalus.compile.dataset import described, entry_of
from daedalus.output.claims import RECORD
from daedalus.output.part_file import PartitionSum
from daedalus.output.partitions import Partitions
from daedalus.snapshots.home import always_changing, local_map, map_file
from daedalus.snapshots.known import Known, Seen, seen
from daedalus.snapshots.record import QID_MAP, Snapshot, days_in, file_of, new_record, span_of, written

if TYPE_CHECKING:
    from daedalus.workspace.workspace import Workspace

_LOOKS = 50  # at partitions that a run replaces meanwhile
_AT_ONCE = 8  # files that are synced
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.EINVAL, errno.EACCES}


class Linking:
    """A snapshot in the making: of some days, in a folder of an unfinished process."""

    def __init__(self, workspace: Workspace, home: Partitions, span: DayRange | None, staged: Path) -> None:
        self._workspace, self._home, self._span, self._staged = workspace, home, span, staged
        self._held: dict[str, Seen] = {}  # what was linked, as it was seen before

    def link(self) -> bool:
        """Links the partitions of the range and the qid map, all as they are at one moment; False where none is."""
        self._staged.mkdir()
        for _ in range(_LOOKS):
            now = self._look()
            changed = [what for what in {**self._held, **now} if self._held.get(what) != now.get(what)]
            if not changed:
                self._copy_map()
                return bool(self._held.keys() - {QID_MAP})
            for what in changed:
                self._forget(what)
                if what in now and self._link_all(what, now[what]):
                    self._held[what] = now[what]
        raise always_changing(str(self._home.root))

    def _look(self) -> dict[str, Seen]:
        """What is seen of each partition, the folder first, and of the qid map; without those being replaced."""
        found: dict[str, Seen] = {}
        for day in days_in(self._home.days(), self._span):
            try:
                found[day] = seen(self._home.stats(day))
            except OSError:
                continue
        if files := local_map(self._workspace):
            found[QID_MAP] = seen({path: stat_of(str(path)) for path in files})
        return {what: files for what, files in found.items() if what == QID_MAP or len(files) > 1}

    def _copy_map(self) -> None:
        """Of a map elsewhere a copy: it only grows, so it has the sessions of the partitions that were there before."""
        if QID_MAP not in self._held and (source := map_file(self._workspace)):
            _copy(source, self._staged / QID_MAP)

    def _forget(self, what: str) -> None:
        self._held.pop(what, None)
        if what == QID_MAP:
            (self._staged / QID_MAP).unlink(missing_ok=True)
        else:
            remove_folder(self._folder(what))

    def _folder(self, day: str) -> Path:
        return self._staged / f"dt={day}"

    def _link_all(self, what: str, found: Seen) -> bool:
        """Links what was seen of a partition, or of the qid map; False when it is being replaced."""
        try:
            if what == QID_MAP:
                _link(next(iter(found)), self._staged / QID_MAP, may_copy=True)
                return True
            self._folder(what).mkdir()
            for file in list(found)[1:]:
                _link(file, self._folder(what) / file.name)
        except FileNotFoundError:
            return False
        return True

    def describe(self, name: str, stage: str, known: Known, dataset: bytes) -> Snapshot:
        """Writes beside the links what they are."""
        entries = {day: self._entry(day, known) for day in sorted(self._held) if day != QID_MAP}
        span = span_of(self._span, [*entries])
        whole = described(dataset, span, entries)
        assert whole is not None
        _write(self._staged / DATASET, whole)
        qid_map = file_of(self._staged / QID_MAP) if (self._staged / QID_MAP).exists() else None
        record = new_record(name, stage, span, entries, whole, qid_map)
        _write(self._staged / RECORD, written(record))
        return record

    def _entry(self, day: str, known: Known) -> dict:
        """What `_dataset.json` says of a partition; read where that is of another one."""
        noted = known.noted.get(day)
        if noted is not None and known.is_noted(day, self._held[day]):
            return dict(noted)
        read = PartitionSum.of([self._folder(day) / part.name for part in list(self._held[day])[1:]])
        if read is None:
            raise DaedalusError("a partition cannot be read", where=str(self._home.path(day)),
                                found="no whole parquet file", hint="run again: this writes it anew")  # fmt: skip
        known.confirm(day, self._held[day], read)
        return entry_of(read, noted)

    def settle(self) -> None:
        """Puts all of it on disk."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(sync, [self._staged, *self._staged.rglob("*")]))


def _link(file: Path, link: Path, *, may_copy: bool = False) -> None:
    """A hard link that nobody may write to; of a file elsewhere a copy, if that may be."""
    try:
        os.link(file, link)
        if link.is_symlink():  # to a file that anybody may change
            raise OSError(errno.EINVAL, "it is a symbolic link")
        mode = link.stat().st_mode
        if mode & 0o222:
            os.chmod(link, mode & 0o7555)
    except OSError as error:
        if may_copy and error.errno == errno.EXDEV:
            _copy(file, link)
        elif error.errno in _NO_LINKS:
            raise DaedalusError("a part cannot be linked", where=str(file), found=error.strerror,
                                expected="a file system with hard links, and parts that this user may change",
                                hint="copy the partitions to a folder of their own instead") from None  # fmt: skip
        else:
            raise


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o444)


def _copy(file: Path, copy: Path) -> None:
    shutil.copyfile(file, copy)
    os.chmod(copy, 0o444)
