"""`daeda diff`: what a run changed in a partition.

When a run replaces a partition, what differs is noted with the run. Against an older run the partition
is put together again from that run's artifacts, as far as the cache still has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from daedalus.errors import DaedalusError
from daedalus.pipelines.compare import changed, compare_partitions, read, sample
from daedalus.pipelines.explain import one_day
from daedalus.pipelines.workspace import Settings, Workspace, opened
from daedalus.skeleton.publish import write_partition
from daedalus.stagecache.trace import Trace

_COMMAND = "daeda diff"


class ChangeNotes:
    """Notes which partitions a run replaces, and says in a line each what differs."""

    def __init__(self, workspace: Workspace, run: str) -> None:
        self._workspace, self._traces, self._run = workspace, workspace.traces, run
        self._before: dict[str, Trace | None] = {}

    def __call__(self, day: str) -> None:
        self._before[day] = self._traces.latest(f"chunk@{day}")

    def summary(self, most: int = 8) -> list[str]:
        """Lines for people; shares are those of the first row group. Keeps what `diff_day` needs."""
        days = sorted(self._before)
        notes = {
            f"diff:{day}": {"run": self._run, "before": trace.key if trace else ""}
            for day, trace in self._before.items()
        }
        self._traces.remember_facts(notes)
        lines = [f"changed     {day}: {self._brief(day)}"[:80] for day in days[:most]]
        hidden = len(days) - most
        return [*lines, f"            and {hidden} more days: daeda diff DAY"] if hidden > 0 else lines

    def _brief(self, day: str) -> str:
        before, after = self._before[day], self._traces.latest(f"chunk@{day}")
        if before is None or after is None or before.key == after.key:
            return "put together anew; what lay there was not what a run had left"
        rows = [trace.counts.get("written", 0) for trace in (before, after)]
        told = f"{rows[0]:,} rows" + (f" -> {rows[1]:,}" if rows[0] != rows[1] else "")
        old, new = (_sources(trace) for trace in (before, after))
        if old.get("content") != new.get("content"):
            return f"{told}; columns: daeda diff {day}"
        shares = self._shares(old, new)
        named = ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:3])
        more = f" and {len(shares) - 3} more" if len(shares) > 3 else ""
        return f"{told}; {named or 'columns chosen or ordered anew'}{more}"

    def _shares(self, old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, float]:
        """Share of rows in which a column differs, the largest first."""
        found = {}
        for source in new:
            if source == "spine" or old.get(source) == new[source]:
                continue
            paths = [self._workspace.store.path("", sources[source]) for sources in (old, new) if source in sources]
            tables = [sample(path) for path in paths if path.exists()]
            if not tables:
                continue
            was = tables[0] if len(tables) == 2 else tables[0].select([])
            for name in tables[-1].column_names:
                if share := changed(was, tables[-1], name)["share"]:
                    found[name] = share
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def _sources(trace: Trace) -> dict[str, str]:
    """The artifacts that a partition was put together from, by step."""
    labels = (label.partition(":") for label in trace.manifest if label.startswith("upstream:"))
    return {name.partition("@")[0]: trace.manifest[f"{kind}:{name}"] for kind, _, name in labels}


def diff_day(settings: Settings, text: str, against: str | None = None) -> dict:
    """What the last replacement of a day's partition changed, or how it differs from an older run's.

    Returns `day`, `run`, rows `before`, `after`, `added`, `removed` and `columns` (see compare).
    """
    day = str(one_day(text, _COMMAND))
    with opened(settings) as workspace:
        if against is None:
            change = workspace.traces.fact(f"diff:{day}")
            if not isinstance(change, dict):
                raise DaedalusError(
                    "no run replaced this partition", where=f"{_COMMAND} {day}", found="no earlier content",
                    hint=f"{_COMMAND} {day} --against RUN compares with a run's artifacts",
                )  # fmt: skip
            run, trace = change["run"], workspace.traces.find(change["before"])
            if trace is None:
                raise DaedalusError("what lay there before was not made by a run", where=f"{_COMMAND} {day}")
        else:
            run, trace = _trace_of(workspace, day, against)
        with workspace.partitions.reading(day) as now:
            if not now:
                where = f"{_COMMAND} {day}"
                raise DaedalusError("there is no partition to compare", where=where, hint="daeda skeleton")
            then = workspace.scratch.path()
            write_partition(then, _columns(trace), _artifacts(workspace, trace), 1 << 40)
            change = compare_partitions(read(sorted(then.iterdir())), read(now))
        return {"day": day, "run": run, **json.loads(json.dumps(change, default=str))}


def _trace_of(workspace: Workspace, day: str, against: str) -> tuple[str, Trace]:
    runs = [run for run in workspace.traces.runs() if run.startswith(against)]
    known = ", ".join(run[:8] for run in workspace.traces.runs()[:5])
    if len(runs) != 1:
        found = f"{against}: {len(runs)} runs"
        raise DaedalusError(
            "no such run", where=f"{_COMMAND} --against", found=found, expected=f"one of the last: {known}"
        )
    summary = workspace.traces.finished_days(runs[0]).get(day)
    trace = workspace.traces.find(summary["chunk"]) if summary else None
    if trace is None:
        where = f"{_COMMAND} --against {runs[0][:8]}"
        raise DaedalusError(
            "that run did not finish this day, or was collected", where=where, found=day, expected=f"one of {known}"
        )
    return runs[0], trace


def _columns(trace: Trace) -> list[tuple[str, str]]:
    return [(name, source) for name, source in json.loads(trace.manifest["config:output_columns"])]


def _artifacts(workspace: Workspace, trace: Trace) -> Mapping[str, Path]:
    """The trace's upstream by the names that `write_partition` knows them by."""
    found = {}
    for label, artifact in trace.manifest.items():
        kind, _, name = label.partition(":")
        if kind == "upstream":
            step = name.partition("@")[0]
            path = None if workspace.shelf.problem(name, artifact) else workspace.shelf.path(name, artifact)
            if path is None:
                where = f"{_COMMAND} --against"
                raise DaedalusError("an artifact of that run is no longer in the cache", where=where, found=name)
            found[step] = path
    return found


def diff_lines(found: dict) -> list[str]:
    rows = f"{found['before']:,} rows -> {found['after']:,} ({found['added']:,} added, {found['removed']:,} removed)"
    lines = [f"{found['day']}, run {found['run'][:8]}: {rows}"]
    for name, row in sorted(found["columns"].items(), key=lambda item: -item[1]["share"]):
        note = f"  {row['note']}" if row.get("note") else ""
        lines.append(f"  {name:<40}{row['rows']:>10,} rows {row['share']:>7.1%}{note}"[:80])
        for example in row["examples"][:1]:
            lines += [
                f"      {'/'.join(example['row'])}"[:80],
                f"      - {example['old']}"[:80],
                f"      + {example['new']}"[:80],
            ]
    return lines if found["columns"] else [*lines, "  no value of a row that stayed has changed"]
