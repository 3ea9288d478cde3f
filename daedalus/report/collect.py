"""`daeda report`: gathers every number of the page into one plain object, the one that `--json` prints.

Runs nothing. A partition is read only if no report has read its content before: its statistics are stored
by the digest of its content.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import daedalus
from daedalus.base.days import parse_range
from daedalus.base.errors import bare
from daedalus.base.terminal_text import counted
from daedalus.config.columns import makers, names_things
from daedalus.config.steps import ENRICH, SKELETON
from daedalus.explain.cause_lines import with_diff
from daedalus.explain.failure_lines import failure_sentences
from daedalus.explain.run_history import last_runs
from daedalus.report.compare import OPTION, compared, earlier_report, is_file
from daedalus.report.drift import columns_by_day, most_departing
from daedalus.report.heat_map import EMPTY, FRESH, MISSING, Cell, Grid, look_at_cells
from daedalus.report.lineage import lineage
from daedalus.stagecache.walk.outcome import BLOCKED, FAILED
from daedalus.statistics.check import expected
from daedalus.statistics.judge import breaks_of
from daedalus.statistics.partition import partition_statistics
from daedalus.statistics.read import Reading, Say
from daedalus.statistics.vectors import vector_statistics
from daedalus.workspace.day_results import UNFINISHED, last_refusal
from daedalus.workspace.day_summary import FUNNEL
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    from daedalus.config import Config
    from daedalus.config.schema import Expect
    from daedalus.shapes.common import Expected
    from daedalus.shapes.report import Collected

_ROOTS = 50  # most root causes listed
_TOUCHED = 20  # most affected steps listed for each


def collect(
    settings: Settings, range: str | None = None, say: Say = lambda line: None, against: str | None = None
) -> Collected:
    """All numbers about the days of `range`, or of the config's: see the keys below.

    `say` is called with lines of progress. They are compared with those of `against`: other days, or a file of an
    earlier report. Raises DaedalusError for refused config, range, inputs or file.
    """
    if range is not None:
        parse_range(range)
    earlier = earlier_report(against) if against is not None and is_file(against) else None
    other = parse_range(against, OPTION) if against is not None and earlier is None else None
    with opened(settings) as workspace:
        span = workspace.config.range(range)
        days = [str(day) for day in span]
        say(f"{span}: looking at {counted(len(days), 'day')}")
        grid = look_at_cells(workspace, list(span), workspace.listing())
        failed = {bare(failure["error"]) for result in grid.results.values() for failure in result["failures"]}
        refused = last_refusal(workspace)
        notes = [f"the last run was refused: {refused['error']}"] if refused else []
        notes += failure_sentences(grid.results)
        notes += [f"{day}: {error}" for day, error in sorted(grid.errors.items()) if error not in failed]
        reading = Reading(workspace, say)
        columns, statistics, vectors = _columns(workspace, reading, days)
        sizes = workspace.store.sizes()
        runs = last_runs(workspace.traces)
        known = {name: str(made[0]) for name, made in makers(workspace.config).items()} | {"qid": "qids"}
        known |= {name: known[made] for made, name in workspace.config.renamed.items()}
        known |= _vector_sources(workspace)
        for column in columns:
            column["source"] = known.get(column["name"], "default")
        found: dict[str, Any] = {
            "version": daedalus.__version__,
            "made": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "range": [str(span.first), str(span.last)],
            "cache_root": str(workspace.cache_root),
            "output_root": bare(workspace.output_root),
            "output_roots": {name: bare(output.root) for name, output in workspace.outputs.items()},
            "last_run": runs[0] if runs else None,
            "totals": _totals(
                days, grid, {**dict.fromkeys(workspace.outputs, vectors), SKELETON.name: statistics}, sizes
            ),
            "days": days,
            "day_states": [grid.days[day] for day in days],
            "rows": [statistics[day]["rows"] if day in statistics else None for day in days],
            "bytes": [statistics[day]["bytes"] if day in statistics else None for day in days],
            "steps": [_by_day(grid, step, days) for step in grid.steps()],
            "of_no_day": [{"step": step, **asdict(grid.cells[step, ""])} for step in grid.of_no_day()],
            "results": grid.results,
            "whys": [[with_diff(cause) for cause in why] for why in grid.whys],
            "causes": [_root(cause) for cause in grid.roots[:_ROOTS]],
            "more_causes": max(len(grid.roots) - _ROOTS, 0),
            "funnel": _funnel(grid, days),
            "columns": columns,
            "departing": most_departing(columns),
            "runs": [{**run, "causes": [with_diff(cause) for cause in run["causes"]]} for run in runs],
            "reading": {"read": reading.read, "known": reading.known},
            "lineage": lineage(workspace.traces, grid),
            "options": settings.options,
            "run": settings.run(workspace.config),
            "notes": [*notes, *reading.notes],
        }
        if expect := workspace.config.runtime.expect:
            found["expect"] = _expected(workspace.config, expect, grid.unusable & {*days}, statistics, vectors)
        if other is not None:
            earlier = _of_days(workspace, reading, [str(day) for day in other])
        if earlier is not None:
            found["against"] = compared(found, earlier)
        return cast("Collected", found)


def _columns(
    workspace: Workspace, reading: Reading, days: Sequence[str]
) -> tuple[list[dict], dict[str, dict], dict[str, dict]]:
    """The columns over some days, in the order of the output; and the statistics of both stages' partitions by day."""
    config = workspace.config
    statistics = reading.all(days, workspace.outputs[SKELETON.name], partition_statistics)
    vectors = _vectors(workspace, reading, days)
    order = [column.name for column in config.output_columns]
    ids = {name for name in [*order, "qid"] if name == "qid" or names_things(config, name)}
    columns = columns_by_day(days, statistics, order, ids)
    return _in_place(columns, columns_by_day(days, vectors, [])), statistics, vectors


