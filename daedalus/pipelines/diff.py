"""`daeda diff`: what a run changed in a partition.

When a run replaces a partition, what differs is noted with the run. Against an older run the partition
is put together again from that run's artifacts, as far as the cache still has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from daedalus.errors import DaedalusError
from daedalus.pipelines.compare import change_line, compare_partitions, read
from daedalus.pipelines.explain import one_day
from daedalus.pipelines.workspace import Settings, Workspace, opened
from daedalus.skeleton.publish import write_partition
from daedalus.stagecache.trace import Trace, Traces

_COMMAND = "daeda diff"


class ChangeNotes:
    """Notes what differs whenever a run replaces a partition."""

    def __init__(self, traces: Traces, run: str) -> None:
        self._traces, self._run = traces, run
        self.lines: dict[str, str] = {}

    def __call__(self, day: str, old: Path, new: Path) -> None:
        try:
            change = compare_partitions(read(_parts(old)), read(_parts(new)))
        except Exception as error:  # an altered partition may be unreadable; that is why it is replaced
            self.lines[day] = f"changed     {day}: the old partition cannot be read ({type(error).__name__})"[:80]
            return
        self._traces.remember_fact(f"diff:{day}", {"run": self._run, **json.loads(json.dumps(change, default=str))})
        self.lines[day] = change_line(day, change)

    def summary(self, most: int = 8) -> list[str]:
        lines = [self.lines[day] for day in sorted(self.lines)]
        hidden = len(lines) - most
        return [*lines[:most], f"            and {hidden} more days: daeda diff DAY"] if hidden > 0 else lines


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"), key=lambda path: (len(path.name), path.name))


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
            return {"day": day, **change}
        run, trace = _trace_of(workspace, day, against)
        now = _parts(workspace.partitions.path(f"chunk@{day}"))
        if not now:
            raise DaedalusError("there is no partition to compare", where=f"{_COMMAND} {day}", hint="daeda skeleton")
        then = workspace.scratch.path()
        write_partition(then, _columns(trace), _artifacts(workspace, trace), 1 << 40)
        change = compare_partitions(read(_parts(then)), read(now))
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
            path = workspace.store.path(name, artifact)
            if not path.exists():
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
