"""The context of the skeleton's steps: the config, the inputs as they were looked at, and where the output goes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from daedalus.actions.actions import Actions
from daedalus.base.days import Day
from daedalus.config import Config
from daedalus.config.schema import Runtime
from daedalus.inputs.feed import Feed
from daedalus.inputs.pool import PoolInput
from daedalus.inputs.views import ViewInput
from daedalus.output.earlier_partition import EarlierPartition
from daedalus.stagecache.action import Shelf

if TYPE_CHECKING:
    from daedalus.inputs.pool_fragments import FragmentInput
    from daedalus.output.qid_map import QidMap


@dataclass(frozen=True)
class Sources:
    """The inputs of a run, looked at once."""

    feed: Feed
    feed_days: Sequence[Day]  # of all partitions in the feed folder, looked at or not
    views: Mapping[str, ViewInput]
    pool: PoolInput | None
    fragments: Sequence[FragmentInput] = ()


@dataclass(frozen=True)
class Publishing:
    """Where partitions are published and how their sessions are numbered.

    `numbered` says whether partitions have qids; `earlier(action)` is the published partition of a day's action, if
    it is on this machine. `enriched` is where enriched partitions are; None: that stage does not run.
    """

    partitions: Shelf
    qids: QidMap
    numbered: bool
    earlier: Callable[[str], EarlierPartition | None] = lambda name: None
    enriched: Shelf | None = None


@dataclass(frozen=True)
class Skeleton:
    """The context of the skeleton's actions."""

    config: Config
    sources: Sources
    publishing: Publishing

    @property
    def runtime(self) -> Runtime:
        return self.config.runtime

    def covers(self, events: Sequence[str] | None = None) -> bool:
        """Whether the coverage filter can drop rows of these events; with None, of any event."""
        coverage = self.runtime.embedding_coverage_filter
        return coverage.enabled and (events is None or not set(events).isdisjoint(coverage.events))

    @cached_property
    def feed_ordinals(self) -> list[int]:
        """The days of the feed's partitions as numbers, ascending."""
        return [day.toordinal() for day in self.sources.feed_days]

    def next_with_files(self, day: int) -> int:
        """The ordinal of the first day from `day` on that may have rows, to skip days without feed quickly."""
        late, known = self.runtime.spine.lateness, self.feed_ordinals
        place = bisect_left(known, day - late.before)
        return max(day, known[place] - late.after) if place < len(known) else Day.max.toordinal()


Make = Actions[Skeleton]
