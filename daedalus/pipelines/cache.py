"""`daeda cache status | verify | gc`: what the cache holds, whether it is whole, and what can go."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from daedalus.days import Day
from daedalus.pipelines.compare import how_they_differ
from daedalus.pipelines.unchanged import QID_MAP, Stands, days_that_stand
from daedalus.pipelines.workspace import Settings, Workspace, opened
from daedalus.stagecache.action import Cause
from daedalus.stagecache.plan import HIT, MAYBE, RUN, Verdict, make_plan
from daedalus.stagecache.standing import KeptFile
from daedalus.words import counted

_SIGNS = {"fresh": "#", "stale": "~", "missing": ".", "empty": " "}


def cache_status(settings: Settings) -> dict:
    """Every day of the config's range: fresh, stale, missing or empty, and each step's state."""
    with opened(settings) as workspace:
        span, listing = list(workspace.range(None)), workspace.listing()
        present = workspace.with_rows(listing, span)
        stands = days_that_stand(workspace, listing, present)
        files = [file for file in workspace.standing.files() if file.name != QID_MAP]
        standing = [file for file in files if file.day in stands.days or file.day in stands.read]
        verdicts: list[Verdict] = []
        if len(stands.days) < len(present):
            skip = frozenset(Day.fromisoformat(day) for day in stands.days)
            graph = workspace.graph(span, reconcile=False, skip=skip, listing=listing)
            verdicts = make_plan(graph.actions, workspace.traces)
        # By digest, if it is on this machine; of partitions it means nothing.
        known = {file.path[-40:-8]: file.size for file in standing if file.size >= 0}
        sizes = workspace.store.sizes(known)
        needed = _needed(verdicts) | _last_complete(workspace) | known.keys()
        walked = [str(day) for day in present if str(day) not in stands.days]
        days = [*_day_states(verdicts, walked), *_standing_days(stands, standing)]
        days += [{"day": str(day), "state": "empty", "steps": {}} for day in set(span) - set(present)]
        return {
            "cache_root": str(workspace.cache_root),
            "artifacts": len(sizes),
            "bytes": sum(sizes.values()),
            "days": sorted(days, key=lambda row: row["day"]),
            "reclaimable_bytes": sum(size for artifact, size in sizes.items() if artifact not in needed),
            "steps": _by_step(verdicts, standing),
            **_shared_status(workspace),
        }


def _shared_status(workspace: Workspace) -> dict:
    """Whether the shared cache, if there is one, answers."""
    if workspace.shared is None:
        return {}
    from daedalus.pipelines.shared import reachable

    return {"shared": {"uri": workspace.shared.remote.uri, "reachable": reachable(workspace.shared)}}


def _standing_days(stands: Stands, files: Iterable[KeptFile]) -> list[dict]:
    """The rows of days that nobody touched."""
    steps: dict[str, dict[str, str]] = {day: {} for day in stands.days}
    for file in files:
        if file.day in steps:
            steps[file.day][file.name.partition("@")[0]] = HIT
    state = {day: "empty" if summary["empty"] else "fresh" for day, summary in stands.days.items()}
    return [{"day": day, "state": state[day], "steps": steps[day]} for day in stands.days]


def _day_states(verdicts: list[Verdict], days: Iterable[str]) -> list[dict]:
    by_name = {verdict.action.name: verdict for verdict in verdicts}
    fresh: dict[str, bool] = {}
    for verdict in verdicts:  # upstream stands first
        fresh[verdict.action.name] = verdict.state == HIT and all(fresh[name] for name in verdict.action.upstream)
    of_day: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        of_day[verdict.action.day or ""].append(verdict)
    found: list[dict] = []
    for day in days:
        chunk = by_name[f"chunk@{day}"]
        state = "fresh" if fresh[chunk.action.name] else "stale" if chunk.trace else "missing"
        if state == "fresh" and chunk.trace and chunk.trace.counts.get("empty"):
            state = "empty"
        found.append({"day": day, "state": state, "steps": {_kind(v): v.state for v in of_day[day]}})
    return found


def _kind(verdict: Verdict) -> str:
    return verdict.action.name.partition("@")[0]


def _by_step(verdicts: Iterable[Verdict], standing: Iterable[KeptFile]) -> dict[str, dict]:
    """For each step: bytes, how many would run or may, and the commonest cause in one word."""
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
    seen = {verdict.action.name for verdict in verdicts}
    for file in standing:
        if file.name in seen and not file.path.endswith(".parquet"):
            continue  # a partition's folder
        step = file.name.partition("@")[0].partition(":")[0]
        row = found.setdefault(step, {"bytes": 0, HIT: 0, RUN: 0, MAYBE: 0, "why": ""})
        row["bytes"] += max(file.size, 0) if file.path.endswith(".parquet") else 0
        row[HIT] += file.name not in seen
        seen.add(file.name)
    for step, kinds in causes.items():
        found[step]["why"] = kinds.most_common(1)[0][0]
    return found


def _root_kinds(why: Iterable[Cause]) -> list[str]:
    """Kinds in one word; a statement that changed with a config value or an input is told by those."""
    kinds = {cause.kind for cause in why}
    return sorted(kinds - {"code"} if kinds & {"config", "input"} else kinds)


def _needed(verdicts: Iterable[Verdict]) -> set[str]:
    """Artifacts that answer the plan, and the last ones of what would run again."""
    return {v.trace.artifact for v in verdicts if v.trace and v.action.step != "chunk"}


def _last_complete(workspace: Workspace) -> set[str]:
    """Artifacts of the last run that finished whole."""
    known = workspace.traces.fact("last complete run")
    return set(known) if isinstance(known, list) else set()


def status_lines(found: dict) -> list[str]:
    """Days by month, a sign a day; then steps with their bytes and what they wait for."""
    months: dict[str, list[str]] = defaultdict(lambda: [" "] * 31)
    for row in found["days"]:
        months[row["day"][:7]][Day.fromisoformat(row["day"]).day - 1] = _SIGNS[row["state"]]
    tally = Counter(row["state"] for row in found["days"])
    named = [f"{_SIGNS[state]} {count} {state}" for state, count in tally.items() if state != "empty"]
    lines = [f"{month}  {''.join(days)}" for month, days in months.items()]
    lines += [", ".join([*named, f"{tally['empty']} empty"]), ""]
    lines += grid_lines(found) if tally["stale"] else []
    lines.append(f"{'step':<20}{'MiB':>9}{'fresh':>8}{'run':>7}{'maybe':>7}  why")
    for step, row in found["steps"].items():
        size = f"{row['bytes'] / 2**20:,.1f}"
        lines.append(f"{step:<20}{size:>9}{row[HIT]:>8}{row[RUN]:>7}{row[MAYBE]:>7}  {row['why']}")
    size, free = found["bytes"] / 2**20, found["reclaimable_bytes"] / 2**20
    if shared := found.get("shared"):
        lines.append(f"shared cache {shared['uri']}: {'it answers' if shared['reachable'] else 'no answer'}")
    return [
        *lines,
        f"{found['artifacts']:,} artifacts, {size:,.1f} MiB in {found['cache_root']}; gc would free {free:,.1f} MiB",
    ]


def grid_lines(found: dict) -> list[str]:
    """Steps by days for the months with a stale day: # hit, R would run, m may run."""
    signs = {HIT: "#", MAYBE: "m", RUN: "R"}
    by_month: dict[str, list[dict]] = defaultdict(list)
    for row in found["days"]:
        by_month[row["day"][:7]].append(row)
    lines = ["# hit, R would run, m may run if what is above it changes"]
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


