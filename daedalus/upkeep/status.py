"""`daeda cache status`: which days of the range are fresh, and what the cache holds."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from daedalus.base.days import Day
from daedalus.base.errors import bare
from daedalus.base.terminal_text import wrapped
from daedalus.config.reach import Reach
from daedalus.config.steps import ORDER, PARTITIONS, SKELETON, Stage
from daedalus.stagecache.action_name import kind_of, step_of
from daedalus.stagecache.walk.outcome import HIT, MAYBE, RUN
from daedalus.workspace.day_results import last_refusal, last_results
from daedalus.workspace.fresh_days import QID_MAP, FreshDays, fresh_in_all, skeleton_alone
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import StageOutput, Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.upkeep import DayState, SharedState, Status, StepState
    from daedalus.sharing.shared_cache import SharedCache
    from daedalus.stagecache.action import Cause
    from daedalus.stagecache.walk.plan import Verdict

_SIGNS = {"failed": "x", "blocked": "!", "fresh": "#", "stale": "~", "missing": ".", "unfinished": "/", "empty": " "}


def cache_status(settings: Settings, range: str | None = None) -> Status:
    """Every day of a range, or of the config's: fresh, stale, missing or empty, and each step's state.

    `last` is what the last run left of a day that it did not finish: failed, blocked or unfinished, and why.
    `reclaimable_bytes` are those that `gc` would free, whatever the range.
    """
    with opened(settings) as workspace:
        span, listing = list(workspace.config.range(range)), workspace.listing()
        present = Reach.of(workspace.config).with_rows(span, listing.feed.days)
        stands = fresh_in_all(workspace, listing, present)
        fresh, alone = stands[SKELETON.name], None
        verdicts: list[Verdict] = []
        if len(fresh.days) < len(present):
            from daedalus.stagecache.walk.plan import make_plan
            from daedalus.workspace.graph import after_skeleton, build_graph

            alone = skeleton_alone(workspace, listing, present, workspace.traces.latest_costs())
            skip = frozenset(Day.fromisoformat(day) for day in fresh.days)
            days_planned = present[-1:] if alone else span
            graph = build_graph(workspace, days_planned, reconcile=False, skip=skip, listing=listing)
            verdicts = make_plan(graph.actions, workspace.traces)
            verdicts = after_skeleton(verdicts, present) if alone else verdicts
        known_days = {**stands, SKELETON.name: alone} if alone else stands
        stamps = [row for name, output in workspace.outputs.items() for row in _known(output, known_days[name])]
        # Sizes by digest, if the artifact is on this machine; keys from partition paths match no artifact.
        known = {path[-40:-8]: size for _, _, path, size, *_ in stamps if size >= 0}
        sizes = workspace.store.sizes(known)
        whole = range is None or span == list(workspace.config.range(None))
        in_use = needed(verdicts) | last_complete(workspace) | known.keys() if whole else in_use_by_config(workspace)
        planned = [str(day) for day in present if str(day) not in fresh.days]
        steps = {row["day"]: row["steps"] for row in (_fresh_day_rows(alone, stamps) if alone else ())}
        days = _day_states(verdicts, planned, workspace.stages[-1])
        days = [{**row, "steps": {**steps.get(row["day"], {}), **row["steps"]}} for row in days]
        days += _fresh_day_rows(fresh, stamps)
        days += [{"day": str(day), "state": "empty", "steps": {}} for day in set(span) - set(present)]
        last = last_results(workspace, [row["day"] for row in days if row["state"] in ("stale", "missing")])
        days = [{**row, "last": last[row["day"]].as_json() if row["day"] in last else None} for row in days]
        found: Status = {
            "cache_root": str(workspace.cache_root),
            "run": settings.run(workspace.config),
            "refused": last_refusal(workspace),
            "artifacts": len(sizes),
            "bytes": sum(sizes.values()),
            "days": cast("list[DayState]", sorted(days, key=lambda row: row["day"])),
            "reclaimable_bytes": sum(size for artifact, size in sizes.items() if artifact not in in_use),
            "steps": cast("dict[str, StepState]", _by_step(verdicts, stamps)),
        }
        if workspace.config.runtime.expect:
            from daedalus.statistics.check import check_fresh

            found["expect"] = check_fresh(workspace, stands, read=False)
        if listing.versions:
            found["tables"] = listing.versions
        if workspace.shared is not None:
            found["shared"] = _shared_state(workspace.shared)
        return found


def _known(output: StageOutput, stands: FreshDays) -> list[tuple]:
    """The stamps of what the fresh days left or read."""
    known = stands.days.keys() | stands.read.keys()
    return [row for row in output.day_stamps.rows if row[1] in known and row[0] != QID_MAP]


def _shared_state(shared: SharedCache) -> SharedState:
    """Whether the shared cache can be reached."""
    from daedalus.sharing.open import reachable

    return {"uri": bare(shared.remote.uri), "reachable": reachable(shared)}


def _fresh_day_rows(fresh: FreshDays, stamps: Iterable[tuple]) -> list[dict]:
    """Rows of days whose inputs and files have not changed; `stamps` are `DayStamps.rows`."""
    steps: dict[str, dict[str, str]] = {day: {} for day in fresh.days}
    for name, day, *_ in stamps:
        if day in steps:
            steps[day][kind_of(name)] = HIT
    state = {day: "empty" if summary["empty"] else "fresh" for day, summary in fresh.days.items()}
    return [{"day": day, "state": state[day], "steps": steps[day]} for day in fresh.days]


def _day_states(verdicts: list[Verdict], days: Iterable[str], last: Stage) -> list[dict]:
    """Rows of planned days; a day is fresh if its partition in the last stage and all that is upstream are hits."""
    by_name = {verdict.action.name: verdict for verdict in verdicts}
    fresh: dict[str, bool] = {}
    for verdict in verdicts:  # upstream comes first
        fresh[verdict.action.name] = verdict.state == HIT and all(fresh[name] for name in verdict.action.upstream)
    of_day: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        of_day[verdict.action.day or ""].append(verdict)
    found: list[dict] = []
    for day in days:
        partition = by_name[f"{last.partition}@{day}"]
        state = "fresh" if fresh[partition.action.name] else "stale" if partition.trace else "missing"
        if state == "fresh" and partition.trace and partition.trace.counts.get("empty"):
            state = "empty"
        found.append({"day": day, "state": state, "steps": {_kind(v): v.state for v in of_day[day]}})
    return found


def _kind(verdict: Verdict) -> str:
    return kind_of(verdict.action.name)


def _by_step(verdicts: Iterable[Verdict], stamps: Iterable[tuple]) -> dict[str, dict]:
    """For each step, in order: bytes, counts by state, and the most frequent kind of cause."""
    found: dict[str, dict] = {}
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        row = found.setdefault(verdict.action.step, {"bytes": 0, HIT: 0, RUN: 0, MAYBE: 0, "why": ""})
        row[verdict.state] += 1
        row["bytes"] += verdict.trace.bytes if verdict.trace else 0
        if verdict.state == RUN:
            causes[verdict.action.step].update(_root_kinds(verdict.why))
        elif verdict.state == MAYBE:
            causes[verdict.action.step]["upstream"] += 0
    planned, seen = {verdict.action.name for verdict in verdicts}, set[str]()
    by_part: dict[str, dict] = {}  # the row of `rolling` for each aggregation, and so on
    for name, _, path, size, *_ in stamps:
        if name in planned:  # what no day has, and days before the range: planned and fresh days both need it
            continue
        part = kind_of(name)
        if part not in by_part:
            empty = {"bytes": 0, HIT: 0, RUN: 0, MAYBE: 0, "why": ""}
            by_part[part] = found.setdefault(step_of(part), empty)
        row = by_part[part]
        if size > 0 and not os.path.basename(path).startswith("dt="):  # no folder of a partition
            row["bytes"] += size
        row[HIT] += name not in seen
        seen.add(name)
    for step, kinds in causes.items():
        found[step]["why"] = kinds.most_common(1)[0][0]
    return dict(sorted(found.items(), key=lambda item: ORDER[item[0]]))


def _root_kinds(why: Iterable[Cause]) -> list[str]:
    """Kinds of causes; without `code` where a config value or an input changed the statement."""
    kinds = {cause.kind for cause in why}
    return sorted(kinds - {"code"} if kinds & {"config", "input"} else kinds)


def needed(verdicts: Iterable[Verdict]) -> set[str]:
    """Artifacts that a plan uses, and the last ones of actions that would run."""
    return {v.trace.artifact for v in verdicts if v.trace and v.action.step not in PARTITIONS}


def in_use_by_config(workspace: Workspace) -> set[str]:
    """Artifacts that the config's range or the last complete run needs."""
    from daedalus.stagecache.walk.plan import make_plan
    from daedalus.workspace.graph import build_graph

    graph = build_graph(workspace, list(workspace.config.range(None)), reconcile=False)
    return needed(make_plan(graph.actions, workspace.traces)) | last_complete(workspace)


