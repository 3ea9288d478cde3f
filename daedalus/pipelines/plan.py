"""`daeda skeleton --plan`: what would run, why, and what it is expected to cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from daedalus.base.terminal_text import column, counted, cut, fitted, wrapped
from daedalus.config.steps import PARTITION
from daedalus.explain.cause_lines import cause_lines
from daedalus.explain.causes import Causes
from daedalus.explain.failure_lines import problem_lines
from daedalus.pipelines.look import Looked
from daedalus.pipelines.run import all_fresh
from daedalus.pipelines.run_report import RunReport, cached_steps, no_feed_note
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.forecast import expected_seconds
from daedalus.stagecache.walk.outcome import STATES
from daedalus.stagecache.walk.plan import HIT, MAYBE, RUN, Verdict, make_plan
from daedalus.workspace.bad_files import bad_files, days_that_fail
from daedalus.workspace.day_summary import FEED_ROWS
from daedalus.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daedalus.workspace.graph import Graph

REMOVE = "remove"  # a partition whose day has no feed rows any more


def plan_run(workspace: Workspace, looked: Looked) -> RunReport:
    """What a run would do of what was looked at; nothing runs. Raises DaedalusError for what a run refuses."""
    if looked.nothing_to_do(workspace):
        return replace(all_fresh(looked), plan=[])
    from daedalus.workspace.graph import build_graph

    skipped, listing = looked.skipped, looked.listing
    graph = build_graph(workspace, list(looked.span), reconcile=False, skip=skipped, listing=listing)
    if workspace.shared:
        workspace.shared.prepare(action.day for action in graph.actions)
    gone = [str(day) for day in graph.empty if workspace.partitions.holds(str(day))]
    return _plan_report(workspace, looked, graph, gone)


def _plan_report(workspace: Workspace, looked: Looked, graph: Graph, gone: Sequence[str]) -> RunReport:
    """The report of a graph of which nothing ran; the days in `gone` lose their partitions."""
    report, known = RunReport(looked.span), looked.with_resumed(workspace)
    traces = workspace.traces
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
    report.plan += [_removal(day, traces) for day in gone]
    report.causes = causes.roots()
    report.input_notes = graph.notes
    report.notes = [line for note in report.input_notes for line in wrapped(note, "  inputs    ")]
    report.notes += _bad_file_notes(workspace, graph)
    report.notes += no_feed_note(graph.listing.feed.span, bool(graph.days or known.days))
    report.empty_days = [str(day) for day in graph.empty]
    waiting = {v.action.day for v in verdicts.values() if v.state != HIT}
    report.steps = {**dict.fromkeys(STATES, 0), HIT: sum(v.state == HIT for v in verdicts.values())}
    report.steps[HIT] += cached_steps(known.days, known.read, verdicts)[0]
    done = len(known.days) + sum(str(day) not in waiting for day in graph.days)
    report.days = {"total": len(report.range), "done": done, "empty": len(graph.empty), "failed": 0}
    report.rows = dict.fromkeys((*FEED_ROWS, "written"), 0)
    return report


def _bad_file_notes(workspace: Workspace, graph: Graph) -> list[str]:
    bad, failing = bad_files(graph.feed), days_that_fail(workspace.config, graph.feed, graph.days)
    lines = []
    for day, error in bad[:4]:
        lines += [f"  bad file  {day}", *problem_lines(error.as_json(), " " * 12)]
    need = "needs" if len(failing) == 1 else "need"
    return (
        [*lines, f"            {counted(len(failing), 'day')} {need} it: they fail or are blocked"]
        if failing
        else lines
    )


def _removal(day: str, traces: Traces) -> dict:
    known = traces.latest(f"spine@{day}")
    files = [label for label in known.manifest if label.startswith("input:")] if known else []
    old = f"{known.counts.get('read', 0):,} rows in {counted(len(files), 'file')}" if known else "a partition"
    why = {"kind": "input", "what": "feed of the day", "old": old, "new": None}
    return {"day": day, "step": PARTITION, "state": REMOVE, "why": [why], "expected_seconds": 0.0}


def _expected(
    verdict: Verdict, verdicts: Mapping[str, Verdict], costs: Mapping[str, tuple[float, float]]
) -> float | None:
    above = [found.counts for name in verdict.action.upstream if (found := verdicts[name].trace)]
    return expected_seconds(verdict.trace, costs.get(kind_of(verdict.action.name)), above)


def plan_lines(report: RunReport) -> list[str]:
    """What would run, by step, after the causes that are no mere consequence."""
    plan = report.plan or []
    if not plan:
        return [f"{report.range}: nothing would run", *report.notes]
    run, maybe, gone = ([row for row in plan if row["state"] == state] for state in (RUN, MAYBE, REMOVE))
    lines = [f"{report.range}: {_how_many(len(run), len(maybe))}; {_cost(plan)}"]
    lines += report.notes
    lines += [cut(f"  dt={row['day']} would be removed: its day has no feed rows any more ({row['why'][0]['old']})")
              for row in gone[:8]]  # fmt: skip
    lines += [f"  and {len(gone) - 8} more would be removed"] if len(gone) > 8 else []
    for cause in report.causes[:8]:
        lines += cause_lines(cause)
    if len(report.causes) > 8:
        lines.append(f"  and {counted(len(report.causes) - 8, 'more cause')}")
    tally = Counter((row["step"], row["state"]) for row in plan)
    wide = column((row["step"] for row in plan), 46, 24)
    lines.append(f"{'step':<{wide}}{'state':<8}{'days':>6}{'seconds':>10}")
    for (step, state), count in sorted(tally.items()):
        known = [row["expected_seconds"] for row in plan if (row["step"], row["state"]) == (step, state)]
        seconds = "" if None in known else f"{sum(known):.1f}"
        lines.append(f"{fitted(step, wide)}{state:<8}{count:>6}{seconds:>10}".rstrip())
    return lines


def _how_many(run: int, maybe: int) -> str:
    return f"{counted(run, 'step-day')} would run, {maybe:,} may"


def _cost(plan: Sequence[Mapping]) -> str:
    known = [row["expected_seconds"] for row in plan if row["expected_seconds"] is not None]
    if not known:
        return "cost unknown: nothing like it ran here before"
    sure = sum(row["expected_seconds"] or 0 for row in plan if row["state"] == RUN)
    return (
        f"{sure:.1f} to {sum(known):.1f} s expected"
        if sum(known) < 10
        else f"{sure:.0f} to {sum(known):.0f} s expected"
    )
