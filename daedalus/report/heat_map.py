"""The state, cost and causes of every step of every day of a range: what the heat map shows.

Days whose inputs and files have not changed are described by their traces, the others by a plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from daedalus.base.days import Day
from daedalus.base.errors import bare
from daedalus.config.reach import Reach
from daedalus.config.steps import ORDER, SKELETON
from daedalus.explain.causes import Causes
from daedalus.inputs.listing import Listing
from daedalus.stagecache.action_name import day_of, days_of, kind_of, step_of
from daedalus.stagecache.records.traces import Cost
from daedalus.stagecache.walk.outcome import FAILED, rows_out
from daedalus.stagecache.walk.plan import HIT, MAYBE, RUN, make_plan
from daedalus.workspace.day_results import last_results
from daedalus.workspace.fresh_days import QID_MAP, fresh_in_all, skeleton_alone
from daedalus.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daedalus.shapes.common import Cause, DayLeft, RootCause

FRESH, MISSING, EMPTY = "fresh", "missing", "empty"  # beside RUN and MAYBE, which are stale
_NAMED = 6  # most upstream actions named as causes of one cell


@dataclass(frozen=True)
class Cell:
    """One step of one day, or of no day: its state, its cost, and its list of causes."""

    state: str
    seconds: float | None = None
    rows: int | None = None
    bytes: int | None = None
    why: int | None = None  # index in `Grid.whys`


@dataclass
class Grid:
    """Cells by (step, day), with the day "" for steps of no day; equal lists of causes are stored once."""

    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    days: dict[str, str] = field(default_factory=dict)  # state of each whole day
    whys: list[list[Cause]] = field(default_factory=list)
    roots: list[RootCause] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)  # day -> why its feed cannot be used
    results: dict[str, DayLeft] = field(default_factory=dict)  # by day, what the last run left undone
    counts: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)  # row counts of steps
    names: dict[tuple[str, str], str] = field(default_factory=dict)  # of the cells' actions
    unusable: set[str] = field(default_factory=set)  # fresh days with feed rows of which none can be used

    def steps(self) -> list[str]:
        """Steps that belong to days, in the order in which they run."""
        return sorted({step for step, day in self.cells if day}, key=_place)

    def of_no_day(self) -> list[str]:
        return sorted({step for step, day in self.cells if not day}, key=_place)


def _place(step: str) -> tuple[int, str]:
    kind = step_of(step)
    return ORDER.get(kind, len(ORDER)), step


def look_at_cells(workspace: Workspace, days: list[Day], listing: Listing) -> Grid:
    """What is known of each step of the days; runs nothing."""
    present = Reach.of(workspace.config).with_rows(days, listing.feed.days)
    stands = fresh_in_all(workspace, listing, present)
    costs, grid, names = workspace.traces.latest_costs(), Grid(), {str(day) for day in days} | {""}
    alone = skeleton_alone(workspace, listing, present, costs)
    stands |= {SKELETON.name: alone} if alone else {}
    for stage, output in workspace.outputs.items():
        known = names & {*stands[stage].days, *stands[stage].read}
        for file in output.day_stamps.files():
            if file.name != QID_MAP and file.day in known:
                _add(grid, file.name, file.day, FRESH, costs.get(file.name))
    fresh = stands[SKELETON.name]
    for day, summary in fresh.days.items():
        grid.days[day] = EMPTY if summary["empty"] else FRESH
        grid.unusable |= {day} if summary["empty"] else set()
    if alone:
        _plan(workspace, days, frozenset(), listing, grid, costs, alike=present)
    elif len(fresh.days) < len(present):
        _plan(workspace, days, frozenset(map(Day.fromisoformat, fresh.days)), listing, grid, costs)
    for asked in days:
        grid.days.setdefault(str(asked), EMPTY)
    _mark_results(workspace, [str(day) for day in present], grid)
    return grid


def _mark_results(workspace: Workspace, days: Iterable[str], grid: Grid) -> None:
    """Shows the days, and their steps, that failed or were blocked in the last run and are not fresh."""
    for day, result in sorted(last_results(workspace, [d for d in days if grid.days[d] not in (FRESH, EMPTY)]).items()):
        grid.results[day] = result.as_json()
        grid.days[day] = result.state
        for failure in result.failures:
            cell = grid.cells.get((failure.step, failure.day))
            if cell and cell.state not in (FRESH, EMPTY):
                grid.cells[failure.step, failure.day] = replace(cell, state=FAILED, why=len(grid.whys))
                grid.whys.append([{"kind": FAILED, "what": failure.error, "old": None, "new": None}])


def _plan(
    workspace: Workspace, days: list[Day], skip: frozenset[Day], listing: Listing, grid: Grid,
    costs: Mapping[str, Cost], alike: Sequence[Day] = (),
) -> None:  # fmt: skip
    """Adds the cells of the days not in `skip`: what a run would do now. Of days that are `alike` one is planned."""
    from daedalus.workspace.graph import after_skeleton, build_graph

    graph = build_graph(workspace, alike[-1:] or days, reconcile=False, skip=skip, listing=listing)
    plan = make_plan(graph.actions, workspace.traces)
    verdicts = {v.action.name: v for v in (after_skeleton(plan, alike) if alike else plan)}
    causes = Causes(verdicts, workspace.traces, graph, workspace.config)
    places: dict[str, int] = {}
    asked = {str(day) for day in days}
    for name, verdict in verdicts.items():
        if (verdict.action.day or "") not in asked | {""}:
            continue
        why = None
        if verdict.state != HIT:
            listed = _shortened(causes.of(verdict), verdict.state)
            why = places.setdefault(json.dumps(listed, sort_keys=True), len(grid.whys))
            grid.whys += [listed] if why == len(grid.whys) else []
        state = FRESH if verdict.state == HIT else verdict.state if verdict.trace else MISSING
        _add(grid, name, verdict.action.day or "", state, costs.get(name), why)
        if verdict.action.step == workspace.stages[-1].partition and verdict.action.day:
            empty = state == FRESH and verdict.trace is not None and verdict.trace.counts.get("empty")
            stale = "stale" if state in (RUN, MAYBE) else state
            grid.days[verdict.action.day] = EMPTY if empty else stale
    grid.roots = causes.roots()
    for partition, files in graph.feed.partitions.items():
        bad = [bare(file.error.one_line()) for file in files if file.error]
        if bad and str(partition) in asked:
            grid.errors[str(partition)] = bad[0]


def _shortened(causes: list[Cause], state: str) -> list[Cause]:
    """The causes of a cell; of one that may run, the first few and how many more there are."""
    if state != MAYBE or len(causes) <= _NAMED:
        return causes
    more: Cause = {"kind": "more", "what": f"{len(causes) - _NAMED} more", "old": None, "new": None}
    return [*causes[:_NAMED], more]


def _add(grid: Grid, name: str, day: str, state: str, cost: Cost | None, why: int | None = None) -> None:
    """Adds a cell. Blocks of several days (`@2026-01-01+8d`) are rows of their own, on their last day."""
    step = row_of(name)
    grid.names[step, day] = name
    if cost is None:
        grid.cells[step, day] = Cell(state, why=why)
        return
    state = EMPTY if state == FRESH and cost.counts.get("empty") else state
    grid.cells[step, day] = Cell(state, round(cost.seconds, 4), rows_out(cost.counts), cost.bytes, why)
    grid.counts[step, day] = cost.counts


def row_of(name: str) -> str:
    """The row in which an action stands: its name without the day, but with how many days a block has."""
    days = days_of(day_of(name))[1] if day_of(name) else 1
    return kind_of(name) + (f"+{days}d" if days > 1 else "")
