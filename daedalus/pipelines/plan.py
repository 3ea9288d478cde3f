"""`daeda skeleton --plan`: what would run, why, and what it is expected to cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from daedalus.base.errors import problem_lines
from daedalus.base.terminal_text import counted, wrapped
from daedalus.compile.resolve import compiled_for
from daedalus.config.steps import Stage
from daedalus.explain.causes import Causes
from daedalus.explain.failure_lines import failure_lines, failures_of
from daedalus.pipelines.look import Looked
from daedalus.pipelines.plan_lines import REMOVE
from daedalus.pipelines.run import all_fresh
from daedalus.pipelines.run_report import RunReport, cached_steps, no_feed_note
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.forecast import expected_seconds
from daedalus.stagecache.walk.outcome import STATES
from daedalus.stagecache.walk.plan import HIT, Verdict, make_plan
from daedalus.workspace.bad_files import bad_files, days_that_fail
from daedalus.workspace.day_results import Failure, last_results
from daedalus.workspace.day_summary import FEED_ROWS
from daedalus.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daedalus.workspace.graph import Graph


def plan_run(workspace: Workspace, looked: Looked) -> RunReport:
    """What a run would do of what was looked at; nothing runs. Raises the DaedalusError with which a run refuses."""
    if looked.nothing_to_do(workspace):
        return replace(all_fresh(looked), plan=[])
    from daedalus.workspace.graph import build_graph

    workspace.check_output()
    skipped, listing = looked.skipped, looked.listing
    graph = build_graph(workspace, list(looked.span), reconcile=False, skip=skipped, listing=listing)
    if graph.sessions:
        workspace.qids.check()
    if workspace.shared:
        workspace.shared.prepare(action.day for action in graph.actions)
    return _plan_report(workspace, looked, graph)


def _plan_report(workspace: Workspace, looked: Looked, graph: Graph) -> RunReport:
    """The report of a graph of which nothing ran."""
    report, traces = RunReport(looked.span), workspace.traces
    known = [looked.not_walked(workspace, output.stage) for output in workspace.outputs.values()]
    verdicts = {v.action.name: v for v in make_plan(graph.actions, traces, looked.force, workspace.shared)}
    causes, costs = Causes(verdicts, traces, graph, workspace.config), traces.costs()
    report.plan = [
        {
            "day": verdict.action.day,
            "step": kind_of(verdict.action.name),
            "state": verdict.state,
            "why": causes.of(verdict),
            "expected_seconds": _expected(verdict, verdicts, costs),
        }
        for verdict in verdicts.values()
        if verdict.state != HIT
    ]
    report.plan += [
        _removal(output.stage, str(day), traces)
        for output in workspace.outputs.values() for day in graph.empty if output.partitions.holds(str(day))
    ]  # fmt: skip
    report.causes = causes.roots()
    report.compile = compiled_for(workspace, graph, workspace.stages[-1])["digest"]
    report.input_notes = graph.notes
    report.failures = _obstacles(workspace, report.plan)
    report.notes = _obstacle_notes(report.failures)
    report.notes += [line for note in report.input_notes for line in wrapped(note, "  inputs    ")]
    waiting = {verdict.action.day for verdict in verdicts.values() if verdict.state != HIT}
    left = last_results(workspace, [str(day) for day in graph.days if str(day) in waiting])
    report.last = {day: result.as_json() for day, result in left.items()}
    report.notes += _bad_file_notes(workspace, graph) or _last_notes(report.last)
    report.notes += no_feed_note(graph.listing.feed.span, bool(graph.days or looked.done))
    report.empty_days = [str(day) for day in graph.empty]
    report.steps = {**dict.fromkeys(STATES, 0), HIT: sum(v.state == HIT for v in verdicts.values())}
    report.steps[HIT] += sum(cached_steps(stands.days, stands.read, verdicts)[0] for stands in known)
    done = len(looked.done) + sum(str(day) not in waiting for day in graph.days)
    report.days = {"total": len(report.range), "done": done, "empty": len(graph.empty), "failed": 0}
    report.rows = dict.fromkeys((*FEED_ROWS, "written"), 0)
    return report


def _obstacles(workspace: Workspace, plan: Sequence[Mapping]) -> list[Failure]:
    """The days that would fail because something else lies where their partition would be put or removed."""
    homes = {output.stage.partition: output.partitions for output in workspace.outputs.values()}
    found = ((row, homes[row["step"]].obstacle(row["day"])) for row in plan if row["step"] in homes)
    failures = [Failure(row["day"], row["step"], error.as_json()) for row, error in found if error]
    return sorted(failures, key=lambda one: one.day)


def _obstacle_notes(failures: Sequence[Failure]) -> list[str]:
    lines = []
    for one in failures[:4]:
        lines += [f"  in the way  {one.day}", *problem_lines(one.problem, " " * 12)]
    return [*lines, f"            {counted(len(failures), 'day')} would fail because of this"] if failures else []


def _last_notes(last: Mapping[str, Mapping]) -> list[str]:
    """What failed in the last run, and may again."""
    found = failure_lines(failures_of(last), last)
    return ["  in the last run:", *(f"  {line}" for line in found)] if found else []


def _bad_file_notes(workspace: Workspace, graph: Graph) -> list[str]:
    bad, failing = bad_files(graph.feed), days_that_fail(workspace.config, graph.feed, graph.days)
    lines: list[str] = []
    for day, error in bad[:4]:
        lines += [f"  bad file  {day}", *problem_lines(error.as_json(), " " * 12)]
    return [
        *lines,
        *[f"            {counted(len(failing), 'day')} would fail or be blocked because of this"] * bool(failing),
    ]


def _removal(stage: Stage, day: str, traces: Traces) -> dict:
    known = traces.latest(f"spine@{day}")
    files = [label for label in known.manifest if label.startswith("input:")] if known else []
    old = f"{known.counts.get('read', 0):,} rows in {counted(len(files), 'file')}" if known else "a partition"
    why = {"kind": "input", "what": "feed of the day", "old": old, "new": None}
    return {"day": day, "step": stage.partition, "state": REMOVE, "why": [why], "expected_seconds": 0.0}


def _expected(
    verdict: Verdict, verdicts: Mapping[str, Verdict], costs: Mapping[str, tuple[float, float]]
) -> float | None:
    above = [found.counts for name in verdict.action.upstream if (found := verdicts[name].trace)]
    return expected_seconds(verdict.trace, costs.get(kind_of(verdict.action.name)), above)
