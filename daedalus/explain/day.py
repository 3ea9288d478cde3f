"""`daeda explain day` and `explain step`: state, cost and root causes, from traces and manifests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from daedalus.base.days import ONE_DAY, Day, parse_range
from daedalus.base.errors import DaedalusError, bare, did_you_mean
from daedalus.base.terminal_text import column, counted, cut, fitted, wrapped
from daedalus.config.reach import Reach
from daedalus.config.steps import ORDER, PARTITIONS, SKELETON
from daedalus.explain.cause_lines import cause_lines
from daedalus.explain.failure_lines import refusal_lines, result_lines
from daedalus.inputs.listing import Listing
from daedalus.stagecache.action_name import day_of, days_of, kind_of, step_of
from daedalus.stagecache.walk.outcome import HIT, MAYBE, RUN, rows_out
from daedalus.workspace.day_results import last_refusal, last_results
from daedalus.workspace.day_summary import FUNNEL, feed_rows, left_out
from daedalus.workspace.fresh_days import QID_MAP, FreshDays, fresh_in_all
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    from daedalus.explain.causes import Causes
    from daedalus.shapes.common import Cause, Expected
    from daedalus.shapes.explained import ExplainedDay, ExplainedStep, FeedRows, RowsLeft, RowsOfDay, StepOfDay
    from daedalus.stagecache.records.traces import Trace
    from daedalus.stagecache.walk.plan import Verdict
    from daedalus.workspace.graph import Graph


def one_day(text: str, command: str) -> Day:
    """The day that a command's argument names. Raises DaedalusError for anything else."""
    try:
        span = parse_range(text, command)
    except DaedalusError as error:
        what = error.what.replace("a range that", "a day that")
        raise DaedalusError(what, where=command, found=text, expected="a day, YYYY-MM-DD") from None
    if len(span) != 1:
        raise DaedalusError("one day at a time", where=command, found=text, expected="YYYY-MM-DD")
    return span.first


def explain_day(settings: Settings, text: str) -> ExplainedDay:
    """State, cost and causes of each step of a day, root causes, and the funnel of its rows."""
    target = one_day(text, "daeda explain day")
    day = str(target)
    with opened(settings) as workspace:
        listing, run = workspace.listing(), settings.run(workspace.config)
        if not Reach.of(workspace.config).with_rows([target], listing.feed.days):
            return {"day": day, "last": None, "steps": [], "funnel": [], "causes": [], "feed": listing.feed.span}
        fresh = fresh_in_all(workspace, listing, [target])
        if fresh[SKELETON.name].days:
            whole = _with_tables(_fresh_day(workspace, day, run), listing)
            return {**whole, "expect": _checked(workspace, fresh)} if workspace.config.runtime.expect else whole
        from daedalus.compile.resolve import compiled_for
        from daedalus.explain.causes import Causes

        graph, verdicts = planned(workspace, target, listing)
        causes = Causes(verdicts, workspace.traces, graph, workspace.config)
        shown = [v for v in verdicts.values() if v.action.day in (day, None) or v.state != HIT]
        shown.sort(key=lambda v: (ORDER[v.action.step], v.action.name))
        result = last_results(workspace, [day]).get(day)
        found: ExplainedDay = {
            "day": day,
            "run": run,
            "compile": compiled_for(workspace, graph, workspace.stages[-1])["digest"],
            "refused": last_refusal(workspace),
            "last": result.as_json() if result else None,
            "steps": [_step(v, verdicts, causes, day) for v in shown],
            **_rows_of({name: verdict.trace for name, verdict in verdicts.items()}, day),
            "causes": causes.roots(),
        }
        return _with_tables(found, listing)


def _checked(workspace: Workspace, fresh: Mapping[str, FreshDays]) -> Expected | None:
    from daedalus.statistics.check import check_fresh

    return check_fresh(workspace, fresh, read=True)


def _with_tables(found: ExplainedDay, listing: Listing) -> ExplainedDay:
    """With the tables that are read, and their versions, if there are any."""
    return {**found, "tables": listing.versions} if listing.versions else found


def _fresh_day(workspace: Workspace, day: str, run: str) -> ExplainedDay:
    """What `explain_day` gives for a day whose inputs and files have not changed, from traces."""
    files = [file for output in workspace.outputs.values() for file in output.day_stamps.files([day, ""])]
    # A day's history is read by later days only.
    names = {file.name for file in files if file.name != QID_MAP and not file.name.startswith("history:")}
    traces = {name: workspace.traces.latest(name) for name in names}
    order = sorted(names, key=lambda name: (ORDER[step_of(name)], name))
    steps = []
    for name in order:
        if trace := traces[name]:
            rows_in = trace.counts.get("rows_in") or trace.counts.get("read")
            steps.append(_row(name, day, HIT, trace.key, rows_in, trace, []))
    return {"day": day, "run": run, "last": None, "steps": steps, **_rows_of(traces, day), "causes": []}


