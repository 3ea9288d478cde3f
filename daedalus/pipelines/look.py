"""What a run and a plan start from: the range, the inputs there are, and the days that need no work. Looked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from daedalus.base.days import Day, DayRange
from daedalus.config.reach import Reach
from daedalus.inputs.listing import Listing
from daedalus.workspace.fresh_days import NOTHING, FreshDays, fresh_days, read_by_finished
from daedalus.workspace.workspace import Workspace


class Looked(Struct, frozen=True, dict=True):
    """`present` are the days of the range with feed rows, `empty` the others.

    `fresh` are days that need no work, `resumed` those that the unfinished run which is resumed has finished.
    """

    span: DayRange
    listing: Listing
    present: Sequence[Day]
    fresh: FreshDays
    resumed: Mapping[str, dict]
    force: bool

    @cached_property
    def empty(self) -> list[str]:
        present = set(self.present)
        return [str(day) for day in self.span if day not in present]

    @cached_property
    def done(self) -> dict[str, dict]:
        """Summaries of the days of which no actions are built, by day."""
        return {**self.fresh.days, **self.resumed}

    @property
    def skipped(self) -> frozenset[Day]:
        """The days of which no actions are built."""
        return frozenset(map(Day.fromisoformat, self.done))

    def nothing_to_do(self, workspace: Workspace) -> bool:
        """Whether every day with feed rows is fresh, and no other has a partition."""
        if len(self.fresh.days) < len(self.present) or not self.fresh.days:
            return False
        return not any(map(workspace.partitions.holds, self.empty))

    def with_resumed(self, workspace: Workspace) -> FreshDays:
        """The days not walked, with what they read of other days."""
        read = read_by_finished(workspace, self.resumed) if self.resumed else {}
        return replace(self.fresh, days=self.done, read={**read, **self.fresh.read})


def look(workspace: Workspace, span: DayRange, resumed: Mapping[str, dict], *, force: bool) -> Looked:
    """Lists the inputs, and finds by `stat` the days that a run would leave as they are; with `force` there are none.

    Raises DaedalusError (exit 2) when the feed, a view or the pool is not there.
    """
    listing = workspace.listing()
    present = Reach.of(workspace.config).with_rows(span, listing.feed.days)
    owes = bool(workspace.shared and workspace.shared.owes())
    fresh = NOTHING if force or owes else fresh_days(workspace, listing, present)
    return Looked(span, listing, present, fresh, resumed, force)
