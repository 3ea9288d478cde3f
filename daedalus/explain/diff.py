"""`daeda diff`: what a run changed in a day's partitions.

A run records the trace key of each partition that it replaces. The earlier partition is rebuilt from that
trace's artifacts, as far as the cache still has them, and compared: of an enriched one its columns of vectors.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from daedalus.base.errors import DaedalusError
from daedalus.base.terminal_text import cut, shown_apart
from daedalus.config.steps import ENRICH, SKELETON, Stage
from daedalus.explain.change_notes import fact_of
from daedalus.explain.day import one_day
from daedalus.explain.earlier import rebuilt, renamed_in, skeleton_of, vector_columns
from daedalus.explain.value_differences import KEYS, columns_in, compare_partitions, read
from daedalus.stagecache.records.traces import Trace
from daedalus.workspace.day_summary import summary_of
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import StageOutput, Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.common import Problem
    from daedalus.shapes.explained import Diff, NotCompared, StageChanged

_COMMAND = "daeda diff"
_SHORT = 8  # components of a vector that is shown whole


def diff_day(settings: Settings, text: str, against: str | None = None, stage: str | None = None) -> Diff:
    """What the last replacement of a day's partition changed, or how it differs from an older run's.

    Returns `day`, `run`, rows `before`, `after`, `added`, `removed` and `columns` (see compare_partitions). Of a
    configuration with several stages, or of one that is asked for, `stages` has that of each; one that cannot be
    compared has its `problem` instead. Raises DaedalusError when none can be.
    """
    day = str(one_day(text, _COMMAND))
    with opened(settings) as workspace:
        asked = _stages(workspace, stage)
        found: dict[str, StageChanged | NotCompared] = {}
        errors: list[DaedalusError] = []
        for output in asked:
            try:
                found[output.stage.name] = _diff_stage(workspace, output, day, against, settings.run(workspace.config))
            except DaedalusError as error:
                errors.append(error)
                found[output.stage.name] = {"problem": cast("Problem", error.as_json())}
    if len(errors) == len(found):
        raise errors[0]
    first = next(one for one in found.values() if "problem" not in one)
    stages = {"stages": found} if len(workspace.outputs) > 1 else {}
    return cast("Diff", {"day": day, **first, **stages})


def _stages(workspace: Workspace, only: str | None) -> list[StageOutput]:
    if only is not None and only not in workspace.outputs:
        raise DaedalusError("the configuration has no such stage", where=f"{_COMMAND} --stage", found=only,
                            expected=", ".join(workspace.outputs))  # fmt: skip
    return [output for name, output in workspace.outputs.items() if only in (None, name)]


def _diff_stage(workspace: Workspace, output: StageOutput, day: str, against: str | None, command: str) -> StageChanged:
    """The comparison of one stage's partition. Raises DaedalusError."""
    run, trace = (
        _replaced(workspace, output.stage, day) if against is None else _trace_of(workspace, output.stage, day, against)
    )
    with output.partitions.reading(day) as now:
        if not now:
            raise DaedalusError("there is no partition to compare", where=f"{_COMMAND} {day}",
                                found=f"none of {output.stage.name}", hint=f"{command} --range {day}")  # fmt: skip
        change = _compared(workspace, output.stage, trace, now, f"{command} recreates it with the same bytes")
    change = json.loads(json.dumps(change, default=str))
    return cast("StageChanged", {"run": run, "started": _started(workspace, run), **change})


def _compared(workspace: Workspace, stage: Stage, trace: Trace, now: Sequence[Path], hint: str) -> dict:
    """See `compare_partitions`; of an enriched partition column by column, for vectors are large."""
    skeleton = trace if stage is SKELETON else skeleton_of(workspace, trace)
    old = {name: made for made, name in (renamed_in(skeleton) if skeleton else {}).items()}
    new = {name: made for made, name in workspace.config.renamed.items()}
    if stage is SKELETON:
        then = rebuilt(workspace, stage, trace, lambda name: True)
        return compare_partitions(_as_made(read(then), old), _as_made(read(now, hint), new))
    then = rebuilt(workspace, stage, trace, lambda name: old.get(name, name) in KEYS)
    embeddings = workspace.config.runtime.embeddings
    assert embeddings is not None
    names = dict.fromkeys([*embeddings.columns, *vector_columns(trace)])
    found: dict = {"columns": {}}
    for name in names:
        one = compare_partitions(_with_keys(then, name, hint, old), _with_keys(now, name, hint, new))
        found = {**one, "columns": {**found["columns"], **one["columns"]}}
    return found