def last_complete(workspace: Workspace) -> set[str]:
    """Artifacts of the last complete run."""
    known = workspace.traces.fact("last complete run")
    return set(known) if isinstance(known, list) else set()


def status_lines(found: Mapping, options: str = "", span: str = "") -> list[str]:
    """Days by month, a sign per day; then steps with their bytes, states and commonest cause.

    `options` are `Settings.options`, `span` is the range asked for, if one was.
    """
    months: dict[str, list[str]] = defaultdict(lambda: [" "] * 31)
    for row in found["days"]:
        months[row["day"][:7]][Day.fromisoformat(row["day"]).day - 1] = _SIGNS[_shown(row)]
    tally = Counter(map(_shown, found["days"]))
    named = [f"{sign} {tally[state]:,} {state}".strip() for state, sign in _SIGNS.items() if tally[state]]
    lines = [f"{month}  {''.join(days)}" for month, days in months.items()]
    lines += [", ".join(named), *_refusal_lines(found["refused"]), *_last_lines(found, options, span)]
    lines += [*_expect_lines(found), ""]
    lines += grid_lines(found) if any(row["state"] == "stale" for row in found["days"]) else []
    lines.append(f"{'step':<20}{'MiB':>9}{'fresh':>8}{'run':>7}{'maybe':>7}  why")
    for step, row in found["steps"].items():
        size = f"{row['bytes'] / 2**20:,.1f}"
        lines.append(f"{step:<20}{size:>9}{row[HIT]:>8}{row[RUN]:>7}{row[MAYBE]:>7}  {row['why']}")
    size, free = found["bytes"] / 2**20, found["reclaimable_bytes"] / 2**20
    if shared := found.get("shared"):
        lines.append(f"shared cache {shared['uri']}: {'reachable' if shared['reachable'] else 'not reachable'}")
    return [
        *lines,
        *(line for table in found.get("tables", []) for line in wrapped(table, "inputs  ")),
        f"{found['artifacts']:,} artifacts, {size:,.1f} MiB in {found['cache_root']}; gc would free {free:,.1f} MiB",
    ]


