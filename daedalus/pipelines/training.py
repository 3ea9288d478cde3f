"""`run_skeleton_stage()`: the skeleton stage over a range of days, through the stage cache."""

from __future__ import annotations

import dataclasses
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from daedalus.base import digest
from daedalus.base.days import Day, DayRange, parse_range
from daedalus.base.errors import DaedalusError, DayError, Interrupted
from daedalus.inputs.listing import Listing
from daedalus.pipelines.run_report import RunReport, cached_note, cached_steps, no_feed_note, report_run
from daedalus.stagecache.walk.outcome import FAILED, HIT, Outcome
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.code_stamp import code_stamp, code_version
from daedalus.workspace.fresh_days import NOTHING, QID_MAP, FreshDays, fresh_days, read_by_finished
from daedalus.workspace.workspace import Settings, Workspace, opened

if TYPE_CHECKING:
    from daedalus.stagecache.walk.executor import Executor
    from daedalus.workspace.graph import Graph


def run_skeleton_stage(
    settings: Settings | None = None,
    range: str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    plan: bool = False,
    adopt: bool = False,
    model: str | None = None,
    progress: Progress | None = None,
    executor: Literal["threads", "dask"] = "threads",
    scheduler: str | None = None,
) -> RunReport:
    """Computes what changed and publishes the partitions of a range of days.

    `range` is as on the command line; None is the config's feed_start..feed_end, or with `resume` the
    range of the last unfinished run. With `plan` nothing runs. With `adopt` files that are not ours go with the
    partition in whose folder they lie; else its day fails. `model` lands in the run's record. `progress` is what
    watches; None draws in a notebook, and is silent elsewhere. With `executor="dask"` actions run on the workers of
    the Dask `scheduler` at an address, or without one on those of a cluster on this machine, whose processes import
    the calling script: call this below `if __name__ == "__main__":`.

    Raises DaedalusError for refused config, arguments or input, and Interrupted on Ctrl-C. Days that
    fail do not raise: they are in the report.
    """
    settings, progress = settings or Settings(), progress or _default_progress()
    _check_executor(executor, scheduler)
    began = time.perf_counter()
    if range is not None:
        parse_range(range)
    if resume and (last := _last_unfinished(settings)):
        options = {key: value for key, value in last["settings"].items() if getattr(settings, key) is None}
        settings = dataclasses.replace(settings, **options)
        range, model = last["range"] if range is None else range, model or last["model"]
    with opened(settings) as workspace:
        workspace.partitions.adopt = adopt
        run = _Run(workspace, settings, progress, model, on_dask=executor == "dask", scheduler=scheduler)
        force = force or (resume and run.takes_up_force())
        do = run.plan if plan else run.execute
        report = do(range, resume=resume, force=force)
        report.output = str(workspace.output_root)
    report.seconds = time.perf_counter() - began
    return report


def _default_progress() -> Progress:
    if "IPython" in sys.modules:
        from daedalus.watch.notebook import notebook_progress

        return notebook_progress() or Progress()
    return Progress()


def _check_executor(executor: str, scheduler: str | None) -> None:
    if executor == "dask":
        from daedalus.cluster.connect import check_installed

        check_installed()
    elif scheduler is not None:
        raise DaedalusError("a scheduler is given, but nothing is sent to it", where=f"--scheduler {scheduler}",
                            found=f"--executor {executor}", hint="--executor dask")  # fmt: skip


def _last_unfinished(settings: Settings) -> dict | None:
    """What was asked of the run that `--resume` takes up."""
    with opened(settings) as workspace:
        runs = workspace.traces.unfinished_runs()
    return runs[0][1] if runs else None