# verify


def cache_verify(settings: Settings, recompute: int = 0) -> dict:
    """Reads every artifact; damaged ones are set aside, and the next run makes them again.

    With `recompute`, that many hits are executed again and their bytes compared: what differs is not
    deterministic, or reads something that its manifest does not name.
    """
    with opened(settings) as workspace:
        corrupt, checked = [], 0
        for artifact, path in workspace.store.artifacts():
            checked += 1
            if workspace.store.reread(path) != artifact:
                workspace.store.set_aside(artifact)
                corrupt.append(str(path))
        found: dict = {"checked": checked, "corrupt": corrupt, "repaired": len(corrupt)}
        if recompute:
            found["recomputed"], found["differing"] = _recompute(workspace, recompute)
    return found


def _recompute(workspace: Workspace, count: int) -> tuple[int, list[dict]]:
    """Executes a sample of the config's hits again: (how many, what differs)."""
    graph = workspace.graph(list(workspace.range(None)), reconcile=False)
    verdicts = {v.action.name: v for v in make_plan(graph.actions, workspace.traces)}
    hits = [
        v for v in verdicts.values() if v.state == HIT and v.action.shelf is workspace.shelf and v.action.step != "qids"
    ]
    chosen = random.Random(0).sample(hits, min(count, len(hits)))
    differing = []
    for verdict in chosen:
        action, trace = verdict.action, verdict.trace
        assert trace is not None
        paths = {}
        for name in action.upstream:
            above = verdicts[name]
            assert above.trace is not None
            paths[name] = above.action.shelf.path(name, above.trace.artifact)
        made = workspace.store.stage(action.name)
        action.run(paths, made)
        kept = workspace.shelf.path(action.name, trace.artifact)
        if workspace.store.reread(made) != trace.artifact:
            differing += [{"step": action.name, **difference} for difference in how_they_differ(kept, made)]
    return len(chosen), differing