def _shown(row: dict) -> str:
    """What the calendar shows of a day: what the last run left of it, if that was not all."""
    return row["last"]["state"] if row["last"] else row["state"]


def _refusal_lines(refused: dict | None) -> list[str]:
    if refused is None:
        return []
    from daedalus.explain.failure_lines import refusal_lines

    return ["", *refusal_lines(refused)]


def _expect_lines(found: Mapping) -> list[str]:
    """What of the fresh days is not as expected, with `expect`."""
    if not found.get("expect"):
        return []
    from daedalus.statistics.judge import expect_lines

    return ["", *expect_lines(found["expect"])]


def _last_lines(found: Mapping, options: str, span: str) -> list[str]:
    """What failed in the last run, and what that blocks."""
    results = {row["day"]: row["last"] for row in found["days"] if row["last"]}
    if not results:
        return []
    from daedalus.explain.failure_lines import failure_lines, failures_of, next_lines

    lines = [*failure_lines(failures_of(results), results), *next_lines(results, found["run"], options, span)]
    return ["", *lines]


def grid_lines(found: Mapping) -> list[str]:
    """Steps by days for the months with a stale day: # hit, R would run, m may run."""
    signs = {HIT: "#", MAYBE: "m", RUN: "R"}
    by_month: dict[str, list[dict]] = defaultdict(list)
    for row in found["days"]:
        by_month[row["day"][:7]].append(row)
    lines = ["# hit, R would run, m may run if a step upstream changes"]
    for month, rows in by_month.items():
        if not any(row["state"] == "stale" for row in rows):
            continue
        steps = list(dict.fromkeys(step for row in rows for step in row["steps"]))
        lines.append(f"{month:<36}{'':>2}1   5    10   15   20   25   30")
        for step in steps:
            cells = [" "] * 31
            for row in rows:
                cells[int(row["day"][8:]) - 1] = signs.get(row["steps"].get(step, ""), " ")
            if set(cells) - {"#", " "}:
                lines.append(f"  {step[:34]:<36}{''.join(cells)}")
    return [*lines, ""]
