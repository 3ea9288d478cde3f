"""`daeda explain day` and `explain step`: state, cost and root causes, out of the manifests that made the keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from daedalus.days import Day, parse_range
from daedalus.errors import DaedalusError, did_you_mean
from daedalus.pipelines.unchanged import QID_MAP, days_that_stand
from daedalus.pipelines.workspace import Graph, Settings, Workspace, code_version, opened
from daedalus.skeleton.inputs import Listing
from daedalus.skeleton.steps import STEPS
from daedalus.stagecache.action import Cause
from daedalus.stagecache.outcome import rows_out
from daedalus.stagecache.plan import HIT, MAYBE, RUN, Verdict, make_plan
from daedalus.stagecache.trace import Trace, Traces

FUNNEL = {
    "spine": ("spine", "spine"),
    "coverage": ("sessions", "target"),
    "sessions": ("sessions", "rows"),
    "content": ("content", "rows"),
    "chunk": ("chunk", "written"),
}  # label -> (step, count)
_DIFF_LINES = 12


def one_day(text: str, command: str) -> Day:
    span = parse_range(text, command)
    if len(span) != 1:
        raise DaedalusError("one day at a time", where=command, found=text, expected="YYYY-MM-DD")
    return span.first


def explain_day(settings: Settings, text: str) -> dict:
    """State, cost and causes of each step of a day, root causes, and the funnel of its rows."""
    target = one_day(text, "daeda explain day")
    day = str(target)
    with opened(settings) as workspace:
        listing = workspace.listing()
        if days_that_stand(workspace, listing, [target]).days:
            return _standing_day(workspace, day)
        graph, verdicts = planned(workspace, target, listing)
        causes = Causes(verdicts, workspace.traces, graph)
        shown = [v for v in verdicts.values() if v.action.day in (day, None) or v.state != HIT]
        return {
            "day": day,
            "steps": [_step(v, verdicts, causes, day) for v in shown],
            "funnel": _funnel({name: verdict.trace for name, verdict in verdicts.items()}, day),
            "causes": causes.roots(),
        }


def _standing_day(workspace: Workspace, day: str) -> dict:
    """A day that nobody touched, out of the traces of its steps."""
    files = workspace.standing.files([day, ""])
    # A day's history is for days that come later.
    names = {file.name for file in files if file.name != QID_MAP and not file.name.startswith("history:")}
    traces = {name: workspace.traces.latest(name) for name in names}
    order = sorted(names, key=lambda name: (STEPS.index(name.partition("@")[0].partition(":")[0]), name))
    steps = []
    for name in order:
        if trace := traces[name]:
            rows_in = trace.counts.get("rows_in") or trace.counts.get("read")
            steps.append(_row(name, day, HIT, trace.key, rows_in, trace, []))
    return {"day": day, "steps": steps, "funnel": _funnel(traces, day), "causes": []}


def planned(workspace: Workspace, day: Day, listing: Listing | None = None) -> tuple[Graph, dict[str, Verdict]]:
    """The graph of one day, and what a run now would do with each of its actions."""
    graph = workspace.graph([day], reconcile=False, listing=listing)
    return graph, {v.action.name: v for v in make_plan(graph.actions, workspace.traces)}


class Causes:
    """Why actions would run: what changed itself, apart from what only follows."""

    def __init__(self, verdicts: Mapping[str, Verdict], traces: Traces, graph: Graph) -> None:
        self._verdicts, self._traces, self._graph = verdicts, traces, graph
        self._running: dict[str, list[str]] = {}  # action -> those above it that run for a cause of their own

    def of(self, verdict: Verdict) -> list[dict]:
        """The causes of one action; of one that may run, the actions that it would run because of."""
        if verdict.state == MAYBE:
            return [vars(Cause("upstream", name, None, RUN)) for name in self._above(verdict.action.name)]
        causes = list(verdict.why)
        if self._rendered_by_the_same_code(verdict, causes):
            causes = [cause for cause in causes if cause.kind != "code"]
        return [self._readable(cause) for cause in causes]

    def roots(self) -> list[dict]:
        """Each cause that is no mere consequence, once, with the steps that it touches."""
        found: dict[str, dict] = {}
        for verdict in self._verdicts.values():
            if verdict.state == RUN:
                for cause in self.of(verdict):
                    row = found.setdefault(json.dumps(cause, sort_keys=True), {**cause, "steps": []})
                    row["steps"].append(verdict.action.name)
        return list(found.values())

    def _above(self, name: str) -> list[str]:
        if name not in self._running:
            names: dict[str, None] = {}
            for above in self._verdicts[name].action.upstream:
                state = self._verdicts[above].state
                if state == RUN:
                    names[above] = None
                elif state == MAYBE:
                    names.update(dict.fromkeys(self._above(above)))
            self._running[name] = list(names)
        return self._running[name]

    def _rendered_by_the_same_code(self, verdict: Verdict, causes: list[Cause]) -> bool:
        """Whether a statement differs only because a config value or an input's schema in it does."""
        elsewhere = any(cause.kind in ("config", "input") for cause in causes)
        statement = any(cause.kind == "code" for cause in causes)
        previous = verdict.trace
        return elsewhere and statement and previous is not None and previous.code == code_version(self._traces)

    def _readable(self, cause: Cause) -> dict:
        row = vars(cause).copy()
        if cause.kind == "input":
            row["old"], row["new"] = self._file(cause.old), self._file(cause.new)
        if cause.kind == "code":
            row["diff"] = self._diff(cause)
        return row

    def _file(self, content: str | None) -> str | None:
        known = self._traces.fact(f"file:{content}") if content else None
        if not isinstance(known, dict):
            return content
        return f"{known['rows']:,} rows, {known['bytes']:,} bytes ({content[:8] if content else ''})"

    def _diff(self, cause: Cause) -> list[str]:
        """The changed lines of a statement or function, words a line so that long statements show little."""
        old = self._traces.fact(f"text:{cause.old}") if cause.old else ""
        new = self._graph.texts.get(cause.new or "", "")
        if not isinstance(old, str) or not new:
            return []
        import difflib

        lines = difflib.unified_diff(_pieces(old), _pieces(new), lineterm="", n=1)
        return [line for line in lines if not line.startswith(("---", "+++", "@@"))][:_DIFF_LINES]


