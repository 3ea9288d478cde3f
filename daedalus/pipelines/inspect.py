"""Looking without running: explain, cache status, verify, gc."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from daedalus.days import Day, parse_range
from daedalus.errors import DaedalusError
from daedalus.pipelines.report import RunReport
from daedalus.pipelines.workspace import Settings, Workspace, opened
from daedalus.skeleton.publish import Partitions
from daedalus.stagecache.plan import HIT, RUN, Verdict, make_plan

_FUNNEL = (("spine", "spine"), ("sessions", "target"), ("sessions", "rows"), ("content", "rows"), ("chunk", "written"))
_FUNNEL_NAMES = ("spine", "coverage", "sessions", "content", "chunk")


def explain_day(settings: Settings, day: str) -> dict:
    """State, cost and causes of each step of a day, and the funnel of its rows."""
    span = parse_range(day, "daeda explain day")
    if len(span) != 1:
        raise DaedalusError("one day at a time", where="daeda explain day", found=day, expected="YYYY-MM-DD")
    with opened(settings) as workspace:
        graph = workspace.graph([span.first], reconcile=False)
        verdicts = make_plan(graph.actions, workspace.traces)
    mine = [v for v in verdicts if v.action.day in (str(span.first), None) or v.state != HIT]
    by_name = {verdict.action.name: verdict for verdict in verdicts}
    return {
        "day": str(span.first),
        "steps": [_step(v, by_name, str(span.first)) for v in mine],
        "funnel": _funnel(by_name, str(span.first)),
    }


def _step(verdict: Verdict, by_name: dict[str, Verdict], day: str) -> dict:
    action, trace = verdict.action, verdict.trace
    above = [by_name[name].trace for name in action.upstream]
    return {
        "step": action.name.removesuffix(f"@{day}"),
        "state": verdict.state,
        "key": verdict.key,
        "rows_in": sum(_rows_out(found.counts) for found in above if found) if above else _read(trace),
        "rows_out": _rows_out(trace.counts) if trace else None,
        "seconds": round(trace.seconds, 4) if trace else None,
        "bytes": trace.bytes if trace else None,
        "why": [vars(cause) for cause in verdict.why],
    }


def _rows_out(counts: dict) -> int:
    return counts.get("rows", counts.get("written", 0))


def _read(trace: object) -> int | None:
    return getattr(trace, "counts", {}).get("read")


def _funnel(by_name: dict[str, Verdict], day: str) -> list[dict]:
    """Rows of the target day that are left after each step, as far as it was ever computed."""
    rows = []
    for (step, count), label in zip(_FUNNEL, _FUNNEL_NAMES, strict=True):
        verdict = by_name.get(f"{step}@{day}")
        if verdict and verdict.trace and count in verdict.trace.counts:
            rows.append({"step": label, "rows": verdict.trace.counts[count]})
    return rows


def explain_lines(found: dict) -> list[str]:
    lines = [f"{found['day']}", f"{'step':<44}{'state':<7}{'rows':>10}{'seconds':>9}{'KiB':>9}"]
    for step in found["steps"]:
        rows = "" if step["rows_out"] is None else f"{step['rows_out']:,}"
        seconds = "" if step["seconds"] is None else f"{step['seconds']:.2f}"
        size = "" if step["bytes"] is None else f"{step['bytes'] / 1024:,.0f}"
        lines.append(f"{step['step'][:43]:<44}{step['state']:<7}{rows:>10}{seconds:>9}{size:>9}")
        if step["state"] == RUN:
            lines += [f"    {_because(cause)}"[:80] for cause in step["why"]]
    funnel = " > ".join(f"{row['step']} {row['rows']:,}" for row in found["funnel"])
    return [*lines, f"rows left: {funnel}"] if funnel else [*lines, "never computed: daeda skeleton"]


def _because(cause: dict) -> str:
    if cause["kind"] == "missing":
        return cause["what"]
    return f"{cause['kind']} {cause['what']}: {cause['old']} -> {cause['new']}"


def plan_lines(report: RunReport) -> list[str]:
    """What would run, by step, with the causes that are no mere consequence."""
    plan = report.plan or []
    if not plan:
        return [f"{report.range}: nothing would run"]
    seconds = sum(row["expected_seconds"] or 0 for row in plan)
    counted = Counter((row["step"], row["state"]) for row in plan)
    lines = [
        f"{report.range}: {report.steps['run']} steps would run, {report.steps['maybe']} may; about {seconds:.0f} s"
    ]
    lines += [f"  {step[:52]:<54}{state:<6}{count:>6}" for (step, state), count in sorted(counted.items())]
    causes = Counter(_because(cause) for row in plan if row["state"] == RUN for cause in row["why"])
    lines += ["why:", *(f"  {count:>5} x {cause}"[:80] for cause, count in causes.most_common(10))]
    return lines


def cache_status(settings: Settings) -> dict:
    """Every day of the config's range: fresh, stale, missing or empty, and each step's state."""
    with opened(settings) as workspace:
        span = workspace.range(None)
        graph = workspace.graph(list(span), reconcile=False)
        verdicts = make_plan(graph.actions, workspace.traces)
        sizes = {artifact: path.stat().st_size for artifact, path in workspace.store.artifacts()}
        needed = _needed(verdicts)
        days = _day_states(verdicts, [str(d) for d in graph.days], [str(d) for d in graph.empty])
        return {
            "cache_root": str(workspace.cache_root),
            "artifacts": len(sizes),
            "bytes": sum(sizes.values()),
            "days": days,
            "reclaimable_bytes": sum(size for artifact, size in sizes.items() if artifact not in needed),
        }


def _day_states(verdicts: list[Verdict], days: Iterable[str], empty: Iterable[str]) -> list[dict]:
    by_name = {verdict.action.name: verdict for verdict in verdicts}
    fresh: dict[str, bool] = {}
    for verdict in verdicts:  # upstream stands first
        fresh[verdict.action.name] = verdict.state == HIT and all(fresh[name] for name in verdict.action.upstream)
    of_day: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        of_day[verdict.action.day or ""].append(verdict)
    found = [{"day": day, "state": "empty", "steps": {}} for day in empty]
    for day in days:
        chunk = by_name[f"chunk@{day}"]
        state = "fresh" if fresh[chunk.action.name] else "stale" if chunk.trace else "missing"
        if state == "fresh" and chunk.trace and chunk.trace.counts.get("empty"):
            state = "empty"
        steps = {v.action.name.partition("@")[0]: v.state for v in of_day[day]}
        found.append({"day": day, "state": state, "steps": steps})
    return sorted(found, key=lambda row: str(row["day"]))


def _needed(verdicts: Iterable[Verdict]) -> set[str]:
    """Artifacts that answer the plan, and the last ones of what would run again."""
    return {v.trace.artifact for v in verdicts if v.trace and not isinstance(v.action.shelf, Partitions)}


def status_lines(found: dict) -> list[str]:
    """A calendar: a line a month, a sign a day."""
    signs = {"fresh": "#", "stale": "~", "missing": ".", "empty": " "}
    months: dict[str, list[str]] = defaultdict(lambda: [" "] * 31)
    for row in found["days"]:
        months[row["day"][:7]][Day.fromisoformat(row["day"]).day - 1] = signs[row["state"]]
    tally = Counter(row["state"] for row in found["days"])
    lines = [f"{month}  {''.join(days)}" for month, days in months.items()]
    named = ", ".join(f"{signs[state]} {count} {state}" for state, count in tally.items() if state != "empty")
    return [
        *lines,
        f"{named}, {tally['empty']} empty",
        f"{found['artifacts']:,} artifacts, {found['bytes'] / 2**20:,.1f} MiB in {found['cache_root']}; "
        f"gc would free {found['reclaimable_bytes'] / 2**20:,.1f} MiB",
    ]


def cache_verify(settings: Settings) -> dict:
    """Reads every artifact; damaged ones are set aside, and the next run makes them again."""
    with opened(settings) as workspace:
        corrupt, checked = [], 0
        for artifact, path in workspace.store.artifacts():
            checked += 1
            if workspace.store.reread(path) != artifact:
                workspace.store.set_aside(artifact)
                corrupt.append(str(path))
    return {"checked": checked, "corrupt": corrupt, "repaired": len(corrupt)}


def verify_lines(found: dict) -> list[str]:
    lines = [f"{found['checked']:,} artifacts read, {len(found['corrupt'])} damaged"]
    lines += [f"  set aside: {path}" for path in found["corrupt"]]
    return [*lines, "the next run makes them again: daeda skeleton"] if found["corrupt"] else lines


def cache_gc(settings: Settings) -> dict:
    """Removes artifacts, and their traces, that no step of the config's range has as its answer."""
    with opened(settings) as workspace:
        graph = workspace.graph(list(workspace.range(None)), reconcile=False)
        needed = _needed(make_plan(graph.actions, workspace.traces))
        freed = kept = removed = 0
        for artifact, path in workspace.store.artifacts():
            if artifact in needed:
                kept += 1
                continue
            freed += path.stat().st_size
            removed += 1
            path.unlink()
        _drop_traces(workspace, needed)
    return {"freed_bytes": freed, "kept": kept, "removed": removed}


def _drop_traces(workspace: Workspace, needed: set[str]) -> None:
    """Traces of what is gone. Those of partitions and of what is kept stay."""
    gone = [t.key for t in workspace.traces.all() if not t.name.startswith("chunk@") and t.artifact not in needed]
    workspace.traces.drop(gone)


def gc_lines(found: dict) -> list[str]:
    return [
        f"freed {found['freed_bytes'] / 2**20:,.1f} MiB: {found['removed']} artifacts removed, {found['kept']} kept"
    ]
