"""What is known of the bytes of partitions stays known while they get links and lose them.

A hard link, a mode and a link less change the ctime of a file, and by its ctime we tell whether a file may have
changed: the digests of files, fresh days and `_dataset.json` would all look again, and hash what nobody wrote to. So
what this process changes is taken down here, where it was known before, and where size, mtime and inode say that it is
the file of before.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.durable import DATASET
from daedalus.base.file_stat import Stat, stat_of
from daedalus.compile.dataset import noted_sum, parsed
from daedalus.output.part_file import PartitionSum
from daedalus.output.partitions import Partitions

if TYPE_CHECKING:
    from daedalus.workspace.workspace import Workspace

_TICK_NS = 40_000_000  # twice the coarsest clock of file systems with sub-second stamps
Seen = Mapping[Path, tuple]


def seen(stats: Mapping[Path, Stat]) -> Seen:
    """What tells a file, or a folder, from all that was or will be in its place, whatever links it gets."""
    return {path: (size, mtime, inode, 0 if path.suffix else ctime)
            for path, (size, mtime, ctime, inode) in stats.items()}  # fmt: skip


class Known:
    """What is known of the partitions of some days, and of other files, before their links change.

    `dataset` is the content of `_dataset.json` and `since` its mtime; whoever opens this has that file locked.
    """

    def __init__(
        self, home: Partitions, days: Iterable[str], more: Iterable[Path], dataset: bytes | None, since: int
    ) -> None:
        self._home, self._since = home, since
        self.noted: Mapping[str, Any] = parsed(dataset).get("partitions", {})
        self._sums = {day: found for day, entry in self.noted.items() if (found := noted_sum(entry))}
        self._days = {day: _stats(home, day) for day in days}
        self._more = {path: stat_of(str(path)) for path in more}
        self._current = {day for day in self._days if self._stands(day)}

    def _stands(self, day: str) -> bool:
        try:
            return day in self._sums and self._home.stands(day, self._sums[day], self._since)
        except OSError:
            return False

    def is_noted(self, day: str, found: Seen) -> bool:
        """Whether `_dataset.json` says what a partition that was seen holds."""
        return day in self._current and seen(self._days[day]) == found

    def confirm(self, day: str, found: Seen, read: PartitionSum) -> None:
        """Takes down that what was seen of a partition was read, and that `_dataset.json` says what it holds."""
        if self._sums.get(day) == read and seen(self._days.get(day, {})) == found:
            self._current.add(day)

    def keep(self, workspace: Workspace) -> None:
        """Takes down what the files are now. Looks at them a clock tick after they were changed."""
        before = {path: stat for stats in [*self._days.values(), self._more] for path, stat in stats.items()}
        for path, stat in before.items():
            if path.suffix and stat_of(str(path)) != stat and path.exists():
                workspace.digests.relinked(path, stat)
        workspace.digests.settle()
        changed = [(str(path), stat, now) for path, stat in before.items() if (now := _relinked(path, stat))]
        for output in workspace.outputs.values():
            output.day_stamps.relinked(one for one in changed if workspace.digests.settled(one[0]))
        if changed:
            self._renew(max(now[2] for *_, now in changed) + 1)

    def _renew(self, moment: int) -> None:
        """Makes `_dataset.json` younger than the links, if each of its entries is right at a later moment still.

        A partition that is swapped in after that look has a later ctime than the file then has its mtime.
        """
        if moment % 1_000_000_000 == 1:
            return  # a file system that counts in seconds
        time.sleep(max(moment + _TICK_NS - time.time_ns(), 0) / 1e9)
        if self._sums and all(map(self._is_right, self._sums)):
            os.utime(self._home.root / DATASET, ns=(moment, moment))

    def _is_right(self, day: str) -> bool:
        if day not in self._days:
            return self._stands(day)
        return day in self._current and seen(_stats(self._home, day)) == seen(self._days[day])


def _stats(home: Partitions, day: str) -> dict[Path, Stat]:
    """The stats of a partition, also of one that is replaced meanwhile."""
    try:
        return home.stats(day)
    except OSError:
        return {}


def _relinked(path: Path, before: Stat) -> Stat | None:
    """The stat of a file of which only the ctime changed."""
    now = stat_of(str(path))
    same = path.suffix and (now[0], now[1], now[3]) == (before[0], before[1], before[3])
    return now if same and now[2] != before[2] else None