def verify_lines(found: dict) -> list[str]:
    lines = [f"{found['checked']:,} artifacts read, {len(found['corrupt'])} damaged"]
    lines += [f"  set aside: {path}" for path in found["corrupt"]]
    if found["corrupt"]:
        lines.append("the next run makes them again: daeda skeleton")
    if "recomputed" in found:
        lines.append(f"{found['recomputed']} executed again, {len(found['differing'])} columns differ")
        lines += [f"  {row['step']}: {row['column']} ({row['how']})" for row in found["differing"]]
    return lines


# gc


def cache_gc(
    settings: Settings, *, max_bytes: int | None = None, older_than_days: float | None = None, dry_run: bool = False
) -> dict:
    """Removes artifacts, and their traces, that neither the config's range nor the last complete run needs.

    With `max_bytes` only until the cache is that small, the cheapest to rebuild per byte first. Waits
    for running processes: nothing that they use is removed.
    """
    with opened(settings) as workspace, workspace.alone():
        graph = workspace.graph(list(workspace.range(None)), reconcile=False)
        keep = _needed(make_plan(graph.actions, workspace.traces)) | _last_complete(workspace)
        sizes = workspace.store.sizes()
        candidates = _candidates(workspace, sizes, keep, older_than_days)
        total, removed, freed = sum(sizes.values()), [], 0
        for artifact in candidates:
            if max_bytes is not None and total - freed <= max_bytes:
                break
            removed.append(artifact)
            freed += sizes[artifact]
        if not dry_run:
            _remove(workspace, removed)
    return {"freed_bytes": freed, "kept": len(sizes) - len(removed), "removed": len(removed), "dry_run": dry_run,
            "left_bytes": total - freed, "max_bytes": max_bytes}  # fmt: skip


def _candidates(
    workspace: Workspace, sizes: Mapping[str, int], keep: set[str], older_than_days: float | None
) -> list[str]:
    """What may go, the cheapest to rebuild per byte first."""
    seconds: dict[str, float] = {}
    for trace in workspace.traces.all():
        seconds[trace.artifact] = max(trace.seconds, seconds.get(trace.artifact, 0))
    oldest = time.time() - older_than_days * 86400 if older_than_days is not None else None
    found = []
    for artifact, path in workspace.store.artifacts():
        if artifact not in keep and (oldest is None or path.stat().st_mtime < oldest):
            found.append(artifact)
    return sorted(found, key=lambda artifact: (seconds.get(artifact, 0) / max(sizes[artifact], 1), artifact))


def _remove(workspace: Workspace, artifacts: list[str]) -> None:
    gone = set(artifacts)
    for artifact in artifacts:
        workspace.store.path("", artifact).unlink()
    workspace.traces.drop(t.key for t in workspace.traces.all() if t.artifact in gone)
    for left in _litter(workspace):
        with contextlib.suppress(OSError):
            left.unlink()


def _litter(workspace: Workspace) -> Iterator[Path]:
    """Damaged artifacts that were set aside: looked at or not, they are of no more use."""
    yield from (workspace.cache_root / "damaged").glob("*.parquet")


def gc_lines(found: dict) -> list[str]:
    size, removed, kept = f"{found['freed_bytes'] / 2**20:,.1f} MiB", found["removed"], found["kept"]
    lines = [f"{size} freed: {counted(removed, 'artifact')} removed, {kept:,} kept"]
    if found["dry_run"]:
        lines = [f"{size} would be freed: {counted(removed, 'artifact')} would go, {kept:,} stay"]
    if found["max_bytes"] is not None and found["left_bytes"] > found["max_bytes"]:
        left = f"{found['left_bytes'] / 2**20:,.1f} MiB"
        lines.append(
            f"{left} stay, more than --max-bytes: the config or the last complete run needs them, or they are young"
        )
    return lines