def planned(workspace: Workspace, day: Day, listing: Listing | None = None) -> tuple[Graph, dict[str, Verdict]]:
    """The graph of one day, and what a run now would do with each of its actions."""
    from daedalus.stagecache.walk.plan import make_plan
    from daedalus.workspace.graph import build_graph

    graph = build_graph(workspace, [day], reconcile=False, listing=listing)
    return graph, {v.action.name: v for v in make_plan(graph.actions, workspace.traces)}


def planned_step(workspace: Workspace, day: Day, step: str) -> tuple[Graph, dict[str, Verdict], Verdict]:
    """`planned` with a step of the day in it, and that step. Raises DaedalusError if there is no such step.

    What only later days read, as the day's history, is in the graph of the last day of the config's range
    that has rows; where its days are read at once, that is the step of all of them.
    """
    graph, verdicts = planned(workspace, day)
    own = {name.removesuffix(f"@{day}"): v for name, v in verdicts.items() if v.action.day in (str(day), None)}
    if found := own.get(step) or verdicts.get(step) or _beginning_with(step, own):
        return graph, verdicts, found
    config, listing = workspace.config, workspace.listing()
    if last := max(Reach.of(config).with_rows(config.range(None), listing.feed.days), default=None):
        later = planned(workspace, last, listing)
        if found := _of_days_with(day, step, later[1]):
            return *later, found
    raise DaedalusError("the day has no such step", where="daeda explain step", found=step,
                        expected="a step that `daeda explain day` names", hint=_close(step, sorted(own)))  # fmt: skip


def _of_days_with(day: Day, step: str, verdicts: Mapping[str, Verdict]) -> Verdict | None:
    """The step of the fewest days that has the day among its own."""
    found = {name: days_of(day_of(name)) for name in verdicts if kind_of(name) == step and day_of(name)}
    covering = {name: days for name, (first, days) in found.items() if first <= day < first + days * ONE_DAY}
    return verdicts[min(covering, key=lambda name: covering[name])] if covering else None


def _step(verdict: Verdict, verdicts: Mapping[str, Verdict], causes: Causes, day: str) -> StepOfDay:
    action, trace = verdict.action, verdict.trace
    above = [found for name in action.upstream if (found := verdicts[name].trace)]
    rows_in = sum(rows_out(found.counts) for found in above) if action.upstream else None
    if rows_in is None and trace:
        rows_in = trace.counts.get("read")
    why = causes.of(verdict) if verdict.state != HIT else []
    return _row(action.name, day, verdict.state, verdict.key, rows_in, trace, why)


def _row(
    name: str, day: str, state: str, key: str, rows_in: int | None, trace: Trace | None, why: list[Cause]
) -> StepOfDay:
    return {
        "step": name.removesuffix(f"@{day}"),
        "state": state,
        "key": key,
        "rows_in": rows_in,
        "rows_out": rows_out(trace.counts) if trace else None,
        "seconds": round(trace.seconds, 4) if trace else None,
        "bytes": trace.bytes if trace else None,
        "why": why,
    }


def _rows_of(traces: Mapping[str, Trace | None], day: str) -> RowsOfDay:
    """`feed_rows`, the counts of the feed partitions that may hold rows of the day; and the `funnel`."""
    spine = traces.get(f"spine@{day}")
    counts = feed_rows({day: spine.counts}) if spine else None
    return {"feed_rows": cast("FeedRows | None", counts), "funnel": _funnel(traces, day)}


def _funnel(traces: Mapping[str, Trace | None], day: str) -> list[RowsLeft]:
    """Rows of the target day that are left after each step that was ever computed."""
    rows: list[RowsLeft] = []
    for label, (step, count) in FUNNEL.items():
        trace = traces.get(f"{step}@{day}")
        if trace and count in trace.counts:
            rows.append({"step": label, "rows": trace.counts[count]})
    return rows


def explain_step(settings: Settings, text: str, step: str) -> ExplainedStep:
    """What a step of a day runs, as a script for DuckDB or as Python, with the files it reads."""
    target = one_day(text, "daeda explain step")
    with opened(settings) as workspace:
        graph, verdicts, verdict = planned_step(workspace, target, step)
        action = verdict.action
        unmade = [name for name in action.reads if verdicts[name].state != HIT]
        paths = {name: _path(workspace, verdicts[name]) for name in action.reads}
        found = [value for label, value in action.ingredients.items() if label.startswith("code:")]
        code = [text for value in found if (text := graph.texts.get(value) or workspace.traces.text(value))]
        files = [f"# reads {name}: {path}" for name, path in paths.items()]
        script = action.describe(paths) or "\n\n".join(["\n".join(files), *code] if files else code)
    name = action.name.removesuffix(f"@{target}")
    return {"day": str(target), "step": name, "state": verdict.state, "not_made_yet": unmade, "script": script}


