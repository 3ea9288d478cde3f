"""The stateful edge: partitions that appear whole.

A partition is replaced by exchanging two folders in one system call, so that a reader finds the
old one or the new one under its name. What goes are part files of the name that we give, and what systems
leave in folders; where anything else lies, nothing is replaced.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base import digest
from daedalus.base.durable import (
    PART,
    PARTS,
    day_folders,
    end_swap,
    move_file,
    open_lock,
    part_files,
    remove_folder,
    swap_folder,
    sync_folder,
)
from daedalus.base.errors import DayError
from daedalus.base.file_stat import Stat, stat_of
from daedalus.config.steps import PARTITION, SKELETON
from daedalus.output.paired import Paired

if TYPE_CHECKING:
    from daedalus.base.ports import Digests, Scratch
    from daedalus.objectstore.part_list import PartList
    from daedalus.output.part_file import PartitionSum
    from daedalus.output.partition_home import Edit

NO_PARTITION = "no partition"  # the digest of a day without any row
_OF_SYSTEMS = re.compile(r"\._.*|\.DS_Store|\.nfs.*|\..*\.crc|Thumbs\.db|desktop\.ini")  # left in folders unasked


def day_of(name: str) -> str:
    """The day of a partition's name: an action such as `chunk@2026-05-15`, or the day itself."""
    return name.rpartition("@")[2]


