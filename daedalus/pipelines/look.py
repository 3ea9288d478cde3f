"""What a run and a plan start from: the range, the inputs there are, and the days that need no work. Looked at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from daedalus.base.days import Day, DayRange
from daedalus.config.reach import Reach
from daedalus.config.steps import SKELETON, Stage
from daedalus.inputs.listing import Listing
from daedalus.workspace.day_summary import summary_of
from daedalus.workspace.fresh_days import NOTHING, FreshDays, fresh_in_all, read_by_finished
from daedalus.workspace.workspace import Workspace


class Looked(Struct, frozen=True, dict=True):
    """`present` are the days of the range with feed rows, `empty` the others.

    `fresh` are, by stage, the days that need no work in any; `resumed` those that the unfinished run which is resumed
    has finished.
    """

    span: DayRange
    listing: Listing
    present: Sequence[Day]
    fresh: Mapping[str, FreshDays]
    resumed: Mapping[str, dict]
    force: bool

    @cached_property
    def empty(self) -> list[str]:
        present = set(self.present)
        return [str(day) for day in self.span if day not in present]

    @cached_property
    def done(self) -> dict[str, dict]:
        """Summaries of the days of which no actions are built, by day, with those of all stages in one."""
        fresh: dict[str, dict] = {}
        for name, stands in self.fresh.items():
            for day, summary in stands.days.items():
                fresh[day] = summary if name == SKELETON.name else {**fresh[day], name: summary}
        return {**fresh, **self.resumed}

    @property
    def skipped(self) -> frozenset[Day]:
        """The days of which no actions are built."""
        return frozenset(map(Day.fromisoformat, self.done))

    def nothing_to_do(self, workspace: Workspace) -> bool:
        """Whether every day with feed rows is fresh, and no other has a partition."""
        fresh = self.fresh[SKELETON.name].days
        if len(fresh) < len(self.present) or not fresh:
            return False
        return not any(output.partitions.holds(day) for output in workspace.outputs.values() for day in self.empty)

    def not_walked(self, workspace: Workspace, stage: Stage) -> FreshDays:
        """The days not walked, by their summaries in a stage, with what they read of other days."""
        stands = self.fresh[stage.name]
        read = read_by_finished(workspace, self.resumed) if self.resumed and stage is SKELETON else {}
        days = {day: summary_of(summary, stage) for day, summary in self.done.items()}
        return replace(stands, days=days, read={**read, **stands.read})


def look(workspace: Workspace, span: DayRange, resumed: Mapping[str, dict], *, force: bool) -> Looked:
    """Lists the inputs, and finds by `stat` the days that a run would leave as they are; with `force` there are none.

    Raises DaedalusError (exit 2) when the feed, a view or the pool is not there.
    """
    listing = workspace.listing()
    present = Reach.of(workspace.config).with_rows(span, listing.feed.days)
    owes = bool(workspace.shared and workspace.shared.owes())
    fresh = dict.fromkeys(workspace.outputs, NOTHING) if force or owes else fresh_in_all(workspace, listing, present)
    return Looked(span, listing, present, fresh, resumed, force)
