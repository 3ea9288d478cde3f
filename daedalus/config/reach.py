"""Which feed partitions a day reads, and which days read a partition: the only place that works this out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Container, Iterable, Sequence

from msgspec import Struct

from daedalus.base.days import ONE_DAY, Day
from daedalus.config.config import Config
from daedalus.config.schema import Lateness


class Reach(Struct, frozen=True):
    """How far a target day looks: the spine goes back `lookback` days, the longest window `back` days (never fewer), or
    to all the past; and rows may lie in neighbouring partitions.

    `endless`: an aggregation is cumulative, so every day reads all earlier partitions.
    """

    lookback: int
    back: int
    lateness: Lateness
    endless: bool

    @classmethod
    def of(cls, config: Config) -> Reach:
        spine = config.runtime.spine
        back = max([spine.lookback_days, *(a.days_back or 0 for a in config.aggregations)])
        return cls(spine.lookback_days, back, spine.lateness, any(a.cumulative for a in config.aggregations))

    def own(self, day: Day) -> list[Day]:
        """The partitions that may hold rows of a day, ascending."""
        return [day + late * ONE_DAY for late in self.lateness.partitions]

    def has_rows(self, day: Day, partitions: Container[Day]) -> bool:
        """Whether there is a partition that may hold rows of a day."""
        return any(partition in partitions for partition in self.own(day))

    def with_rows(self, days: Iterable[Day], partitions: Container[Day]) -> list[Day]:
        """Those of the days for which there is a partition that may hold rows of theirs."""
        return [day for day in days if self.has_rows(day, partitions)]

    def first(self, day: Day) -> Day:
        """The first partition that may hold rows of a day's longest window."""
        return day - (self.back + self.lateness.before) * ONE_DAY

    def window(self, day: Day, partitions: Sequence[Day]) -> Sequence[Day]:
        """Those of the partitions, which ascend, that may hold rows of a day or of its longest window."""
        return partitions[bisect_left(partitions, self.first(day)) : bisect_right(partitions, self.last(day))]

    def last(self, day: Day) -> Day:
        """The last partition that a day reads."""
        return day + self.lateness.after * ONE_DAY

    def reads(self, day: Day, partition: Day) -> bool:
        """Whether a day reads a partition."""
        return partition <= self.last(day) and (self.endless or self.first(day) <= partition)

    def between(self, first: Day, last: Day, partitions: Iterable[Day]) -> list[Day]:
        """Those of the partitions that the days from `first` to `last` read, ascending."""
        return sorted(p for p in partitions if p <= self.last(last) and (self.endless or p >= self.first(first)))

    def around(self, days: Collection[Day], partitions: Iterable[Day]) -> list[Day]:
        """The partitions whose files decide the types of extra columns, for days and all between: what they read."""
        return self.between(min(days), max(days), partitions) if days else []

    def window_holds(self, day: Day, days: Iterable[str]) -> bool:
        """Whether a day or one of its longest window is among some days, by name."""
        first, last = str(day - self.back * ONE_DAY), str(day)
        return any(first <= name <= last for name in days)
