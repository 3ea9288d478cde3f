"""A run: looks, builds the actions of the days that need work, walks them, records and reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import to_builtins

from daedalus.base.days import Day
from daedalus.base.durable import DATASET
from daedalus.base.errors import DaedalusError, DayError, Interrupted, RunStopped
from daedalus.config.steps import PARTITION
from daedalus.pipelines.look import Looked
from daedalus.pipelines.resume import Request, begin_run, end_run
from daedalus.pipelines.run_report import RunReport, cached_note, cached_steps, no_feed_note, report_run
from daedalus.stagecache.walk.outcome import FAILED, HIT, Outcome
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.code_stamp import code_version
from daedalus.workspace.day_results import ENDED, results_of
from daedalus.workspace.fresh_days import QID_MAP
from daedalus.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daedalus.explain.diff import ChangeNotes
    from daedalus.pipelines.on_dask import OnDask
    from daedalus.stagecache.walk.executor import Executor
    from daedalus.stagecache.walk.forecast import Forecast
    from daedalus.workspace.graph import Graph


def execute(
    workspace: Workspace, looked: Looked, request: Request, progress: Progress, dask: OnDask | None
) -> RunReport:  # fmt: skip
    """Computes what changed and publishes it; with `dask` on the workers of a cluster. Raises as a run does."""
    run = request.run
    if looked.nothing_to_do(workspace) and workspace.partitions.has(DATASET):
        begin_run(workspace, request, looked.span, looked.done)
        end_run(workspace, request, looked.span, failed=False)
        return all_fresh(looked)
    from daedalus.explain.diff import ChangeNotes
    from daedalus.workspace.graph import build_graph
    from daedalus.workspace.record_days import record_days

    graph = build_graph(
        workspace, list(looked.span), reconcile=True, reuse=not looked.force, skip=looked.skipped,
        listing=looked.listing,
    )  # fmt: skip
    for note in graph.notes:
        progress.say(note)
    progress.done_before({day: bool(summary["empty"]) for day, summary in looked.done.items()})
    changes = ChangeNotes(workspace, run)
    workspace.partitions.before_replacing(changes)
    begin_run(workspace, request, looked.span, looked.done)
    outcomes = _walk(workspace, run, graph, looked.force, progress, dask)
    _share(workspace, outcomes, progress)
    stuck = _remove_partitions(workspace, graph.empty)
    workspace.qids.settle()
    _keep_dataset(workspace, looked, graph, outcomes)
    report = _summary(workspace, looked, graph, outcomes, stuck, changes)
    record_days(workspace, graph, outcomes, looked.fresh)
    workspace.day_results.record(run, to_builtins(report.results), map(str, graph.days))
    end_run(workspace, request, looked.span, failed=bool(report.failures))
    if report.failures:
        workspace.traces.remember_fact(f"{ENDED}{run}", report.ended())
    if not report.failures and not looked.resumed:
        _remember_complete(workspace, outcomes)
    return report


def _summary(
    workspace: Workspace, looked: Looked, graph: Graph, outcomes: Mapping[str, Outcome], stuck: Mapping[str, Outcome],
    changes: ChangeNotes,
) -> RunReport:  # fmt: skip
    """The report of a walk, and of the partitions that could not be removed (`stuck`, by day)."""
    from daedalus.explain.causes import CauseFinder
    from daedalus.pipelines.run_notes import run_notes, shared_notes, traffic_note

    known = looked.with_resumed(workspace)
    ended = {**outcomes, **{f"{PARTITION}@{day}": outcome for day, outcome in stuck.items()}}
    report = report_run(
        looked.span, ended, known.days, known.read,
        days=[*map(str, graph.days), *stuck], empty=[str(d) for d in graph.empty if str(d) not in stuck],
        written=workspace.partitions.written, removed=workspace.partitions.removed,
    )  # fmt: skip
    report.input_notes = graph.notes
    report.shared = workspace.shared.summary() if workspace.shared else None
    seconds = cached_steps(known.days, known.read, outcomes)[1]
    finder = CauseFinder(workspace.traces, workspace.config, looked.listing.feed.days)
    report.changes = changes.summary()
    report.outdated_days = [day for day in report.results if workspace.partitions.holds(day)]
    report.notes = [*run_notes(graph.actions, outcomes, report.steps[HIT], seconds, finder),
                    *traffic_note(workspace.files.traffic), *shared_notes(report.shared),
                    *no_feed_note(looked.listing.feed.span, bool(known.days or graph.days))]  # fmt: skip
    return report


def all_fresh(looked: Looked) -> RunReport:
    """The report of a range in which no day needs work."""
    fresh = looked.fresh
    report = report_run(looked.span, {}, fresh.days, fresh.read, days=[], empty=looked.empty, written=set())
    report.notes = cached_note({}, *cached_steps(fresh.days, fresh.read))
    report.input_notes = looked.listing.feed.notes
    return report


def _walk(
    workspace: Workspace, run: str, graph: Graph, force: bool, progress: Progress, dask: OnDask | None
) -> dict[str, Outcome]:  # fmt: skip
    from daedalus.stagecache.walk.full_disk import OutOfSpace
    from daedalus.stagecache.walk.walk import Walk
    from daedalus.workspace.day_summary import day_summary

    traces = workspace.traces

    def day_done(day: str, outcomes: Sequence[Outcome]) -> None:
        if summary := day_summary(outcomes):
            traces.finish_days(run, {day: summary})

    @cache
    def code() -> str:
        """Asked for when something ran: only then are texts kept."""
        traces.remember_texts(graph.texts)
        return code_version(traces)

    progress.measure(workspace.ducks.spilled)
    if workspace.shared:
        workspace.shared.prepare(action.day for action in graph.actions)
    walk = Walk(
        graph.actions,
        traces,
        locks=workspace.locks,
        level=workspace.shared,
        code=code,
        commit=workspace.commit,
        executor=dask.executor(workspace, graph, run, progress.say) if dask else _threads(workspace),
        force=force,
        progress=progress,
        forecast=_forecast(workspace, graph, force, here=dask is None) if progress.estimates else None,
        day_done=day_done,
        interrupt=workspace.ducks.interrupt,
    )
    days = list(map(str, graph.days))
    try:
        return walk.execute({day: f"{PARTITION}@{day}" for day in days})
    except (Interrupted, RunStopped) as stopped:  # unfinished: --resume goes on
        if isinstance(stopped, OutOfSpace):
            stopped.look_in(workspace.folders)
        try:
            workspace.day_results.record(run, to_builtins(results_of(walk.outcomes, days)))
        except DaedalusError:
            raise stopped from None  # a full disk may have no room for this either
        raise


def _forecast(workspace: Workspace, graph: Graph, force: bool, *, here: bool) -> Forecast:
    from daedalus.pipelines.forecast import forecast

    return forecast(workspace, graph, force=force, here=here)


def _threads(workspace: Workspace) -> Executor:
    from daedalus.stagecache.walk.executor import Threads

    return Threads(workspace.workers, ahead=_load_compiled)


def _load_compiled() -> None:
    """Makes the compiler ready: 0.4 s in which the first actions that need it would wait for each other."""
    from daedalus.parquet import compiled_lists

    compiled_lists.load()


def _share(workspace: Workspace, outcomes: Mapping[str, Outcome], progress: Progress) -> None:
    """Ends what goes to the shared cache, and offers what was learned of the inputs."""
    if workspace.shared:
        workspace.shared.finish(outcomes, progress.say)
    if workspace.shared and workspace.input_notes:
        from daedalus.sharing.open import offer_inputs

        offer_inputs(workspace.shared, workspace.config.catalog.feed.path, workspace.input_notes)


def _remove_partitions(workspace: Workspace, days: Iterable[Day]) -> dict[str, Outcome]:
    """Removes the partitions of days without rows; the outcomes, by day, of those that cannot be removed."""
    stuck = {}
    for day in map(str, days):
        try:
            workspace.partitions.remove(day)
        except DayError as error:
            stuck[day] = Outcome(f"{PARTITION}@{day}", PARTITION, day, FAILED, problem=error.as_json())
    return stuck


def _keep_dataset(workspace: Workspace, looked: Looked, graph: Graph, outcomes: Mapping[str, Outcome]) -> None:
    """Says beside the partitions what is in them now, before days count as done: a crash before that is made good."""
    from daedalus.compile.dataset import keep_dataset
    from daedalus.compile.resolve import compiled_for

    good = {str(day) for day in graph.days if outcomes[f"{PARTITION}@{day}"].good}
    keep_dataset(workspace.partitions, compiled_for(workspace, graph), looked.span, good | looked.done.keys())


def _remember_complete(workspace: Workspace, outcomes: Mapping[str, Outcome]) -> None:
    """Records which artifacts the last complete run used, for the garbage collector."""
    traces = workspace.traces
    if any(outcome.ran for outcome in outcomes.values()) or traces.fact("last complete run") is None:
        artifacts = {outcome.artifact for outcome in outcomes.values() if outcome.step != PARTITION}
        artifacts |= {Path(file.path).stem for file in workspace.day_stamps.files() if file.name != QID_MAP}
        traces.remember_fact("last complete run", sorted(artifacts))