def _with_keys(paths: Sequence[Path], name: str, hint: str, made: Mapping[str, str]) -> Any:
    wanted = {*KEYS, name}
    names = [column for column in columns_in(paths[0], hint) if made.get(column, column) in wanted]
    return _as_made(read(paths, hint, names), made)


def _as_made(table: Any, made: Mapping[str, str]) -> Any:
    """A partition's rows by the names under which its columns are made: rows are told by these, whatever they are
    called in the output, then and now."""
    return table.rename_columns([made.get(name, name) for name in table.column_names])


def _replaced(workspace: Workspace, stage: Stage, day: str) -> tuple[str, Trace]:
    """(the run that replaced a partition last, the trace of what was there before). Raises DaedalusError."""
    change = workspace.traces.fact(fact_of(stage, day))
    if not isinstance(change, dict):
        raise DaedalusError(
            "no run replaced this partition", where=f"{_COMMAND} {day}", found="no earlier content",
            hint=f"{_COMMAND} {day} --against RUN compares with a run's artifacts; daeda runs lists them",
        )  # fmt: skip
    trace = workspace.traces.find(change["before"])
    if trace is None:
        raise DaedalusError("the cache has no trace of the earlier partition", where=f"{_COMMAND} {day}")
    return change["run"], trace


def _started(workspace: Workspace, run: str) -> str:
    """When a run began, in UTC."""
    found = next((record.started for record in workspace.traces.run_records() if record.id == run), None)
    return dt.datetime.fromtimestamp(found, dt.UTC).strftime("%Y-%m-%d %H:%M") if found else ""


def _trace_of(workspace: Workspace, stage: Stage, day: str, against: str) -> tuple[str, Trace]:
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
    if summary and stage is ENRICH and stage.name not in summary:
        summary = None  # a run of the skeleton alone
    trace = workspace.traces.find(summary_of(summary, stage)["chunk"]) if summary else None
    if trace is None:
        where = f"{_COMMAND} --against {runs[0][:8]}"
        raise DaedalusError(
            "that run did not finish this day, or gc removed it", where=where, found=day, expected=f"one of {known}"
        )
    return runs[0], trace


def _vectors_apart(old: object, new: object) -> tuple[str, str] | None:
    """The first component in which two vectors of one length differ; None for other values."""
    if not isinstance(old, list) or not isinstance(new, list) or len(old) != len(new) or len(old) <= _SHORT:
        return None
    if not all(isinstance(value, float) for value in (*old, *new)):
        return None
    place = next((i for i, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]), 0)
    where = f"in component {place} of {len(old)}"
    return f"{old[place]:.9g} {where}", f"{new[place]:.9g} {where}"


def _percent(row: Mapping) -> str:
    """A share in percent, never rounded to 0."""
    return "  <0.1%" if row["share"] < 0.0005 else f"{row['share']:>7.1%}"


def diff_lines(found: dict) -> list[str]:
    """Each stage's differences; of one that was not replaced nothing."""
    lines = []
    for name, one in (found.get("stages") or {"": found}).items():
        head = f"{found['day']} {name}".strip()
        if "problem" in one:
            lines.append(cut(f"{head}: {one['problem']['what']}: {one['problem']['found']}"))
        else:
            lines += _stage_lines(head, one)
    return lines


def _stage_lines(head: str, found: dict) -> list[str]:
    rows = f"{found['before']:,} rows -> {found['after']:,} ({found['added']:,} added, {found['removed']:,} removed)"
    lines = [f"{head}, run {found['run'][:8]} of {found['started']} UTC", f"  {rows}"]
    for name, row in sorted(found["columns"].items(), key=lambda item: -item[1]["share"]):
        note = f"  {row['note']}" if row.get("note") else ""
        lines.append(cut(f"  {name:<40}{row['rows']:>10,} rows {_percent(row)}{note}"))
        for example in row["examples"][:1]:
            old, new = _vectors_apart(example["old"], example["new"]) or shown_apart(
                str(example["old"]), str(example["new"])
            )
            lines += [cut(f"      {line}") for line in ("/".join(example["row"]), f"- {old}", f"+ {new}")]
    return lines if found["columns"] else [*lines, "  no value changed in the rows of both"]
