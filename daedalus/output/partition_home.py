"""Where the partitions of an output are, as a protocol: local folders and objects in a bucket behave alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daedalus.base.errors import DayError
from daedalus.base.file_stat import Stat
from daedalus.output.part_file import PartitionSum
from daedalus.stagecache.action import Shelf

if TYPE_CHECKING:
    from daedalus.objectstore.part_list import PartList

Edit = Callable[[bytes | None, int], bytes | None]


class PartitionHome(Shelf, Protocol):
    """A `Shelf` whose artifacts are whole partitions, one a day.

    `written` are the days whose partition this process published, `removed` those whose partition it removed.
    """

    written: set[str]
    removed: set[str]
    stuck: dict[str, Exception]  # see `Paired`

    def hold_for(self, later: Any) -> None:
        """See `Paired`; so are `let_go` and `drop_held`."""

    def let_go(self, day: str) -> None: ...

    def drop_held(self) -> list[str]: ...

    def before_replacing(self, told: Callable[[str], None]) -> None:
        """Calls `told(day)` just before a new partition replaces an old one."""

    def publish(self, name: str, parts: PartList, folder: Path | None) -> tuple[str, int]:
        """Makes parts that another process wrote the partition, atomically, and reads none; returns (digest, bytes).

        They lie in `folder`, which is on the file system of the output and goes; None: they were put into the output,
        or there are none. Raises Again if they were not put because they were published, and now are not.
        """

    def listed(self, name: str) -> PartList | None:
        """What the output lists as a partition, if it has lists: in a folder files are what there is."""

    def parts(self, name: str) -> Mapping[str, Path]:
        """The local part files of an action's partition, by name; none where parts are not local. Raises OSError."""

    def look(self, day: str) -> tuple[str, int] | None:
        """(digest, bytes) of a day's partition; None when there is none."""

    def reading(self, day: str) -> AbstractContextManager[list[Path]]:
        """Local files with the parts of a day's partition, in order, while the context lasts."""

    def kept(self, name: str, artifact: str) -> list[tuple[str, Stat | None]]:
        """What an action's partition consists of, with a `stat` of each; None where it may have changed unseen."""

    def summed(self, day: str, noted: PartitionSum | None, since: int) -> PartitionSum | None:
        """SHA-256 of a day's partition as it lies there; None when there is none that can be read.

        `noted` is what was found before; it is taken where the partition is that of before, as far as its sizes tell
        and that it has not changed `since` (nanoseconds since 1970).
        """

    def has(self, name: str) -> bool:
        """Whether there is a file of that name beside the partitions."""

    def edit(self, name: str, change: Edit) -> bool:
        """Replaces a small file beside the partitions, atomically; one at a time. Whether it was replaced.

        `change(bytes or None, when they were written)` gives the new bytes; None leaves the file as it is.
        """

    def days(self) -> list[str]:
        """The days that have a partition, in order."""

    def refresh(self) -> None:
        """Makes the next look see what there is now."""

    def holds(self, day: str) -> bool:
        """Whether a day has a partition of ours."""

    def obstacle(self, day: str) -> DayError | None:
        """Why a day's partition could be neither replaced nor removed, as far as a look from outside tells."""

    def remove(self, day: str) -> bool:
        """Removes the partition of a day that has no rows any more; whether there was one. Raises DayError."""
