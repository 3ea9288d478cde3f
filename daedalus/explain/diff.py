"""`daeda diff`: what a run changed in a day's partitions.

A run records the trace key of each partition that it replaces. The earlier partition is rebuilt from that
trace's artifacts, as far as the cache still has them, and compared: of an enriched one its columns of vectors.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from daedalus.base.errors import DaedalusError
from daedalus.base.terminal_text import counted, cut, shown_apart
from daedalus.compile.lines import check_out
from daedalus.config.steps import ENRICH, SKELETON, Stage
from daedalus.explain.change_notes import fact_of
from daedalus.explain.day import one_day
from daedalus.explain.earlier import rebuilt, renamed_in, skeleton_of, vector_columns
from daedalus.explain.value_differences import KEYS, Version, readable, row_changes, told
from daedalus.stagecache.records.traces import Trace
from daedalus.workspace.day_summary import summary_of
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import StageOutput, Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.common import Problem
    from daedalus.shapes.explained import Diff, NotCompared, StageChanged
    from daedalus.sql.row_changes import RowChanges

_COMMAND = "daeda diff"
_SHORT = 8  # components of a vector that is shown whole


def diff_day(
    settings: Settings, text: str, against: str | None = None, stage: str | None = None, out: str | None = None
) -> Diff:
    """What the last replacement of a day's partition changed, or how it differs from an older run's.

    Returns `day`, `run` and what `told` does. Of a configuration with several stages, `stages` has that of each; one
    that cannot be compared has its `problem` instead. With `out` the rows that differ are written there, of one stage,
    and `exported` is how many. Raises DaedalusError when no stage can be compared.
    """
    path = check_out(out, "the rows") if out is not None else None
    day = str(one_day(text, _COMMAND))
    with opened(settings) as workspace:
        asked, command = _stages(workspace, stage), settings.run(workspace.config)
        if path and len(asked) > 1:
            raise DaedalusError("one file for two stages", where=f"{_COMMAND} --out",
                                found=" and ".join(workspace.outputs), expected="--stage with one of them")  # fmt: skip
        found: dict[str, StageChanged | NotCompared] = {}
        errors: list[DaedalusError] = []
        for output in asked:
            try:
                found[output.stage.name] = _diff_stage(workspace, output, day, against, command, path)
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


def _diff_stage(
    workspace: Workspace, output: StageOutput, day: str, against: str | None, command: str, out: Path | None
) -> StageChanged:
    """The comparison of one stage's partition. Raises DaedalusError."""
    run, trace = (
        _replaced(workspace, output.stage, day) if against is None else _trace_of(workspace, output.stage, day, against)
    )
    with output.partitions.reading(day) as now:
        if not now:
            raise DaedalusError("there is no partition to compare", where=f"{_COMMAND} {day}",
                                found=f"none of {output.stage.name}", hint=f"{command} --range {day}")  # fmt: skip
        hint = f"{command} recreates it with the same bytes"
        change = _compared(workspace, output.stage, trace, now, hint, out)
    change = json.loads(json.dumps(change, default=str))
    return cast("StageChanged", {"run": run, "started": _started(workspace, run), **change})


def _compared(
    workspace: Workspace, stage: Stage, trace: Trace, now: Sequence[Path], hint: str, out: Path | None
) -> dict:
    """What differs (see `told`), of an enriched partition in its vectors; writes rows to `out`."""
    skeleton = trace if stage is SKELETON else skeleton_of(workspace, trace)
    made_then = {name: made for made, name in (renamed_in(skeleton) if skeleton else {}).items()}
    made_now = {name: made for made, name in workspace.config.renamed.items()}
    only = None if stage is SKELETON else _vectors(workspace, trace)
    then = rebuilt(workspace, stage, trace, lambda name: only is None or made_then.get(name, name) in KEYS)
    with readable(now, hint=hint), workspace.ducks.lease() as duck:
        versions = Version.of(then, made_then, only), Version.of(now, made_now, only)
        changes = row_changes(duck, workspace.scratch, *versions)
        found = told(changes, *versions)
        if out is not None:
            as_text = [name for name, one in found["columns"].items() if "note" in one]
            found["exported"] = _exported(changes, out, as_text)
    return found


def _vectors(workspace: Workspace, trace: Trace) -> list[str]:
    """The columns of vectors then and now."""
    embeddings = workspace.config.runtime.embeddings
    assert embeddings is not None
    return [*dict.fromkeys([*embeddings.columns, *vector_columns(trace)])]


def _exported(changes: RowChanges, out: Path, as_text: Sequence[str]) -> int:
    """Writes the rows that differ to a file that the user named, atomically; returns how many."""
    beside = out.with_name(f".daeda-{uuid.uuid4().hex}")
    try:
        rows = changes.export(beside, as_text)
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    return rows


def was_replaced(settings: Settings, day: str) -> bool:
    """Whether it is remembered that a run replaced a partition of a day."""
    with opened(settings) as workspace:
        return any(isinstance(workspace.traces.fact(fact_of(stage, day)), dict) for stage in workspace.stages)


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
    told = ", ".join(f"{found[kind]:,} {kind}" for kind in ("added", "removed", "changed"))
    rows = f"{found['before']:,} rows -> {found['after']:,} ({told})"
    lines = [f"{head}, run {found['run'][:8]} of {found['started']} UTC", f"  {rows}"]
    for kind, sign in {"removed": "-", "added": "+"}.items():
        lines += [cut(f"      {sign} {'/'.join(one['row'])}") for one in found["examples"][kind]]
        hidden = found[kind] - len(found["examples"][kind])
        lines += [f"        and {hidden:,} more {kind}"] if hidden else []
    for name, row in sorted(found["columns"].items(), key=lambda item: -item[1]["share"]):
        note = f"  {row['note']}" if row.get("note") else ""
        lines.append(cut(f"  {name:<40}{row['rows']:>10,} rows {_percent(row)}{note}"))
        for example in row["examples"][:1]:
            old, new = _vectors_apart(example["old"], example["new"]) or shown_apart(
                str(example["old"]), str(example["new"])
            )
            lines += [cut(f"      {line}") for line in ("/".join(example["row"]), f"- {old}", f"+ {new}")]
    lines += [] if found["columns"] else ["  no value changed in the rows of both"]
    return [*lines, f"  {counted(found['exported'], 'row')} written"] if "exported" in found else lines
