"""`run_skeleton_stage()`: the skeleton stage over a range of days, through the stage cache."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from functools import cache

from daedalus import digest
from daedalus.days import Day, DayRange, parse_range
from daedalus.errors import DaedalusError
from daedalus.pipelines.diff import ChangeNotes
from daedalus.pipelines.planning import plan_report
from daedalus.pipelines.report import RunReport, cutoff_note, day_summary, prediction_note, report_run
from daedalus.pipelines.workspace import Graph, Settings, Workspace, code_stamp, code_version, opened
from daedalus.stagecache.execute import Interrupted, Outcome, OutOfSpace, Walk
from daedalus.stagecache.progress import Progress


def run_skeleton_stage(
    settings: Settings | None = None,
    range: str | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    plan: bool = False,
    model: str | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Computes what changed and publishes the partitions of a range of days.

    `range` is as on the command line; None is the config's feed_start..feed_end, or with `resume` the
    range of the last unfinished run. With `plan` nothing runs. `model` lands in the run's record.

    Raises DaedalusError for refused config, arguments or input, and Interrupted on Ctrl-C. Days that
    fail do not raise: they are in the report.
    """
    settings, progress = settings or Settings(), progress or Progress()
    began = time.perf_counter()
    if range:
        parse_range(range)
    with opened(settings) as workspace:
        run = _Run(workspace, progress, model)
        report = run.plan(range, force) if plan else run.execute(range, resume=resume, force=force)
    report.seconds = time.perf_counter() - began
    return report


class _Run:
    """One run in an opened workspace."""

    def __init__(self, workspace: Workspace, progress: Progress, model: str | None) -> None:
        self._workspace, self._progress, self._model = workspace, progress, model

    def plan(self, range: str | None, force: bool) -> RunReport:
        span = self._workspace.range(range)
        graph = self._workspace.graph(list(span), reconcile=False)
        return plan_report(RunReport(span), graph, self._workspace.traces, force)

    def execute(self, range: str | None, *, resume: bool, force: bool) -> RunReport:
        workspace, traces = self._workspace, self._workspace.traces
        span = workspace.range(range)
        trusted: dict[str, dict] = {}
        if resume:
            span, trusted = self._take_up(range, span)
        skip = frozenset(Day.fromisoformat(day) for day in trusted)
        graph = workspace.graph(list(span), reconcile=True, skip=skip)
        run = uuid.uuid4().hex
        changes = workspace.partitions.replacing = ChangeNotes(traces, run)
        traces.start_run(run, self._request(span))
        for day, summary in trusted.items():
            traces.finish_day(run, day, summary)
        outcomes = self._walk(run, graph, force)
        for gone in graph.empty:
            workspace.partitions.remove(str(gone))
        report = report_run(
            span, outcomes, trusted, days=[str(d) for d in graph.days], empty=[str(d) for d in graph.empty],
            written=workspace.partitions.written,
        )  # fmt: skip
        report.notes = [*changes.summary(), *cutoff_note(graph.actions, outcomes), *prediction_note(outcomes)]
        traces.finish_run(run, "failed" if report.failures else "done")
        if not report.failures and not trusted:
            self._remember_complete(outcomes)
        return report

    def _walk(self, run: str, graph: Graph, force: bool) -> dict[str, Outcome]:
        traces = self._workspace.traces

        def day_done(day: str, outcomes: Sequence[Outcome]) -> None:
            if summary := day_summary(outcomes):
                traces.finish_day(run, day, summary)

        @cache
        def code() -> str:
            """Asked for when something ran: only then are texts kept."""
            traces.remember_texts(graph.texts)
            return code_version()

        if graph.feed.ignored:
            self._progress.say(f"ignored, no day in their names: {', '.join(graph.feed.ignored)}")
        walk = Walk(
            graph.actions,
            traces,
            locks=self._workspace.locks,
            code=code,
            workers=self._workspace.config.runtime.day_workers,
            force=force,
            progress=self._progress,
            day_done=day_done,
            interrupt=self._workspace.ducks.interrupt,
        )
        try:
            return walk.execute({str(day): f"chunk@{day}" for day in graph.days})
        except (Interrupted, OutOfSpace):  # unfinished: --resume goes on
            raise
        except DaedalusError:
            traces.finish_run(run, "refused")
            raise

    def _remember_complete(self, outcomes: Mapping[str, Outcome]) -> None:
        """Keeps what the last complete run stands on, for the garbage collector."""
        traces = self._workspace.traces
        if any(outcome.ran for outcome in outcomes.values()) or traces.fact("last complete run") is None:
            artifacts = {outcome.artifact for outcome in outcomes.values() if outcome.step != "chunk"}
            traces.remember_fact("last complete run", sorted(artifacts))

    def _request(self, span: DayRange) -> dict:
        """What must be the same for the finished days of an unfinished run to be trusted."""
        runtime = self._workspace.config.runtime
        config = self._workspace.config
        meaning = digest.of_text(repr((config.catalog, runtime, config.aggregations, code_stamp())))
        return {"range": str(span), "meaning": meaning, "model": self._model}

    def _take_up(self, range: str | None, span: DayRange) -> tuple[DayRange, dict[str, dict]]:
        """The range of the last unfinished run, and its finished days; nothing of it if the config changed."""
        last = self._workspace.traces.last_run()
        if last is None or last[1] != "unfinished":
            self._progress.say("nothing to resume: the last run finished; this is a plain run")
            return span, {}
        run, _, request = last
        if range is None:
            span = parse_range(request["range"])
        if request["meaning"] != self._request(span)["meaning"]:
            self._progress.say("the config changed since the unfinished run; its days are looked at again")
            return span, {}
        finished = self._workspace.traces.finished_days(run)
        trusted = {day: summary for day, summary in finished.items() if Day.fromisoformat(day) in span}
        self._progress.say(f"resuming {request['range']}: {len(trusted)} of {len(span)} days were finished")
        return span, trusted
