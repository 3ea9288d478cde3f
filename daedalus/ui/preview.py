"""The first rows and the schema of an artifact or of a partition, read within limits, and what a step was made from."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from daedalus.base.days import Day
from daedalus.base.errors import DaedalusError, bare
from daedalus.config.steps import PARTITIONS
from daedalus.explain.day import planned_step
from daedalus.stagecache.walk.plan import Verdict
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 50
_MEMBERS, _CHARACTERS = 12, 160  # of a value that is shown whole


class Field(TypedDict):
    """A column: its name and Arrow's name of its type."""

    name: str
    type: str


class Preview(TypedDict):
    """Some rows of a file or of several: `first` is the place of the first, `total` how many there are in all."""

    columns: list[Field]
    first: int
    total: int
    bytes: int
    rows: list[list[str | None]]


class Ingredient(TypedDict):
    """A labelled value of a key, as it was when the step ran last, and as it is now where that is known."""

    kind: str
    what: str
    value: str


class Made(TypedDict):
    """A step's record: its key, where its artifact is, what went into it, and some of its rows, or why there are none.

    `now` says whether the ingredients are those of now; else they are those of the last run.
    """

    key: str
    file: str
    now: bool
    ingredients: list[Ingredient]
    preview: Preview | None
    problem: str


class Part(TypedDict):
    """Rows of a partition of a stage; `names` are those that its `user_id`, `artwork_id` and time have there."""

    stage: str
    names: dict[str, str]
    preview: Preview | None
    problem: str


def partition(settings: Settings, day: Day, stage: str | None, first: int) -> Part:
    """Rows of the day's partition in a stage, or in the last. Raises DaedalusError for a stage that there is not."""
    with opened(settings) as workspace:
        name = stage or workspace.stages[-1].name
        if name not in workspace.outputs:
            raise DaedalusError("there is no such stage", where="stage", found=name,
                                expected=", ".join(workspace.outputs))  # fmt: skip
        renamed = workspace.config.renamed
        names = {key: renamed.get(key, key) for key in ("user_id", "artwork_id", "event_timestamp")}
        home = workspace.outputs[name].partitions
        if home.look(str(day)) is None:
            return {"stage": name, "names": names, "preview": None, "problem": "there is no partition of this day"}
        try:
            with home.reading(str(day)) as parts:
                return {"stage": name, "names": names, "preview": rows_of(parts, first), "problem": ""}
        except (OSError, ValueError) as error:  # replaced meanwhile, or no parquet
            return {"stage": name, "names": names, "preview": None, "problem": bare(str(error).splitlines()[0])}


def made(settings: Settings, day: Day, step: str, first: int) -> Made:
    """The record of a step, as `daeda explain step` names it, and its first rows."""
    with opened(settings) as workspace:
        verdict = planned_step(workspace, day, step)[2]
        is_hit = verdict.state == "hit"
        manifest = verdict.trace.manifest if verdict.trace else verdict.action.ingredients
        ingredients = [_ingredient(label, value) for label, value in sorted(manifest.items())]
        found: Made = {"key": verdict.key, "file": "", "now": is_hit or not verdict.trace, "ingredients": ingredients,
                       "preview": None, "problem": ""}  # fmt: skip
        if verdict.trace is None:
            return {**found, "problem": "it was never made"}
        try:
            with _files(workspace, verdict) as files:
                return {**found, "file": bare(str(files[0])), "preview": rows_of(files, first)}
        except (OSError, DaedalusError, ValueError) as error:  # a file that is gone, or is no parquet
            return {**found, "problem": bare(str(error).splitlines()[0])}


def _ingredient(label: str, value: str) -> Ingredient:
    kind, _, what = label.partition(":")
    return {"kind": kind, "what": what, "value": value}


@contextmanager
def _files(workspace: Workspace, verdict: Verdict) -> Iterator[Sequence[Path]]:
    action, trace = verdict.action, verdict.trace
    assert trace is not None
    if action.step in PARTITIONS:
        home = next(one.partitions for one in workspace.outputs.values() if one.stage.partition == action.step)
        if home.look(str(action.day)) is None:
            raise DaedalusError("there is no partition of this day")
        with home.reading(str(action.day)) as parts:
            yield parts
        return
    if problem := workspace.store.problem(action.name, trace.artifact):
        raise DaedalusError(f"its artifact is {problem}", hint="a run makes it again")
    yield [workspace.store.path(action.name, trace.artifact)]


def rows_of(files: Sequence[Path], first: int) -> Preview:
    """ROWS rows from a place on; of each file only the row groups with such rows are read, batch by batch."""
    import pyarrow.parquet as pq

    rows: list[list[str | None]] = []
    columns: list[Field] = []
    total = size = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            columns = columns or [{"name": one.name, "type": str(one.type)} for one in file.schema_arrow]
            size += path.stat().st_size
            for group in range(file.metadata.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if total + count > first and len(rows) < ROWS:
                    rows += _some(file, group, max(first - total, 0), ROWS - len(rows))
                total += count
    return {"columns": columns, "first": first, "total": total, "bytes": size, "rows": rows}


def _some(file: Any, group: int, skipped: int, most: int) -> list[list[str | None]]:
    """Rows of a row group after those that are skipped."""
    found: list[list[str | None]] = []
    for batch in file.iter_batches(batch_size=ROWS, row_groups=[group], use_threads=False):
        here: pa.RecordBatch = batch.slice(min(skipped, batch.num_rows), most - len(found))
        skipped = max(skipped - batch.num_rows, 0)
        values = [[_text(value) for value in column.to_pylist()] for column in here.columns]
        found += [list(row) for row in zip(*values, strict=True)]
        if len(found) >= most:
            break
    return found


def _text(value: Any) -> str | None:
    """A value in few characters; of a long list its first members, and how many there are."""
    if value is None:
        return None
    if isinstance(value, list):
        shown = ", ".join(_text(one) or "null" for one in value[:_MEMBERS])
        return f"[{shown}, … {len(value):,} in all]" if len(value) > _MEMBERS else f"[{shown}]"
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, bytes):
        return f"{value[:16].hex()}… {len(value):,} bytes" if len(value) > 16 else value.hex()
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict) else str(value)
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}… {len(text):,} characters"
