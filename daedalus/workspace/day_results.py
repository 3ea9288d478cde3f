"""What happened to each day: what failed in it, or what kept it from running. Every screen reads it from here.

A run records the days that it did not finish (`results_of`); `last_results` reads what is recorded of days that are
not fresh.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import Struct

from daedalus.base.errors import one_line
from daedalus.config.steps import SKELETON, Stage
from daedalus.stagecache.action_name import day_of, kind_of
from daedalus.stagecache.walk.outcome import BLOCKED, FAILED, Outcome

if TYPE_CHECKING:
    from daedalus.shapes.common import DayLeft, Refusal
    from daedalus.shapes.common import Failure as FailureShape
    from daedalus.stagecache.records.traces import RunRecord
    from daedalus.workspace.workspace import StageOutput, Workspace

UNFINISHED = "unfinished"
ENDED = "run ended:"  # before a run's id, the key of the fact that says what failed in it


class Failure(Struct, frozen=True):
    """A step that failed on a day ("" for a step of no day); `problem` is as `DaedalusError.as_json` gives it."""

    day: str
    step: str
    problem: Mapping[str, str | None]

    @property
    def error(self) -> str:
        return one_line(self.problem)

    def as_json(self) -> FailureShape:
        return cast("FailureShape", {"day": self.day, "step": self.step, "error": self.error, **self.problem})


class DayResult(Struct, frozen=True):
    """What the last run that was asked for a day left of it.

    `state` is failed, blocked or unfinished. `failures` are the day's own, or those that block it; `through` are the
    aggregations, or other steps, of the blocked day that need what failed.
    """

    state: str
    failures: tuple[Failure, ...] = ()
    through: tuple[str, ...] = ()
    run: str = ""
    started: str = ""  # of the run, in UTC

    def as_json(self) -> DayLeft:
        failures = [one.as_json() for one in self.failures]
        return {"state": self.state, "run": self.run, "started": self.started, "failures": failures,
                "through": list(self.through)}  # fmt: skip


def last_refusal(workspace: Workspace) -> Refusal | None:
    """Why the last run was refused: its `run`, when it `started`, and the error; None if it was not."""
    last = next(_runs(workspace), None)
    if last is None or last.state != "refused":
        return None
    found = workspace.traces.fact(f"{ENDED}{last.id}")
    if not isinstance(found, dict):
        return None
    return cast("Refusal", {"run": last.id, "started": _utc(last.started), **found["failures"][0]})


def _runs(workspace: Workspace, stage: Stage = SKELETON) -> Iterator[RunRecord]:
    """The runs of a stage into this output, newest first; other outputs may share the cache."""
    output = workspace.output_root
    return (
        run for run in workspace.traces.run_records()
        if run.request.get("output", output) == output and stage.name in run.request.get("stages", [SKELETON.name])
    )  # fmt: skip


def _utc(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def results_of(outcomes: Mapping[str, Outcome], days: Iterable[str], stage: Stage = SKELETON) -> dict[str, DayResult]:
    """The results of those of the days that ended without a partition of a stage."""
    own: dict[str, list[Failure]] = {}
    roots: dict[str, dict[str, None]] = {}  # of what failed or is blocked: the failed actions that it follows from
    doors: dict[str, dict[str, None]] = {}  # of a day: its steps that need something bad of another day
    for name, outcome in outcomes.items():  # what is upstream ended before
        if outcome.state == FAILED:
            roots[name] = {name: None}
            if outcome.step in stage.steps:
                own.setdefault(outcome.day or "", []).append(failure_of(outcome))
        elif outcome.state == BLOCKED:
            above = [cause.what for cause in outcome.why]
            roots[name] = {root: None for bad in above for root in roots.get(bad, ())}
            if any(day_of(bad) != outcome.day for bad in above):
                doors.setdefault(outcome.day or "", {})[_door(name)] = None
    found = {}
    for day in days:
        last = outcomes.get(f"{stage.partition}@{day}")
        if last is None or last.good:
            continue
        if day in own:
            found[day] = DayResult(FAILED, tuple(own[day]))
        else:
            causes = tuple(failure_of(outcomes[root]) for root in roots.get(last.name, ()))
            through = [step for step in doors.get(day, ()) if step != stage.partition] or list(doors.get(day, ()))
            found[day] = DayResult(BLOCKED, causes, tuple(through))
    return found


def failure_of(outcome: Outcome) -> Failure:
    return Failure(outcome.day or "", kind_of(outcome.name), outcome.problem)


def _door(name: str) -> str:
    """An aggregation by its name, another step as it is called."""
    return kind_of(name).removeprefix("rolling:")


def last_results(workspace: Workspace, days: Iterable[str]) -> dict[str, DayResult]:
    """What the last run that was asked for a day left of it, for those of the days that it did not finish.

    `days` are such as need work now: of a day that is fresh the past does not matter. What happened in a stage comes
    before what followed in the next.
    """
    wanted, found = list(days), dict[str, DayResult]()
    for output in workspace.outputs.values():
        found = {**_last_of(workspace, output, wanted), **found}
    return found


def _last_of(workspace: Workspace, output: StageOutput, days: Iterable[str]) -> dict[str, DayResult]:
    traces, left = workspace.traces, set(days)
    recorded, found = output.day_results.all() if left else {}, {}
    for run in _runs(workspace, output.stage) if left else ():
        first, _, last = run.request["range"].partition("..")
        asked = {day for day in left if first <= day <= (last or first)} if run.state != "refused" else set()
        started = _utc(run.started)
        for day in asked - traces.names_of_finished_days(run.id) if asked else ():
            row = recorded.get(day)
            if row and row["run"] == run.id:
                found[day] = msgspec.convert({**row, "started": started}, DayResult)
            elif run.state == UNFINISHED:
                found[day] = DayResult(UNFINISHED, run=run.id, started=started)
        left -= asked
        if not left:
            break
    return found
