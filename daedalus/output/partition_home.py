"""Where the partitions of an output are, as a protocol: local folders and objects in a bucket behave alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daedalus.base.errors import DaedalusError, DayError
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


class Paired(ABC):
    """A home whose partitions can be swapped together with those of the stage after that are made of them.

    A partition that another stage has an old one of is held back then: it gets its place just before the new one of
    that stage, or at `let_go`. So a crash leaves no old one beside a new one, but for the moment between two system
    calls, or two requests. Meanwhile what reads by this home finds what is held back.
    """

    def __init__(self) -> None:
        self.written: set[str] = set()
        self.removed: set[str] = set()
        self.stuck: dict[str, Exception] = {}  # days whose partition was finished and did not come to its place
        self._earlier: Paired | None = None
        self._later: PartitionHome | None = None

    def hold_for(self, later: Any) -> None:
        """From now on holds back what is to be swapped together with the partitions of `later`, which is one too."""
        self._later, later._earlier = later, self

    def let_go(self, day: str) -> None:
        """Swaps in the partition of a day that was held back, if any. Raises OSError and DaedalusError."""
        with self.letting_go(day):
            pass

    @contextmanager
    def letting_go(self, day: str) -> Iterator[None]:
        """Swaps at once, and does what else there is to do at the end. What could not be swapped stays held back."""
        try:
            finish = self._swap_held(day)
        except (OSError, DaedalusError) as error:
            self.stuck[day] = error
            raise
        if finish is None:
            yield
            return
        self.stuck.pop(day, None)
        self.written.add(day)
        try:
            yield
        finally:
            finish()

    @abstractmethod
    def _swap_held(self, day: str) -> Callable[[], None] | None:
        """Swaps in what is held back of a day; returns what is to be done afterwards, or None if there is nothing."""

    @abstractmethod
    def drop_held(self) -> list[str]:
        """Gives up what is held back; the days of which it is."""