class _Run:
    """One run in an opened workspace."""

    def __init__(
        self, workspace: Workspace, settings: Settings, progress: Progress, model: str | None,
        *, on_dask: bool, scheduler: str | None,
    ) -> None:  # fmt: skip
        self._workspace, self._settings = workspace, settings
        self._progress, self._model, self._forced = progress, model, False
        self._on_dask, self._scheduler = on_dask, scheduler
        workspace.files.say = progress.say

    def takes_up_force(self) -> bool:
        """Whether the unfinished run was forced, and means what a run means now; says so."""
        runs = self._workspace.traces.unfinished_runs()
        if not runs or not runs[0][1]["force"] or runs[0][1]["meaning"] != self._meaning():
            return False
        self._progress.say("the unfinished run was started with --force: so is this one")
        return True

    def plan(self, range: str | None, *, resume: bool, force: bool) -> RunReport:
        from daedalus.pipelines.plan import plan_report

        workspace, span = self._workspace, self._workspace.range(range)
        taken = self._take_up(span) if resume else {}
        listing = workspace.listing()
        stands = self._standing(listing, span, force)
        if self._nothing_to_do(listing, span, stands):
            return dataclasses.replace(self._all_stand(listing, span, stands), plan=[])
        from daedalus.workspace.graph import build_graph

        graph = build_graph(
            workspace, list(span), reconcile=False, skip=_days({**stands.days, **taken}), listing=listing
        )
        if workspace.shared:
            workspace.shared.prepare(action.day for action in graph.actions)
        stands = self._with_finished(stands, taken)
        gone = [str(day) for day in graph.empty if workspace.partitions.holds(str(day))]
        return plan_report(RunReport(span), graph, workspace, stands, force, gone)

    def execute(self, range: str | None, *, resume: bool, force: bool) -> RunReport:
        workspace = self._workspace
        span = workspace.range(range)
        taken = self._take_up(span) if resume else {}
        listing = workspace.listing()
        stands = self._standing(listing, span, force)
        trusted = {**stands.days, **taken}
        run = uuid.uuid4().hex
        if self._nothing_to_do(listing, span, stands):
            self._begin(run, span, force, trusted)
            self._finish(run, span, failed=False)
            return self._all_stand(listing, span, stands)
        from daedalus.explain.causes import CauseFinder
        from daedalus.explain.diff import ChangeNotes
        from daedalus.pipelines.run_notes import run_notes, shared_notes, traffic_note
        from daedalus.workspace.graph import build_graph
        from daedalus.workspace.remembering import record_days

        graph = build_graph(
            workspace, list(span), reconcile=True, reuse=not force, skip=_days(trusted), listing=listing
        )
        for note in graph.notes:
            self._progress.say(note)
        changes = workspace.partitions.replacing = ChangeNotes(workspace, run)
        self._begin(run, span, force, trusted)
        outcomes = self._walk(run, graph, force)
        if workspace.shared:
            workspace.shared.finish(outcomes, self._progress.say)
        if workspace.shared and workspace.input_notes:
            from daedalus.sharing.open import offer_inputs

            offer_inputs(workspace.shared, workspace.config.catalog.feed.path, workspace.input_notes)
        stuck = self._remove_partitions(graph.empty)
        workspace.qids.settle()
        read = self._with_finished(stands, taken).read
        report = report_run(
            span, {**outcomes, **{f"chunk@{day}": outcome for day, outcome in stuck.items()}}, trusted, read,
            days=[*map(str, graph.days), *stuck], empty=[str(d) for d in graph.empty if str(d) not in stuck],
            written=workspace.partitions.written, removed=workspace.partitions.removed,
        )  # fmt: skip
        report.input_notes = graph.notes
        stood = cached_steps(trusted, read, outcomes)[1]
        report.shared = workspace.shared.summary() if workspace.shared else None
        teller = CauseFinder(workspace.traces, workspace.config, listing.feed.days)
        report.notes = [*run_notes(graph.actions, outcomes, report.steps[HIT], stood, teller),
                        *traffic_note(workspace.files.traffic), *changes.summary(),
                        *shared_notes(report.shared)]  # fmt: skip
        report.notes += no_feed_note(listing.feed.span, bool(trusted or graph.days))
        record_days(workspace, graph, outcomes, stands)
        self._finish(run, span, failed=bool(report.failures))
        if not report.failures and not taken:
            self._remember_complete(outcomes)
        return report

    def _standing(self, listing: Listing, span: DayRange, force: bool) -> FreshDays:
        present = self._workspace.with_rows(listing, span)
        force = force or bool(self._workspace.shared and self._workspace.shared.owes())
        return NOTHING if force else fresh_days(self._workspace, listing, present)

    def _with_finished(self, stands: FreshDays, taken: Mapping[str, dict]) -> FreshDays:
        """What stands and the days of the run that is taken up, with what either read of other days."""
        read = read_by_finished(self._workspace, taken) if taken else {}
        return dataclasses.replace(stands, days={**stands.days, **taken}, read={**read, **stands.read})

    def _nothing_to_do(self, listing: Listing, span: DayRange, stands: FreshDays) -> bool:
        """Whether every day with feed rows stands, and no other has a partition."""
        if len(stands.days) < len(self._workspace.with_rows(listing, span)) or not stands.days:
            return False
        return not any(map(self._workspace.partitions.holds, self._empty(listing, span)))

    def _all_stand(self, listing: Listing, span: DayRange, stands: FreshDays) -> RunReport:
        empty = self._empty(listing, span)
        report = report_run(span, {}, stands.days, stands.read, days=[], empty=empty, written=set())
        report.notes = cached_note({}, *cached_steps(stands.days, stands.read))
        report.input_notes = listing.feed.notes
        return report

    def _empty(self, listing: Listing, span: DayRange) -> list[str]:
        present = set(self._workspace.with_rows(listing, span))
        return [str(day) for day in span if day not in present]

    def _begin(self, run: str, span: DayRange, force: bool, trusted: Mapping[str, dict]) -> None:
        self._forced = force
        self._workspace.traces.start_run(run, self._request(span, force))
        self._workspace.traces.finish_days(run, trusted)

    def _walk(self, run: str, graph: Graph, force: bool) -> dict[str, Outcome]:
        from daedalus.stagecache.walk.executor import RunStopped
        from daedalus.stagecache.walk.walk import Walk
        from daedalus.workspace.day_summary import day_summary

        traces = self._workspace.traces

        def day_done(day: str, outcomes: Sequence[Outcome]) -> None:
            if summary := day_summary(outcomes):
                traces.finish_days(run, {day: summary})

        @cache
        def code() -> str:
            """Asked for when something ran: only then are texts kept."""
            traces.remember_texts(graph.texts)
            return code_version(traces)

        self._progress.spilled = self._workspace.ducks.spilled
        shared = self._workspace.shared
        if shared:
            shared.prepare(action.day for action in graph.actions)
        walk = Walk(
            graph.actions,
            traces,
            locks=self._workspace.locks,
            level=shared,
            code=code,
            executor=self._executor(run, graph),
            force=force,
            progress=self._progress,
            day_done=day_done,
            interrupt=self._workspace.ducks.interrupt,
        )
        try:
            return walk.execute({str(day): f"chunk@{day}" for day in graph.days})
        except (Interrupted, RunStopped):  # unfinished: --resume goes on
            raise
        except DaedalusError:
            traces.finish_run(run, "refused")
            raise

    def _remove_partitions(self, days: Iterable[Day]) -> dict[str, Outcome]:
        """Takes away the partitions of days without rows; those of which that fails, as outcomes by day."""
        stuck = {}
        for day in map(str, days):
            try:
                self._workspace.partitions.remove(day)
            except DayError as error:
                stuck[day] = Outcome(f"chunk@{day}", "chunk", day, FAILED, error=error.one_line())
        return stuck

    def _executor(self, run: str, graph: Graph) -> Executor:
        """What runs the graph's actions."""
        if not self._on_dask:
            from daedalus.stagecache.walk.executor import Threads

            return Threads(self._workspace.workers, ahead=_load_compiled)
        from daedalus.pipelines.on_dask import dask_executor

        return dask_executor(self._workspace, graph, run, self._scheduler, self._progress.say)

    def _remember_complete(self, outcomes: Mapping[str, Outcome]) -> None:
        """Keeps what the last complete run stands on, for the garbage collector."""
        traces = self._workspace.traces
        if any(outcome.ran for outcome in outcomes.values()) or traces.fact("last complete run") is None:
            artifacts = {outcome.artifact for outcome in outcomes.values() if outcome.step != "chunk"}
            artifacts |= {Path(file.path).stem for file in self._workspace.day_stamps.files() if file.name != QID_MAP}
            traces.remember_fact("last complete run", sorted(artifacts))

    def _finish(self, run: str, span: DayRange, *, failed: bool) -> None:
        """Ends a run, and with it unfinished ones that it has covered: there is nothing left to take up."""
        traces = self._workspace.traces
        traces.finish_run(run, "failed" if failed else "done")
        for older, request in traces.unfinished_runs():
            asked = parse_range(request["range"])
            if asked.first in span and asked.last in span and not failed:
                traces.finish_run(older, "superseded")
            elif request["meaning"] == self._meaning() and self._forced >= request["force"]:  # no second time
                done = traces.finished_days(run)
                traces.finish_days(older, {d: s for d, s in done.items() if Day.fromisoformat(d) in asked})

    def _request(self, span: DayRange, force: bool) -> dict:
        """What a run was asked; `meaning` must be the same for its finished days to be trusted."""
        options = {key: value for key, value in dataclasses.asdict(self._settings).items() if key != "config"}
        return {
            "range": str(span),
            "meaning": self._meaning(),
            "model": self._model,
            "force": force,
            "settings": options,
        }

    def _meaning(self) -> str:
        config = self._workspace.config
        return digest.of_text(repr((config.catalog, config.runtime, config.aggregations, code_stamp())))

    def _take_up(self, span: DayRange) -> dict[str, dict]:
        """The finished days of the last unfinished run; none if config or code changed since."""
        runs = self._workspace.traces.unfinished_runs()
        if not runs:
            self._progress.say("nothing to resume: no run is unfinished; this is a plain run")
            return {}
        run, request = runs[0]
        if request["meaning"] != self._meaning():
            self._progress.say("config or code changed since the unfinished run; its days are looked at again")
            return {}
        finished = self._workspace.traces.finished_days(run)
        trusted = {day: summary for day, summary in finished.items() if Day.fromisoformat(day) in span}
        self._progress.say(f"resuming {request['range']}: {len(trusted)} of {len(span)} days were finished")
        return trusted


def _load_compiled() -> None:
    """Makes the compiler ready: 0.4 s in which the first actions that need it would wait for each other."""
    from daedalus.parquet import packing

    packing.load()


def _days(names: Iterable[str]) -> frozenset[Day]:
    return frozenset(Day.fromisoformat(name) for name in names)