def _of_days(workspace: Workspace, reading: Reading, days: Sequence[str]) -> dict[str, Any]:
    """Of other days what a report is compared with."""
    columns, statistics, _ = _columns(workspace, reading, days)
    rows = [statistics[day]["rows"] if day in statistics else None for day in days]
    return {"range": [days[0], days[-1]], "days": days, "rows": rows, "columns": columns}


def _expected(
    config: Config, expect: Expect, unusable: Iterable[str], statistics: Mapping[str, Mapping],
    vectors: Mapping[str, Mapping],
) -> Expected:  # fmt: skip
    """What of the partitions is not as expected."""
    of_vectors = [*config.runtime.embeddings.columns] if config.runtime.embeddings else []
    breaks: list = []
    for stage, found in ((SKELETON, statistics), (ENRICH, vectors)):
        rows = {day: one["rows"] for day, one in found.items()} | (
            dict.fromkeys(unusable, 0) if stage is SKELETON else {}
        )
        breaks += breaks_of(expect, stage, rows, found, of_vectors)
    return expected(expect, len({*statistics, *vectors, *unusable}), breaks)


def _vectors(workspace: Workspace, reading: Reading, days: Sequence[str]) -> dict[str, dict]:
    """The statistics of the columns of vectors, by day."""
    embeddings = workspace.config.runtime.embeddings
    if embeddings is None:
        return {}
    names = list(embeddings.columns)
    return reading.all(days, workspace.outputs[ENRICH.name], partial(vector_statistics, names=names), names)


def _vector_sources(workspace: Workspace) -> dict[str, str]:
    embeddings = workspace.config.runtime.embeddings
    found = embeddings.columns.items() if embeddings else ()
    return {name: f"vector of {one.of}" if one.of else f"mean of {one.mean_of}" for name, one in found}


def _in_place(columns: Sequence[dict], vectors: Sequence[dict]) -> list[dict]:
    """The columns, with those of vectors in the places of their names, or last."""
    by_name = {column["name"]: column for column in vectors}
    placed = [by_name.pop(column["name"], column) for column in columns]
    return [*placed, *by_name.values()]


def _totals(
    days: Sequence[str], grid: Grid, stages: Mapping[str, Mapping[str, Mapping]], sizes: Mapping[str, int]
) -> dict:  # fmt: skip
    """Sums over the days; `stages` has the statistics of each stage's partitions by day."""
    tally = Counter(grid.days[day] for day in days)
    states = {state: tally[state] for state in (FRESH, "stale", MISSING, EMPTY, FAILED, BLOCKED, UNFINISHED)}
    whole = set.intersection(*(set(found) for found in stages.values()))
    return {
        "days": {"total": len(days), "done": len(whole), **states},
        "stages": {name: {"done": len(found), "bytes": sum(one["bytes"] for one in found.values())}
                   for name, found in stages.items()},
        "rows": sum(one["rows"] for one in stages[SKELETON.name].values()),
        "output_bytes": sum(one["bytes"] for found in stages.values() for one in found.values()),
        "cache_bytes": sum(sizes.values()),
        "artifacts": len(sizes),
        "seconds": round(sum(cell.seconds or 0 for cell in grid.cells.values()), 3),
        "step_days": dict(Counter(cell.state for (_, day), cell in grid.cells.items() if day)),
    }  # fmt: skip


def _by_day(grid: Grid, step: str, days: Sequence[str]) -> dict[str, Any]:
    """A step's cells as lists by day; None on days that have no such step."""
    cells = [grid.cells.get((step, day)) for day in days]

    def each(take: Callable[[Cell], Any]) -> list:
        return [take(cell) if cell else None for cell in cells]

    return {
        "step": step,
        "states": each(lambda cell: cell.state),
        "seconds": each(lambda cell: cell.seconds),
        "rows": each(lambda cell: cell.rows),
        "bytes": each(lambda cell: cell.bytes),
        "why": each(lambda cell: cell.why),
    }


def _root(cause: Mapping[str, Any]) -> dict[str, Any]:
    return {**with_diff(cause), "steps": cause["steps"][:_TOUCHED], "touched": len(cause["steps"])}


def _funnel(grid: Grid, days: Sequence[str]) -> list[dict]:
    """Rows of each day that are left after each step, according to the traces."""
    found = []
    for label, (step, count) in FUNNEL.items():
        rows = [grid.counts.get((step, day), {}).get(count) for day in days]
        found.append({"step": label, "rows": rows, "total": sum(row or 0 for row in rows)})
    return found
