"""Partitions of one stage that get their place together with those of the next one, which are made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from daedalus.base.errors import DaedalusError

if TYPE_CHECKING:
    from daedalus.output.partition_home import PartitionHome


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
        self._held: dict[str, Any] = {}  # what is held back, by day

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
        if day not in self._held:
            yield
            return
        try:
            finish = self._swap_held(day, self._held[day])
        except (OSError, DaedalusError) as error:
            self.stuck[day] = error
            raise
        del self._held[day]
        self.stuck.pop(day, None)
        self.written.add(day)
        try:
            yield
        finally:
            finish()

    @abstractmethod
    def _swap_held(self, day: str, held: Any) -> Callable[[], None]:
        """Swaps in what is held back of a day; returns what is to be done afterwards."""

    def drop_held(self) -> list[str]:
        """Gives up what is held back; the days of which it is."""
        days, self._held = list(self._held), {}
        return days
