"""Which feed partitions a day reads, and which days read a partition: the only place that works this out."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable

from msgspec import Struct

from daedalus.base.days import ONE_DAY, Day
from daedalus.config.config import Config
from daedalus.config.schema import Lateness


class Reach(Struct, frozen=True):
    """How far a target day looks: `lookback` days before it, rows that lie in neighbouring partitions, or all the past.

    `endless`: an aggregation is cumulative, so every day reads all earlier partitions.
    """

    lookback: int
    lateness: Lateness
    endless: bool

    @classmethod
    def of(cls, config: Config) -> Reach:
        spine = config.runtime.spine
        return cls(spine.lookback_days, spine.lateness, any(a.cumulative for a in config.aggregations))

    def own(self, day: Day) -> list[Day]:
        """The partitions that may hold rows of a day, ascending."""
        return [day + late * ONE_DAY for late in self.lateness.partitions]

    def has_rows(self, day: Day, partitions: Container[Day]) -> bool:
        """Whether there is a partition that may hold rows of a day."""
        return any(partition in partitions for partition in self.own(day))

    def with_rows(self, days: Iterable[Day], partitions: Container[Day]) -> list[Day]:
        """Those of the days for which there is a partition that may hold rows of theirs."""
        return [day for day in days if self.has_rows(day, partitions)]

    def window(self, day: Day) -> list[Day]:
        """The partitions that may hold rows of a day or of its lookback days, ascending."""
        first, last = day - (self.lookback + self.lateness.before) * ONE_DAY, self.last(day)
        return [first + i * ONE_DAY for i in range((last - first).days + 1)]

    def last(self, day: Day) -> Day:
        """The last partition that a day reads."""
        return day + self.lateness.after * ONE_DAY

    def reads(self, day: Day, partition: Day) -> bool:
        """Whether a day reads a partition."""
        first, last = self.window(day)[0], self.last(day)
        return partition <= last and (self.endless or first <= partition)

    def between(self, first: Day, last: Day, partitions: Iterable[Day]) -> list[Day]:
        """Those of the partitions that the days from `first` to `last` read, ascending."""
        return sorted(p for p in partitions if p <= self.last(last) and (self.endless or p >= self.window(first)[0]))

    def around(self, days: Collection[Day], partitions: Iterable[Day]) -> list[Day]:
        """The partitions whose files decide the types of extra columns, for days and all between: what they read."""
        return self.between(min(days), max(days), partitions) if days else []

    def window_holds(self, day: Day, days: Container[str]) -> bool:
        """Whether a day or one of its lookback days is among some days, by name."""
        return any(str(day - i * ONE_DAY) in days for i in range(self.lookback + 1))
