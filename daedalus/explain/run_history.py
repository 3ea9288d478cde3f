"""The last runs: what each was to do, which partitions it changed, what it computed, and why."""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import TYPE_CHECKING, cast

from daedalus.base.terminal_text import counted, cut
from daedalus.config.steps import ENRICH, PARTITION, PARTITIONS, SKELETON, STAGES, Stage
from daedalus.explain.cause_lines import headline, value_lines
from daedalus.explain.failure_lines import by_error, places_of
from daedalus.stagecache.action import Manifest, differences
from daedalus.stagecache.action_name import day_of, step_of
from daedalus.stagecache.records.traces import RunRecord, Trace, Traces
from daedalus.statistics.judge import break_sentence
from daedalus.workspace.day_results import ENDED
from daedalus.workspace.day_summary import summary_of
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

if TYPE_CHECKING:
    from daedalus.shapes.runs import PastRun, Runs

_SHORT = 60  # characters of an old and a new value that are shown whole
_LOOKED_AT = 3  # changed days of a run whose causes are followed up
_CAUSES = 12  # of a run, at most
_NOTHING_SAID: Mapping = {"failed": 0, "blocked": 0, "failures": [], "unexpected": 0, "breaks": []}  # of how it ended


def last_runs(traces: Traces, most: int = 12) -> list[PastRun]:
    """The last runs, newest first.

    Each has `id`, `started`, `state`, `range`, `model`, `force`; `days` finished; how many `failed` and were `blocked`,
    with the first of the `failures`; `changed`, the partitions of each stage
    that differ from those of the run before, with rows before and after; `computed`, the steps that ran
    until the next run began, with their `seconds`; and `causes`, found from some of the changed days.
    """
    records, ended = traces.run_records(), traces.facts(ENDED)
    made = _Made(traces)
    finished = {run.id: traces.finished_days(run.id) for run in records}
    found = []
    for place, run in enumerate(records[:most]):
        until = records[place - 1].started if place else float("inf")
        older = [finished[record.id] for record in records[place + 1 :]]
        now = {**made.partitions(run.started, until), **finished[run.id]}
        new = made.since(run.started)
        changed = [row for stage in STAGES.values() for row in _changed(traces, stage, now, older, new)]
        steps, seconds = made.between(run.started, until)
        found.append({
            **_asked(run),
            "days": len(finished[run.id]),
            **_NOTHING_SAID, **ended.get(f"{ENDED}{run.id}", {}),
            "changed": [{key: row[key] for key in ("day", "stage", "before", "after")} for row in changed],
            "computed": steps,
            "seconds": round(seconds, 3),
            "causes": _causes(traces, made, run.started, until, changed),
        })  # fmt: skip
    return cast("list[PastRun]", found)