class Partitions(Paired):
    """The `dt=` folders of one output root; a `Shelf` whose artifacts are whole partitions."""

    def __init__(
        self,
        root: Path,
        scratch: Scratch,
        digests: Digests,
        *,
        adopt: bool = False,
        stage: str = SKELETON.name,
    ) -> None:
        """With `adopt`, files that are not ours go with the partition in whose folder they are; `stage` has them."""
        super().__init__()
        self.root, self.scratch, self._digests, self._adopt, self._stage = root, scratch, digests, adopt, stage
        self._told: Callable[[str], None] = lambda day: None
        self._sums: dict[str, tuple[dict[str, Stat], digest.Sums]] = {}  # of what this process wrote, by day
        self._lists: dict[str, tuple[dict[Path, Stat], PartList]] = {}  # of what others wrote, by day, as `stat` saw it
        self._held: dict[str, tuple[Path, Mapping[str, str]]] = {}  # by day: a finished folder, digests of its parts

    def before_replacing(self, told: Callable[[str], None]) -> None:
        self._told = told

    def _swap_held(self, day: str, held: tuple[Path, Mapping[str, str]]) -> Callable[[], None]:
        folder, digests = held
        old = self._swap(day, folder if digests else None)

        def finish() -> None:
            end_swap(self._place(day), old)
            self._note(day, digests)

        return finish

    def stage(self, name: str) -> Path:
        """Raises DayError when what lies in the partition's place is not ours to replace."""
        self._check(day_of(name))
        return self.scratch.path()

    def path(self, name: str, artifact: str = "") -> Path:
        held = self._held.get(day_of(name))
        return held[0] if held else self._place(name)

    def _place(self, name: str) -> Path:
        return self.root / f"dt={day_of(name)}"

    def keep(self, name: str, staged: Path) -> tuple[str, int]:
        parts = part_files(staged)
        sums = digest.sums_of(parts)
        digests = {part.name: content for part, content in zip(parts, sums.contents, strict=True)}
        size = sum(part.stat().st_size for part in parts)
        found = self.named(digests)
        self._sums[day_of(name)] = _stats(parts), sums  # before anybody else can replace them
        self._keep(name, found, staged if parts else None, digests)
        return found, size

    def publish(self, name: str, parts: PartList, folder: Path | None) -> tuple[str, int]:
        sizes = {part.name: part.bytes for part in parts.parts}
        digests = {part.name: part.digest for part in parts.parts}
        replaces = self._sizes(name) != sizes  # then there is nothing to be read of what lies there
        self._keep(name, parts.digest, folder, digests, replaces=replaces)
        self._lists[day_of(name)] = self.stats(day_of(name)), parts
        return parts.digest, parts.bytes

    def _keep(
        self, name: str, content: str, folder: Path | None, digests: Mapping[str, str], *, replaces: bool = False
    ) -> None:
        """Puts a folder into the place of a partition, unless that has the same content; None: there are no rows."""
        day = day_of(name)
        if replaces or self.problem(name, content):
            if self._later and self._later.holds(day):
                self._hold(day, folder or self.scratch.path(), digests)
            else:
                self._replace(name, folder)
                self.written.add(day)
            self._note(name, digests)
        elif folder:
            remove_folder(folder)
        if self._earlier:
            self._earlier.let_go(day)

    def _hold(self, day: str, folder: Path, digests: Mapping[str, str]) -> None:
        if before := self._held.get(day):
            remove_folder(before[0])
        else:
            self._check(day)
            if self._place(day).is_dir():
                self._told(day)  # while the records are those of the partition that lies there
        if digests:
            sync_folder(folder)
        self._held[day] = folder, digests

    def _note(self, name: str, digests: Mapping[str, str]) -> None:
        for part, found in digests.items():
            self._digests.note(self.path(name) / part, found)

    def listed(self, name: str) -> None:
        """Nothing lists the parts in a folder."""

    def digests(self, name: str) -> dict[str, str]:
        """The digests of a partition's parts, by name. Raises OSError."""
        if known := self._told_of(day_of(name)):
            return {part.name: part.digest for part in known.parts}
        return {part: self._digests.of(path)[0] for part, path in self.parts(name).items()}

    def _told_of(self, day: str) -> PartList | None:
        """What another process said of a day's partition that it wrote, while it lies there as it was published."""
        stats, parts = self._lists.get(day, (None, None))
        return parts if stats is not None and stats == self.stats(day) else None

    def _sizes(self, name: str) -> dict[str, int]:
        try:
            return {part: path.stat().st_size for part, path in self.parts(name).items()}
        except OSError:
            return {}

    def named(self, digests: Mapping[str, str]) -> str:
        """The digest of the partition that parts of these digests, by name, make."""
        return digest.of_json(digests) if digests else NO_PARTITION

    def parts(self, name: str) -> dict[str, Path]:
        """The part files of a partition, by name. Raises OSError."""
        return {path.name: path for path in part_files(self.path(name))}

    def problem(self, name: str, artifact: str) -> str:
        folder = self.path(name)
        if not folder.is_dir():
            return "" if artifact == NO_PARTITION else "missing"
        try:
            found = digest.of_json(self.digests(name))
        except OSError as error:
            return f"unreadable ({error.strerror})"
        return "" if found == artifact else "altered"

    def look(self, day: str) -> tuple[str, int] | None:
        """(digest, bytes) of a day's partition; None when there is none."""
        parts = part_files(self.path(day))
        if not parts:
            return None
        looked = {part.name: self._digests.of(part) for part in parts}
        size = sum(stamp.size for _, stamp in looked.values())
        return digest.of_json({name: content for name, (content, _) in looked.items()}), size

    @contextmanager
    def reading(self, day: str) -> Iterator[list[Path]]:
        """The part files of a day's partition, in order."""
        yield part_files(self.path(day))

    def kept(self, name: str, artifact: str) -> list[tuple[str, Stat | None]]:
        folder = self.path(name)
        parts = part_files(folder)
        if not parts:
            return [(str(folder), stat_of(str(folder)))]
        stamps = [(str(part), self._digests.settled(part)) for part in parts]
        return [
            *((path, stamp.values if stamp else None) for path, stamp in stamps),
            (str(folder), stat_of(str(folder))),
        ]

    def summed(self, day: str, noted: PartitionSum | None, since: int) -> PartitionSum | None:
        from daedalus.output.part_file import PartitionSum

        try:
            if told := self._told_of(day):
                return PartitionSum.of_list(told)
            parts = part_files(self.path(day))
            if noted is not None and self.stands(day, noted, since):
                return noted
            stats, known = self._sums.get(day, (None, None))
            return PartitionSum.of(parts, known if stats == _stats(parts) else None) if parts else None
        except OSError:
            return None

    def stats(self, day: str) -> dict[Path, Stat]:
        """What `stat` says of a partition's folder, and of its parts in order. Raises OSError."""
        return {path: stat_of(str(path)) for path in (self.path(day), *part_files(self.path(day)))}

    def stands(self, day: str, noted: PartitionSum, since: int) -> bool:
        """Whether a partition is as `noted`, as its sizes tell and that it has not changed `since`. Raises OSError."""
        stats = self.stats(day)
        sizes = {path.name: stat[0] for path, stat in list(stats.items())[1:]}
        same = sizes == {part.name: part.bytes for part in noted.parts}
        return same and max(changed for _, _, changed, _ in stats.values()) < since  # a swap changes the folder, too

    def has(self, name: str) -> bool:
        return (self.root / name).is_file()

    def edit(self, name: str, change: Edit) -> bool:
        path, lock = self.root / name, open_lock(self.root / f".{name.lstrip('_')}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # it goes with its process
            there = path.exists()
            new = change(path.read_bytes() if there else None, path.stat().st_mtime_ns if there else 0)
            if new is None:
                return False
            written = self.scratch.path()
            written.write_bytes(new)
            move_file(written, path)
            return True
        finally:
            os.close(lock)

    def days(self) -> list[str]:
        """The days that have a partition, in order."""
        return [path.name[3:] for path in day_folders(self.root)]

    def refresh(self) -> None:
        """Makes the next look see what there is now; here it always does."""

    def holds(self, day: str) -> bool:
        """Whether there is a partition of ours. A folder in which all is somebody else's is none."""
        folder = self._place(day)
        try:
            names = os.listdir(folder)
        except OSError:
            return folder.is_dir()
        return not names or any(map(PART.fullmatch, names))

    def remove(self, day: str) -> bool:
        """Takes away the partition of a day that has no rows any more. Raises DayError."""
        if not self.holds(day):
            return False
        try:
            self._replace(f"{PARTITION}@{day}", None)
        except OSError as error:
            raise DayError("a partition cannot be removed", where=str(self._place(day)), found=error.strerror,
                           expected="a folder that this user may move and delete") from None  # fmt: skip
        return True

    def obstacle(self, day: str) -> DayError | None:
        found = [] if self._adopt else self._foreign(self._place(day))
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        return DayError("something in the partition's place was not written by daeda", where=str(self._place(day)),
                        found=", ".join(found[:4]) + more, expected=f"a folder with nothing but {PARTS}",
                        hint=f"move it away, or delete it with: daeda {self._stage} --adopt",
                        ) if found else None  # fmt: skip

    def _check(self, day: str) -> None:
        if error := self.obstacle(day):
            raise error

    def _foreign(self, folder: Path) -> list[str]:
        """What of a partition's place is not ours: files of other names, folders, or the place itself."""
        try:
            if not stat.S_ISDIR(os.lstat(folder).st_mode):
                return ["a link" if folder.is_symlink() else "no folder"]
            with os.scandir(folder) as entries:
                return sorted(entry.name for entry in entries if not _is_ours(entry))
        except FileNotFoundError:
            return []

    def _replace(self, name: str, staged: Path | None) -> None:
        """Puts what is staged into the place of a partition, or nothing; what was held back for it goes first."""
        day, place = day_of(name), self._place(name)
        self._check(day)
        if staged:
            sync_folder(staged)
            if place.is_dir():
                self._told(day)
        with self._earlier.letting_go(day) if self._earlier else nullcontext():
            old = self._swap(day, staged)
        end_swap(place, old)

    def _swap(self, day: str, staged: Path | None) -> Path:
        """Swaps folders, and returns where the old one is."""
        self._check(day)
        if staged is None:
            self.removed.add(day)
        return swap_folder(staged, self._place(day), self.scratch.path())


def _stats(parts: Sequence[Path]) -> dict[str, Stat]:
    """What `stat` says of part files, by name; it stays as it is when their folder is moved. Raises OSError."""
    return {part.name: stat_of(str(part)) for part in parts}


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether it is a part file, or a file that no person put there."""
    known = PART.fullmatch(entry.name) or _OF_SYSTEMS.fullmatch(entry.name)
    return known is not None and entry.is_file(follow_symlinks=False)
