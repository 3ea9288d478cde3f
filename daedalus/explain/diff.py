"""`daeda diff`: what a run changed in a partition.

A run records the trace key of each partition that it replaces. The earlier partition is rebuilt from that
trace's artifacts, as far as the cache still has them, and compared.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daedalus.base.errors import DaedalusError
from daedalus.base.terminal_text import counted, cut, shown_apart
from daedalus.config.steps import PARTITION
from daedalus.explain.day import one_day
from daedalus.explain.value_differences import changed, compare_partitions, read
from daedalus.output.cut_partition import ParquetSink, cut_sample
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.records.traces import Trace
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

_COMMAND = "daeda diff"
_WITHOUT_COLUMNS = ("spine", "content", "qids")  # no column that a config names comes from these sources


class ChangeNotes:
    """Records which partitions a run replaces, and describes in a line each what differs."""

    def __init__(self, workspace: Workspace, run: str) -> None:
        self._workspace, self._traces, self._run = workspace, workspace.traces, run
        self._before: dict[str, Trace | None] = {}

    def __call__(self, day: str) -> None:
        self._before[day] = self._traces.latest(f"{PARTITION}@{day}")

    def summary(self, most: int = 8) -> list[str]:
        """Lines for people; shares are those of the first row group. Stores what `diff_day` needs."""
        days = sorted(self._before)
        notes = {
            f"diff:{day}": {"run": self._run, "before": trace.key if trace else ""}
            for day, trace in self._before.items()
        }
        self._traces.remember_facts(notes)
        lines = [cut(f"changed     {day}: {self._brief(day)}") for day in days[:most]]
        hidden = len(days) - most
        return [*lines, f"            and {hidden} more days: daeda diff DAY"] if hidden > 0 else lines

    def _brief(self, day: str) -> str:
        """What differs in a day's partition, for one line."""
        before, after = self._before[day], self._traces.latest(f"{PARTITION}@{day}")
        if before is None or after is None or before.key == after.key:
            return "rewritten: it was no longer as a run had left it"
        rows = [trace.counts.get("written", 0) for trace in (before, after)]
        counts = f"{counted(rows[0], 'row')}" + (f" -> {rows[1]:,}" if rows[0] != rows[1] else "")
        old, new = (_sources(trace) for trace in (before, after))
        if any(old.get(source) != new.get(source) for source in ("sessions", "content")):
            return f"{counts}; more: daeda diff {day}"
        shares = self._shares(old, new)
        named = ", ".join(
            f"{name} {'<1%' if share < 0.005 else f'{share:.0%}'}" for name, share in list(shares.items())[:3]
        )
        more = f" and {len(shares) - 3} more" if len(shares) > 3 else ""
        return f"{counts}; {named or _column_changes(before, after)}{more}"

    def _shares(self, old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, float]:
        """Share of rows in which a column differs, the largest first."""
        found, ships = {}, {column.name for column in self._workspace.config.output_columns}
        for source in new:
            if source in _WITHOUT_COLUMNS or old.get(source) == new[source]:
                continue
            found_in = [{**new, source: sources[source]} for sources in (old, new) if source in sources]
            tables = [table for one in found_in if (table := self._sample(one, source)) is not None]
            if not tables:
                continue
            was = tables[0] if len(tables) == 2 else tables[0].select([])
            for name in filter(ships.__contains__, tables[-1].column_names):
                if share := changed(was, tables[-1], name)["share"]:
                    found[name] = share
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _sample(self, artifacts: Mapping[str, str], source: str) -> Any:
        """An artifact's columns in the partition's first row group; None when an artifact is gone."""
        paths = {name: self._workspace.store.path("", artifacts[name]) for name in (source, "sessions", "content")}
        if not all(path.exists() for path in paths.values()):
            return None
        out = self._workspace.scratch.path(".parquet")
        cut_sample(paths, source, out)
        return read([out])


def _column_changes(before: Trace, after: Trace) -> str:
    """Which columns of the partition were added or removed."""
    old, new = ([name for name, _ in _columns(trace)] for trace in (before, after))
    gone, came = [name for name in old if name not in new], [name for name in new if name not in old]
    changes = [f"{', '.join(names)} {word}" for names, word in ((came, "added"), (gone, "removed")) if names]
    return "; ".join(changes) or "the same values in another order or encoding"