def _pieces(text: str) -> list[str]:
    """A statement broken after commas and before keywords; other code by its lines."""
    if "\n" in text and not text.startswith("SELECT"):
        return text.splitlines()
    for word in ("FROM ", "WHERE ", "LEFT JOIN ", "JOIN ", "GROUP BY ", "ORDER BY ", "AND "):
        text = text.replace(f" {word}", f"\n{word}")
    return text.replace(", ", ",\n").splitlines()


def _step(verdict: Verdict, verdicts: Mapping[str, Verdict], causes: Causes, day: str) -> dict:
    action, trace = verdict.action, verdict.trace
    above = [found for name in action.upstream if (found := verdicts[name].trace)]
    rows_in = sum(rows_out(found.counts) for found in above) if action.upstream else None
    if rows_in is None and trace:
        rows_in = trace.counts.get("read")
    why = causes.of(verdict) if verdict.state != HIT else []
    return _row(action.name, day, verdict.state, verdict.key, rows_in, trace, why)


def _row(name: str, day: str, state: str, key: str, rows_in: int | None, trace: Trace | None, why: list[dict]) -> dict:
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


def _funnel(traces: Mapping[str, Trace | None], day: str) -> list[dict]:
    """Rows of the target day that are left after each step, as far as it was ever computed."""
    rows = []
    for label, (step, count) in FUNNEL.items():
        trace = traces.get(f"{step}@{day}")
        if trace and count in trace.counts:
            rows.append({"step": label, "rows": trace.counts[count]})
    return rows