def _asked(run: RunRecord) -> dict:
    started = dt.datetime.fromtimestamp(run.started, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    request = run.request
    return {"id": run.id, "started": started, "state": run.state, "range": request["range"],
            "model": request["model"], "force": request["force"]}  # fmt: skip


def _changed(
    traces: Traces, stage: Stage, now: Mapping[str, dict], older: Sequence[Mapping[str, dict]], new: set[str]
) -> list[dict]:
    """Days whose partition differs from that of the last run that finished the day; `new` are keys made since."""
    changed = []
    for day, summary in sorted(_of_stage(now, stage).items()):
        earlier = (run[day] for run in older if day in run and _key(stage) in run[day])
        before = next((summary_of(one, stage) for one in earlier), None)
        if before is None and summary["chunk"] not in new:
            continue  # published before the oldest run on record
        if before is not None and before["chunk"] == summary["chunk"]:
            continue
        then, after = (traces.find(row["chunk"]) if row else None for row in (before, summary))
        if then and after and then.artifact == after.artifact:
            continue
        rows = before["written"] if before else None
        counts = {"day": day, "stage": stage.name, "before": rows, "after": summary["written"]}
        changed.append({**counts, "then": then, "now": after})
    return changed


def _of_stage(days: Mapping[str, dict], stage: Stage) -> dict[str, dict]:
    """A stage's part of the summaries of days that have one."""
    return {day: summary_of(summary, stage) for day, summary in days.items() if _key(stage) in summary}


def _key(stage: Stage) -> str:
    """What a day's summary has if the day is done in a stage."""
    return "chunk" if stage is SKELETON else stage.name


class _Made:
    """When traces were made, and the key under which an action gave an artifact at a time."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        rows = traces.made()
        self._when = [when for *_, when in rows]
        self._rows = rows
        self._keys: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
        self._ran: list[bool] = []  # by row; a result that stood though an ingredient changed took no time anew
        took: set[tuple[str, str, float]] = set()
        for key, name, artifact, seconds, when in rows:
            self._keys[name, artifact].append((when, key))
            self._ran.append((name, artifact, seconds) not in took)
            took.add((name, artifact, seconds))

    def between(self, first: float, until: float) -> tuple[dict[str, int], float]:
        """How many of each step ran in a time, and the seconds that they took."""
        span = slice(bisect_left(self._when, first), bisect_left(self._when, until))
        rows = list(compress(self._rows[span], self._ran[span]))
        steps = Counter(step_of(name) for _, name, *_ in rows)
        return dict(steps.most_common()), sum(seconds for *_, seconds, _ in rows)

    def partitions(self, first: float, until: float) -> dict[str, dict]:
        """Partitions made in a time, by day, as in a summary: also those of days of which another step failed."""
        rows = self._rows[bisect_left(self._when, first) : bisect_left(self._when, until)]
        found: dict[str, dict] = {}
        for key, name, *_ in rows:
            if step_of(name) in PARTITIONS and (trace := self._traces.find(key)):
                summary = {"chunk": key, "written": trace.counts.get("written", 0)}
                of_day = found.setdefault(day_of(name), {})
                of_day.update(summary if step_of(name) == PARTITION else {ENRICH.name: summary})
        return found

    def since(self, first: float) -> set[str]:
        return {key for key, *_ in self._rows[bisect_left(self._when, first) :]}

    def key(self, name: str, artifact: str, until: float) -> str | None:
        """The last key before `until` under which the action gave the artifact."""
        known = [key for when, key in self._keys[name, artifact] if when < until]
        return known[-1] if known else None


def _causes(traces: Traces, made: _Made, started: float, until: float, changed: Sequence[Mapping]) -> list[dict]:
    """Root causes of some of the changed partitions, each once."""
    found: dict[str, dict] = {}
    pairs = [(row["then"], row["now"]) for row in changed if row["then"] and row["now"]]
    seen: set[str] = set()
    for then, now in [*pairs[:_LOOKED_AT], *pairs[-1:]]:
        _follow(traces, made, (started, until), then, now, found, seen)
    return list(found.values())[:_CAUSES]


def _follow(
    traces: Traces,
    made: _Made,
    time: tuple[float, float],
    then: Trace,
    now: Trace,
    found: dict[str, dict],
    seen: set[str],
) -> None:
    """Adds the causes of one action's change and, recursively, of those upstream."""
    if now.key in seen or then.key == now.key:
        return
    seen.add(now.key)
    causes = [cause for cause in differences(then.manifest, now.manifest) if cause.kind != "upstream"]
    if then.code == now.code and any(cause.kind in ("config", "input") for cause in causes):
        causes = [cause for cause in causes if cause.kind != "code"]  # the statement follows from those
    for cause in causes:
        found.setdefault(json.dumps([cause.kind, cause.what, cause.old, cause.new]), vars(cause).copy())
    for name in _above(then.manifest, now.manifest):
        label = f"upstream:{name}"
        keys = [made.key(name, trace.manifest[label], at) for trace, at in zip((then, now), time, strict=True)]
        traced = [traces.find(key) for key in keys if key]
        if len(traced) == 2 and traced[0] and traced[1]:
            _follow(traces, made, time, traced[0], traced[1], found, seen)


def _above(then: Manifest, now: Manifest) -> list[str]:
    """Upstream actions of both manifests whose artifacts differ."""
    return [
        label.partition(":")[2]
        for label in now
        if label.startswith("upstream:") and label in then and then[label] != now[label]
    ]


def list_runs(settings: Settings, most: int) -> Runs:
    """The last runs, newest first, as the report has them."""
    with opened(settings) as workspace:
        run = settings.run(workspace.config)
        return {"cache_root": str(workspace.cache_root), "run": run, "runs": last_runs(workspace.traces, most)}


def runs_lines(found: Mapping) -> list[str]:
    """A line per run, and below it what it changed and why."""
    if not found["runs"]:
        return [f"no run is recorded in {found['cache_root']}: {found['run']}"]
    lines = [f"{'run':<10}{'started (UTC)':<21}{'state':<12}{'done':>5}  range"]
    for run in found["runs"]:
        words = [run["range"], "--force" * run["force"], run["model"] or ""]
        head = f"{run['id'][:8]:<10}{run['started']:<21}{run['state']:<12}{run['days']:>5}  "
        lines.append(head + " ".join(word for word in words if word))
        lines += [f"          {line}" for line in _below(run)]
    return [cut(line) for line in [*lines, "daeda diff DAY --against RUN compares a partition with that run's"]]


def _below(run: Mapping) -> list[str]:
    steps, changed = sum(run["computed"].values()), sorted(row["day"] for row in run["changed"])
    lines = _failed_lines(run)
    if steps or changed:
        did = [f"{counted(steps, 'step')} in {run['seconds']:,.1f} s"] if steps else []
        span = " to ".join(dict.fromkeys([*changed[:1], *changed[-1:]]))
        did += [f"{counted(len(changed), 'partition')} changed: {span}"] if changed else []
        lines.append(", ".join(did))
    return lines + [f"{headline(cause)}{_values(cause)}" for cause in run["causes"][:3]]


def _failed_lines(run: Mapping) -> list[str]:
    """How many days failed and were blocked, and the first error."""
    counts = [f"{counted(run[state], 'day')} {state}" for state in ("failed", "blocked") if run[state]]
    lines = [", ".join(counts)] if counts else []
    word = "refused" if run["state"] == "refused" else "stopped"
    for alike in by_error(run["failures"])[:3]:
        what = ", ".join(filter(None, (alike[0]["what"], alike[0]["where"])))
        lines.append(f"{f'{places_of(alike)} failed' if alike[0]['step'] else word}: {what}")
    if run["breaks"]:
        lines.append(f"{counted(run['unexpected'], 'day')} not as expected: {break_sentence(run['breaks'][0])}")
    return lines


def _values(cause: Mapping) -> str:
    if cause["kind"] in ("code", "missing", "input"):
        return ""
    old, new = ("nothing" if cause[side] is None else cause[side] for side in ("old", "new"))
    if len(old) + len(new) <= _SHORT:
        return f": {old} -> {new}"
    return ": " + ", ".join(line.strip() for line in value_lines(cause))