def _path(workspace: Workspace, verdict: Verdict) -> Path:
    """Where an action's artifact is, or would be; that of a partition also where it is not on this machine."""
    action, trace = verdict.action, verdict.trace
    if action.step in PARTITIONS:
        homes = {output.stage.partition: output.root for output in workspace.outputs.values()}
        return Path(bare(homes[action.step])) / f"dt={action.day}"
    return action.shelf.path(action.name, trace.artifact if trace else "not-made-yet")


def _beginning_with(beginning: str, verdicts: Mapping[str, Verdict]) -> Verdict | None:
    """The one step whose name begins with a cut name; None when there is none, or several."""
    found = [verdict for name, verdict in verdicts.items() if name.startswith(beginning.rstrip("…"))]
    return found[0] if len(found) == 1 else None


def _close(step: str, known: Sequence[str]) -> str:
    several = [name for name in known if name.startswith(step.rstrip("…"))]
    return f"one of {', '.join(several[:5])}" if several else did_you_mean(step, known) or ", ".join(known[:8])


def step_lines(found: ExplainedStep) -> list[str]:
    lines = [f"-- {found['step']} of {found['day']}: {found['state']}"]
    lines += [f"-- reads {name}, which a run would compute first" for name in found["not_made_yet"][:5]]
    return [*lines, *found["script"].split("\n")]


def day_lines(found: Mapping) -> list[str]:
    """What `explain day` prints: what failed, root causes, then the steps, at most 80 columns."""
    if "feed" in found:
        return [f"{found['day']}: the feed has no rows of this day; it has {found['feed'][0]} to {found['feed'][1]}"]
    lines = refusal_lines(found.get("refused"))
    lines += result_lines(found["day"], found["last"], found["run"]) if found["last"] else []
    states = [step["state"] for step in found["steps"]]
    verdict = (
        f"{counted(states.count(RUN), 'step')} would run, {states.count(MAYBE)} may"
        if {RUN, MAYBE} & set(states)
        else "fresh"
    )
    lines.append(f"{found['day']}{' now' if lines else ''}: {verdict}")
    lines += [line for table in found.get("tables", []) for line in wrapped(table, "inputs  ")]
    lines += _expect_lines(found)
    for cause in found["causes"]:
        lines += cause_lines(cause)
    wide = column((step["step"] for step in found["steps"]), 44, 35)
    lines.append(f"{'step':<{wide}}{'state':<7}{'rows':>10}{'seconds':>9}{'KiB':>9}")
    said = ""  # of steps that follow the same the first says so
    for step in found["steps"]:
        rows = "" if step["rows_out"] is None else f"{step['rows_out']:,}"
        seconds = "" if step["seconds"] is None else f"{step['seconds']:.2f}"
        size = "" if step["bytes"] is None else f"{step['bytes'] / 1024:,.0f}"
        lines.append(f"{fitted(step['step'], wide)}{step['state']:<7}{rows:>10}{seconds:>9}{size:>9}")
        if step["state"] == MAYBE and (follows := _follows(step["why"])) != said:
            lines.append(follows)
            said = follows
    changed = {step["step"] for step in found["steps"] if step["state"] != HIT}
    stale = any(FUNNEL[row["step"]][0] in changed for row in found["funnel"])
    funnel = " > ".join(f"{row['step']} {row['rows']:,}" for row in found["funnel"])
    if not funnel:
        return [*lines, *([] if found["last"] else [f"never computed: {found['run']} --range {found['day']}"])]
    rows = found["feed_rows"]
    lines.append(f"feed rows: {rows['read']:,} read{left_out(rows)}")
    label = "rows left in the last run: " if stale else "rows left: "
    return [*lines, *wrapped(funnel, label, " " * 11)]


def _expect_lines(found: Mapping) -> list[str]:
    """What of the day is not as expected, with `expect`."""
    if not found.get("expect"):
        return []
    from daedalus.statistics.judge import break_sentence

    return [cut(f"not as expected: {break_sentence(row)}") for row in found["expect"]["breaks"]]


def _follows(why: Iterable[Mapping]) -> str:
    names = [cause["what"] for cause in why]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return cut(f"    because of {names[0] if names else 'nothing'}{more}")
