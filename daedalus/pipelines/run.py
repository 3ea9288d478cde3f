"""A run: looks, builds the actions of the days that need work, walks them, records and reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import product
from os.path import basename, splitext
from typing import TYPE_CHECKING

from msgspec import structs, to_builtins

from daedalus.base.days import Day
from daedalus.base.durable import DATASET
from daedalus.base.errors import DaedalusError, DayError, Interrupted, RunStopped, problem_of
from daedalus.config.steps import PARTITIONS, SKELETON, STAGES
from daedalus.pipelines.look import Looked
from daedalus.pipelines.resume import Request, begin_run, end_run
from daedalus.pipelines.run_report import (
    RunReport,
    cached_note,
    cached_steps,
    no_feed_note,
    report_of_stages,
    report_run,
)
from daedalus.stagecache.walk.outcome import FAILED, HIT, Outcome
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.code_stamp import code_version
from daedalus.workspace.day_results import ENDED, results_of
from daedalus.workspace.day_summary import summary_of
from daedalus.workspace.fresh_days import QID_MAP
from daedalus.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daedalus.explain.change_notes import ChangeNotes
    from daedalus.output.partition_home import PartitionHome
    from daedalus.pipelines.on_dask import OnDask
    from daedalus.shapes.common import Expected
    from daedalus.stagecache.action import Action
    from daedalus.stagecache.walk.executor import Executor
    from daedalus.stagecache.walk.forecast import Forecast
    from daedalus.workspace.graph import Graph


def execute(
    workspace: Workspace, looked: Looked, request: Request, progress: Progress, dask: OnDask | None
) -> RunReport:  # fmt: skip
    """Computes what changed and publishes it; with `dask` on the workers of a cluster. Raises as a run does."""
    run = request.run
    if looked.nothing_to_do(workspace) and all(one.partitions.has(DATASET) for one in workspace.outputs.values()):
        workspace.sweep()
        # A run that ends at once needs its days for unfinished ones alone, which learn of them when it ends.
        begin_run(workspace, request, looked.span, looked.done if workspace.traces.unfinished_runs() else {})
        report = all_fresh(looked)
        report.expect = _checked(workspace, looked, {}, progress)
        _end(workspace, request, looked, report)
        return report
    from daedalus.explain.change_notes import ChangeNotes
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
    begin_run(workspace, request, looked.span, looked.done)
    outcomes = _walk(workspace, run, graph, looked.force, progress, dask)
    _share(workspace, outcomes, progress)
    stuck = _remove_partitions(workspace, graph.empty)
    with _room_for(workspace, "that writes the qid map"):
        workspace.qids.settle()
    compiled = _keep_dataset(workspace, looked, graph, outcomes)
    record_days(workspace, graph, outcomes, looked.fresh)
    _record_results(workspace, run, {**outcomes, **stuck}, graph.days)
    report = _summary(workspace, looked, graph, outcomes, stuck, changes)
    report.compile = compiled
    report.expect = _checked(workspace, looked, outcomes, progress)
    _end(workspace, request, looked, report)
    if not report.failures and not looked.resumed:
        _remember_complete(workspace, outcomes)
    return report


def _end(workspace: Workspace, request: Request, looked: Looked, report: RunReport) -> None:
    """Records that a run ended, and what of it `daeda runs` is to tell."""
    end_run(workspace, request, looked.span, failed=bool(report.failures))
    if report.ended_badly:
        workspace.traces.remember_fact(f"{ENDED}{request.run}", report.ended())


def _checked(
    workspace: Workspace, looked: Looked, outcomes: Mapping[str, Outcome], progress: Progress
) -> Expected | None:  # fmt: skip
    """What of the days that are done is not as expected; None, and nothing is imported or read, without `expect`."""
    if workspace.config.runtime.expect is None:
        return None
    from daedalus.statistics.check import check_days

    rows: dict[str, dict[str, int]] = {}
    for name, output in workspace.outputs.items():
        stage = output.stage
        rows[name] = {day: summary_of(summary, stage)["written"] for day, summary in looked.done.items()}
        made = [one for one in outcomes.values() if one.step == stage.partition and one.good]
        rows[name] |= {str(one.day): one.counts.get("written", 0) for one in made}
    return check_days(workspace, rows, progress.say)


def _summary(
    workspace: Workspace, looked: Looked, graph: Graph, outcomes: Mapping[str, Outcome], stuck: Mapping[str, Outcome],
    changes: ChangeNotes,
) -> RunReport:  # fmt: skip
    """The report of a walk, and of the partitions that could not be removed (`stuck`, by day)."""
    from daedalus.explain.causes import CauseFinder
    from daedalus.pipelines.run_notes import run_notes, shared_notes, traffic_note

    ended, reports, before = {**outcomes, **stuck}, {}, []
    for name, output in workspace.outputs.items():
        known = looked.not_walked(workspace, output.stage)
        before.append(known)
        not_removed = [day for day in map(str, graph.empty) if f"{output.stage.partition}@{day}" in stuck]
        reports[name] = report_run(
            looked.span, ended, known.days, known.read, output.stage,
            days=[*map(str, graph.days), *not_removed],
            empty=[day for day in map(str, graph.empty) if day not in not_removed],
            written=output.partitions.written, removed=output.partitions.removed,
        )  # fmt: skip
        reports[name].outdated_days = [day for day in reports[name].results if output.partitions.holds(day)]
    report = report_of_stages(reports)
    report.input_notes = graph.notes
    report.shared = workspace.shared.summary() if workspace.shared else None
    seconds = sum(cached_steps(known.days, known.read, outcomes)[1] for known in before)
    finder = CauseFinder(workspace.traces, workspace.config, looked.listing.feed.days)
    report.changes = changes.summary()
    report.notes = [*run_notes(graph.actions, outcomes, report.steps[HIT], seconds, finder),
                    *traffic_note(workspace.files.traffic), *shared_notes(report.shared),
                    *no_feed_note(looked.listing.feed.span, bool(looked.done or graph.days))]  # fmt: skip
    return report


def all_fresh(looked: Looked) -> RunReport:
    """The report of a range in which no day needs work."""
    report = report_of_stages({
        name: report_run(looked.span, {}, fresh.days, fresh.read, STAGES[name], days=[], empty=looked.empty,
                         written=set())
        for name, fresh in looked.fresh.items()
    })  # fmt: skip
    hits, seconds = zip(*(cached_steps(fresh.days, fresh.read) for fresh in looked.fresh.values()), strict=True)
    report.notes = cached_note({}, sum(hits), sum(seconds))
    report.input_notes = looked.listing.notes
    return report


def _walk(
    workspace: Workspace, run: str, graph: Graph, force: bool, progress: Progress, dask: OnDask | None
) -> dict[str, Outcome]:  # fmt: skip
    from daedalus.stagecache.walk.full_disk import OutOfSpace
    from daedalus.stagecache.walk.walk import Walk
    from daedalus.workspace.day_summary import run_summary

    traces = workspace.traces

    paired = workspace.paired_skeletons() if dask is None else None

    def day_done(day: str, outcomes: Sequence[Outcome]) -> None:
        if paired:
            with suppress(OSError, DaedalusError):
                paired.let_go(day)
            if day in paired.stuck:
                return
        if summary := run_summary(outcomes, workspace.stages):
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
        executor=_in_parts(
            workspace, dask.executor(workspace, graph, run, progress.say) if dask else _threads(workspace)
        ),
        force=force,
        progress=progress,
        forecast=_forecast(workspace, graph, force, here=dask is None) if progress.estimates or dask else None,
        longest_first=dask is not None,
        day_done=day_done,
        interrupt=workspace.ducks.interrupt,
        ends_run=_ends_run,
        unread=workspace.store.let_go,
    )
    last = workspace.stages[-1].partition
    try:
        outcomes = walk.execute({str(day): f"{last}@{day}" for day in graph.days})
        return outcomes | _stuck(outcomes, paired.stuck if paired else {})
    except (Interrupted, RunStopped) as stopped:  # unfinished: --resume goes on
        if isinstance(stopped, OutOfSpace):
            stopped.look_in(workspace.folders)
        try:
            if paired:
                _take_back(workspace, paired)
            _record_results(workspace, run, walk.outcomes, ())
            workspace.qids.finish()
        except (DaedalusError, OSError):
            raise stopped from None  # a full disk may have no room for this either
        raise


def _stuck(outcomes: Mapping[str, Outcome], errors: Mapping[str, Exception]) -> dict[str, Outcome]:
    """Outcomes of the skeleton's partitions, by day, that were finished and did not come to their place."""
    names = {day: f"{SKELETON.partition}@{day}" for day in errors}
    return {
        name: structs.replace(outcomes[name], state=FAILED, problem=problem_of(errors[day]))
        for day, name in names.items()
    }


