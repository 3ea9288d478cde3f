"""`daeda skeleton --plan`: what would run, why, and what it is expected to cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from daedalus.pipelines.explain import Causes, cause_lines
from daedalus.pipelines.report import RunReport, spared_steps
from daedalus.pipelines.unchanged import Stands
from daedalus.pipelines.workspace import Graph
from daedalus.stagecache.level import Level
from daedalus.stagecache.outcome import STATES, rows_out
from daedalus.stagecache.plan import HIT, MAYBE, RUN, Verdict, make_plan
from daedalus.stagecache.trace import Traces


def plan_report(
    report: RunReport, graph: Graph, traces: Traces, stands: Stands, force: bool, level: Level | None = None
) -> RunReport:
    """Fills a report with the plan of a graph; nothing runs. `stands` are days that are not in it."""
    verdicts = {v.action.name: v for v in make_plan(graph.actions, traces, force, level)}
    causes, costs = Causes(verdicts, traces, graph), traces.costs()
    report.plan = [
        {
            "day": verdict.action.day,
            "step": verdict.action.name.partition("@")[0],
            "state": verdict.state,
            "why": causes.of(verdict),
            "expected_seconds": expected_seconds(verdict, verdicts, costs),
        }
        for verdict in verdicts.values()
        if verdict.state != HIT
    ]
    report.causes = causes.roots()
    report.empty_days = [str(day) for day in graph.empty]
    waiting = {v.action.day for v in verdicts.values() if v.state != HIT}
    report.steps = {**dict.fromkeys(STATES, 0), HIT: sum(v.state == HIT for v in verdicts.values())}
    report.steps[HIT] += spared_steps(stands.days, stands.read, verdicts)[0]
    done = len(stands.days) + sum(str(day) not in waiting for day in graph.days)
    report.days = {"total": len(report.range), "done": done, "empty": len(graph.empty), "failed": 0}
    report.rows = dict.fromkeys(("read", "null_keys", "duplicates", "strays", "written"), 0)
    return report


def expected_seconds(
    verdict: Verdict, verdicts: Mapping[str, Verdict], costs: Mapping[str, tuple[float, float]]
) -> float | None:
    """What the action cost last, or its kind on other days, scaled by the rows it will read now.

    None when nothing of its kind ever ran.
    """
    rows_then: float
    if trace := verdict.trace:
        seconds, rows_then = trace.seconds, trace.counts.get("rows_in", 0)
    elif known := costs.get(verdict.action.name.partition("@")[0]):
        seconds, rows_then = known
    else:
        return None
    above = [found for name in verdict.action.upstream if (found := verdicts[name].trace)]
    rows_now = sum(rows_out(found.counts) for found in above)
    scale = rows_now / rows_then if rows_now and rows_then else 1.0
    return round(seconds * scale, 4)


def plan_lines(report: RunReport) -> list[str]:
    """What would run, by step, after the causes that are no mere consequence."""
    plan = report.plan or []
    if not plan:
        return [f"{report.range}: nothing would run"]
    run, maybe = (sum(row["state"] == state for row in plan) for state in (RUN, MAYBE))
    lines = [f"{report.range}: {run:,} step-days would run, {maybe:,} may; {_cost(plan)}"]
    for cause in report.causes[:8]:
        lines += cause_lines(cause)
    if len(report.causes) > 8:
        lines.append(f"  and {len(report.causes) - 8} more causes")
    counted = Counter((row["step"], row["state"]) for row in plan)
    lines.append(f"{'step':<46}{'state':<8}{'days':>6}{'seconds':>10}")
    for (step, state), count in sorted(counted.items()):
        seconds = sum(row["expected_seconds"] or 0 for row in plan if (row["step"], row["state"]) == (step, state))
        lines.append(f"{step[:45]:<46}{state:<8}{count:>6}{seconds:>10.1f}")
    return lines


def _cost(plan: Sequence[Mapping]) -> str:
    known = [row["expected_seconds"] for row in plan if row["expected_seconds"] is not None]
    if not known:
        return "cost unknown: nothing like it ran here before"
    sure = sum(row["expected_seconds"] or 0 for row in plan if row["state"] == RUN)
    return f"{sure:.0f} to {sum(known):.0f} s expected"