def _sources(trace: Trace) -> dict[str, str]:
    """The artifacts that a partition was built from, by step."""
    labels = (label.partition(":") for label in trace.manifest if label.startswith("upstream:"))
    return {kind_of(name): trace.manifest[f"{kind}:{name}"] for kind, _, name in labels}


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
                    hint=f"{_COMMAND} {day} --against RUN compares with a run's artifacts; daeda runs lists them",
                )  # fmt: skip
            run, trace = change["run"], workspace.traces.find(change["before"])
            if trace is None:
                raise DaedalusError("the cache has no trace of the earlier partition", where=f"{_COMMAND} {day}")
        else:
            run, trace = _trace_of(workspace, day, against)
        with workspace.partitions.reading(day) as now:
            if not now:
                where = f"{_COMMAND} {day}"
                raise DaedalusError(
                    "there is no partition to compare",
                    where=where,
                    hint=f"daeda skeleton{settings.options} --range {day}",
                )
            then = workspace.scratch.path()
            ParquetSink(tuple(_columns(trace)), 1 << 40).write(then, _artifacts(workspace, trace))
            change = compare_partitions(read(sorted(then.iterdir())), read(now))
        return {
            "day": day,
            "run": run,
            "started": _started(workspace, run),
            **json.loads(json.dumps(change, default=str)),
        }


def _started(workspace: Workspace, run: str) -> str:
    """When a run began, in UTC."""
    found = next((record.started for record in workspace.traces.run_records() if record.id == run), None)
    return dt.datetime.fromtimestamp(found, dt.UTC).strftime("%Y-%m-%d %H:%M") if found else ""


def _trace_of(workspace: Workspace, day: str, against: str) -> tuple[str, Trace]:
    """(run, trace of the day's partition) of the run whose id begins so. Raises DaedalusError."""
    runs = [run for run in workspace.traces.runs() if run.startswith(against)]
    known = ", ".join(run[:8] for run in workspace.traces.runs()[:5])
    if len(runs) != 1:
        found = f"{against}: {len(runs)} runs"
        raise DaedalusError(
            "no such run", where=f"{_COMMAND} --against", found=found, expected=f"one of the last: {known}",
            hint="daeda runs lists them with their times",
        )  # fmt: skip
    summary = workspace.traces.finished_days(runs[0]).get(day)
    trace = workspace.traces.find(summary["chunk"]) if summary else None
    if trace is None:
        where = f"{_COMMAND} --against {runs[0][:8]}"
        raise DaedalusError(
            "that run did not finish this day, or gc removed it", where=where, found=day, expected=f"one of {known}"
        )
    return runs[0], trace


def _columns(trace: Trace) -> list[tuple[str, str]]:
    return [(name, source) for name, source in json.loads(trace.manifest["config:output_columns"])]


def _artifacts(workspace: Workspace, trace: Trace) -> Mapping[str, Path]:
    """Paths of the trace's upstream artifacts by step, as `ParquetSink` takes them."""
    found = {}
    for label, artifact in trace.manifest.items():
        kind, _, name = label.partition(":")
        if kind == "upstream":
            step = kind_of(name)
            path = None if workspace.shelf.problem(name, artifact) else workspace.shelf.path(name, artifact)
            if path is None:
                where = f"{_COMMAND} --against"
                raise DaedalusError("an artifact of that run is no longer in the cache", where=where, found=name)
            found[step] = path
    if "sessions" not in found:
        raise DaedalusError("that run has artifacts in the format of daedalus 0.2", where=f"{_COMMAND} --against",
                            hint="compare with a later run; daeda runs lists them")  # fmt: skip
    return found


def _percent(row: Mapping) -> str:
    """A share in percent, never rounded to 0."""
    return "  <0.1%" if row["share"] < 0.0005 else f"{row['share']:>7.1%}"


def diff_lines(found: dict) -> list[str]:
    rows = f"{found['before']:,} rows -> {found['after']:,} ({found['added']:,} added, {found['removed']:,} removed)"
    lines = [f"{found['day']}, run {found['run'][:8]} of {found['started']} UTC", f"  {rows}"]
    for name, row in sorted(found["columns"].items(), key=lambda item: -item[1]["share"]):
        note = f"  {row['note']}" if row.get("note") else ""
        lines.append(cut(f"  {name:<40}{row['rows']:>10,} rows {_percent(row)}{note}"))
        for example in row["examples"][:1]:
            old, new = shown_apart(str(example["old"]), str(example["new"]))
            lines += [cut(f"      {line}") for line in ("/".join(example["row"]), f"- {old}", f"+ {new}")]
    return lines if found["columns"] else [*lines, "  no value changed in the rows of both"]