def _take_back(workspace: Workspace, paired: PartitionHome) -> None:
    """Makes the last trace of a partition that did not come to its place the one of what lies there."""
    for day in paired.drop_held():
        name, lies = f"{SKELETON.partition}@{day}", paired.look(day)
        if lies and (trace := workspace.traces.with_artifact(name, lies[0])):
            workspace.traces.point(name, trace.key)


def _ends_run(action: Action) -> bool:
    """Whether nothing can be done without an action. What only a later stage reads leaves the skeleton to do."""
    return action.day is None and action.step in SKELETON.steps


def _record_results(
    workspace: Workspace, run: str, outcomes: Mapping[str, Outcome], finished: Iterable[Day]
) -> None:  # fmt: skip
    """Records, for each stage, what happened to the days that it did not finish; of others among `finished` nothing."""
    days = [outcome.day for outcome in outcomes.values() if outcome.day]
    for output in workspace.outputs.values():
        results = results_of(outcomes, dict.fromkeys(days), output.stage)
        output.day_results.record(run, to_builtins(results), map(str, finished))


def _forecast(workspace: Workspace, graph: Graph, force: bool, *, here: bool) -> Forecast:
    from daedalus.pipelines.forecast import forecast

    return forecast(workspace, graph, force=force, here=here)