def explain_step(settings: Settings, text: str, step: str) -> dict:
    """What a step of a day runs, as a script for DuckDB or as Python, with the files it reads."""
    target = one_day(text, "daeda explain step")
    with opened(settings) as workspace:
        graph, verdicts = planned(workspace, target)
        verdict = verdicts.get(f"{step}@{target}") or verdicts.get(step)
        if verdict is None:
            known = sorted(
                {name.removesuffix(f"@{target}") for name in verdicts if f"@{target}" in name or "@" not in name}
            )
            raise DaedalusError(
                "the day has no such step", where="daeda explain step", found=step, expected=", ".join(known),
                hint=did_you_mean(step, known),
            )  # fmt: skip
        action = verdict.action
        unmade = [name for name in action.upstream if verdicts[name].state != HIT]
        shelves = {name: verdicts[name].action.shelf for name in action.upstream}
        paths = {
            name: shelves[name].path(name, trace.artifact if (trace := verdicts[name].trace) else "not-made-yet")
            for name in action.upstream
        }
        code = [
            graph.texts[v] for label, v in action.ingredients.items() if label.startswith("code:") and v in graph.texts
        ]
        script = action.describe(paths) or "\n\n".join(code)
    return {"day": str(target), "step": step, "state": verdict.state, "not_made_yet": unmade, "script": script}


def step_lines(found: dict) -> list[str]:
    lines = [f"-- {found['step']} of {found['day']}: {found['state']}"]
    lines += [f"-- reads {name}, which a run would make first" for name in found["not_made_yet"][:5]]
    return [*lines, found["script"]]


def day_lines(found: dict) -> list[str]:
    """What `explain day` prints: root causes first, then the steps, at most 80 columns."""
    states = [step["state"] for step in found["steps"]]
    verdict = (
        f"{states.count(RUN)} steps would run, {states.count(MAYBE)} may" if {RUN, MAYBE} & set(states) else "fresh"
    )
    lines = [f"{found['day']}: {verdict}"]
    for cause in found["causes"]:
        lines += cause_lines(cause)
    lines.append(f"{'step':<44}{'state':<7}{'rows':>10}{'seconds':>9}{'KiB':>9}")
    for step in found["steps"]:
        rows = "" if step["rows_out"] is None else f"{step['rows_out']:,}"
        seconds = "" if step["seconds"] is None else f"{step['seconds']:.2f}"
        size = "" if step["bytes"] is None else f"{step['bytes'] / 1024:,.0f}"
        lines.append(f"{step['step'][:43]:<44}{step['state']:<7}{rows:>10}{seconds:>9}{size:>9}")
        if step["state"] == MAYBE:
            lines.append(_follows(step["why"]))
    funnel = " > ".join(f"{row['step']} {row['rows']:,}" for row in found["funnel"])
    return [*lines, f"rows left: {funnel}" if funnel else "never computed: daeda skeleton"]


def cause_lines(cause: Mapping) -> list[str]:
    """A root cause with old and new, and the steps that it touches."""
    steps = cause["steps"]
    touched = steps[0] + (f" and {len(steps) - 1} more" if len(steps) > 1 else "")
    head = f"  {cause['what']}" if cause["kind"] == "missing" else f"  {cause['kind']} {cause['what']}"
    lines = [f"{head} ({touched})"[:80]]
    if cause["kind"] == "code" and cause.get("diff"):
        lines += [f"      {line}"[:80] for line in cause["diff"]]
    elif cause["kind"] != "missing":
        lines += [f"    - {cause['old'] or 'nothing'}"[:80], f"    + {cause['new'] or 'nothing'}"[:80]]
    return lines


def _follows(why: Iterable[Mapping]) -> str:
    names = [cause["what"] for cause in why]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"    because of {names[0] if names else 'nothing'}{more}"[:80]