def _threads(workspace: Workspace) -> Executor:
    from daedalus.stagecache.walk.executor import Threads

    return Threads(workspace.workers, ahead=_load_compiled)


def _in_parts(workspace: Workspace, executor: Executor) -> Executor:
    """With the large steps of a day in parts, and those that wait for their turn ahead of it, where the config or the
    executor has more than one part."""
    shards = workspace.config.runtime.day_shards
    if shards == 1 or (shards == "auto" and not executor.spreads):
        return executor
    from daedalus.stagecache.walk.in_parts import InParts

    parts = InParts(executor, None if shards == "auto" else shards)
    if not executor.spreads:
        return parts
    from daedalus.stagecache.walk.in_turn import LEAST, InTurn

    return InTurn(parts, LEAST if shards == "auto" else 0, workspace.store.drop)


def _load_compiled() -> None:
    """Makes the compiler ready: half a second, in which the first actions that need it would wait for each other."""
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
    """Removes the partitions of days without rows; the outcomes, by action, of those that cannot be removed."""
    stuck = {}
    for output, day in product(reversed(workspace.outputs.values()), map(str, days)):  # none without what it is made of
        try:
            output.partitions.remove(day)
        except DayError as error:
            step = output.stage.partition
            stuck[f"{step}@{day}"] = Outcome(f"{step}@{day}", step, day, FAILED, problem=error.as_json())
    return stuck


def _keep_dataset(workspace: Workspace, looked: Looked, graph: Graph, outcomes: Mapping[str, Outcome]) -> str:
    """Says beside the partitions what is in them now, before days count as done: a crash before that is made good.
    Returns the digest of what the configuration means."""
    from daedalus.compile.dataset import keep_dataset
    from daedalus.compile.resolve import compiled_for

    for output in workspace.outputs.values():
        stage, document = output.stage, compiled_for(workspace, graph, output.stage)
        good = {str(day) for day in graph.days if outcomes[f"{stage.partition}@{day}"].good}
        with _room_for(workspace, "that describes the partitions"):
            keep_dataset(output.partitions, document, looked.span, good | looked.done.keys(), stage.name)
    return document["digest"]


@contextmanager
def _room_for(workspace: Workspace, step: str) -> Iterator[None]:
    """A full disk ends the run with a message that says which."""
    from daedalus.stagecache.walk.full_disk import OutOfSpace, is_out_of_space

    try:
        yield
    except OSError as error:
        if not is_out_of_space(error):
            raise
        stopped = OutOfSpace(step, error)
        stopped.look_in(workspace.folders)
        raise stopped from error


def _remember_complete(workspace: Workspace, outcomes: Mapping[str, Outcome]) -> None:
    """Records which artifacts the last complete run used, for the garbage collector."""
    traces = workspace.traces
    if any(outcome.ran for outcome in outcomes.values()) or traces.fact("last complete run") is None:
        artifacts = {outcome.artifact for outcome in outcomes.values() if outcome.step not in PARTITIONS}
        files = (file for output in workspace.outputs.values() for file in output.day_stamps.files())
        artifacts |= {splitext(basename(file.path))[0] for file in files if file.name != QID_MAP}
        traces.remember_fact("last complete run", sorted(artifacts))
