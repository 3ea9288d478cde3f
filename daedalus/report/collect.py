"""`daeda report`: gathers every number of the page into one plain object, the one that `--json` prints.

Runs nothing. A partition is read only if no report has read its content before: its statistics are stored
by the digest of its content.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from threading import Lock
from typing import Any

import daedalus
from daedalus.base.days import parse_range
from daedalus.base.errors import DaedalusError, bare
from daedalus.base.terminal_text import counted
from daedalus.config.columns import makers
from daedalus.explain.failure_lines import failure_sentences
from daedalus.explain.run_history import last_runs
from daedalus.report.drift import columns_by_day, most_departing
from daedalus.report.heat_map import EMPTY, FRESH, MISSING, Cell, Grid, look_at_cells
from daedalus.report.statistics import partition_statistics
from daedalus.stagecache.walk.outcome import BLOCKED, FAILED
from daedalus.workspace.code_stamp import remembered_fingerprint
from daedalus.workspace.day_results import UNFINISHED, last_refusal
from daedalus.workspace.day_summary import FUNNEL
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

Say = Callable[[str], None]
_TRIES = 3  # for a partition that another process replaces meanwhile
_ROOTS = 50  # most root causes listed
_TOUCHED = 20  # most affected steps listed for each


def collect(settings: Settings, range: str | None = None, say: Say = lambda line: None) -> dict[str, Any]:
    """All numbers about the days of `range`, or of the config's: see the keys below.

    `say` is called with lines of progress. Raises DaedalusError for refused config, range or inputs.
    """
    if range is not None:
        parse_range(range)
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
        statistics, reading = _Reading(workspace, say).all(days)
        sizes = workspace.store.sizes()
        runs = last_runs(workspace.traces)
        order = [column.name for column in workspace.config.output_columns]
        columns = columns_by_day(days, statistics, order)
        known = {name: str(made[0]) for name, made in makers(workspace.config).items()} | {"qid": "qids"}
        for column in columns:
            column["source"] = known.get(column["name"], "default")
        return {
            "version": daedalus.__version__,
            "made": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "range": [str(span.first), str(span.last)],
            "cache_root": str(workspace.cache_root),
            "output_root": bare(workspace.output_root),
            "last_run": runs[0] if runs else None,
            "totals": _totals(days, grid, statistics, sizes),
            "days": days,
            "day_states": [grid.days[day] for day in days],
            "rows": [statistics[day]["rows"] if day in statistics else None for day in days],
            "bytes": [statistics[day]["bytes"] if day in statistics else None for day in days],
            "steps": [_by_day(grid, step, days) for step in grid.steps()],
            "of_no_day": [{"step": step, **asdict(grid.cells[step, ""])} for step in grid.of_no_day()],
            "results": grid.results,
            "whys": grid.whys,
            "causes": [_root(cause) for cause in grid.roots[:_ROOTS]],
            "more_causes": max(len(grid.roots) - _ROOTS, 0),
            "funnel": _funnel(grid, days),
            "columns": columns,
            "departing": most_departing(columns),
            "runs": runs,
            "reading": reading,
            "notes": [*notes, *reading.pop("notes")],
        }  # fmt: skip


def _totals(days: Sequence[str], grid: Grid, statistics: Mapping[str, Mapping], sizes: Mapping[str, int]) -> dict:
    tally = Counter(grid.days[day] for day in days)
    states = {state: tally[state] for state in (FRESH, "stale", MISSING, EMPTY, FAILED, BLOCKED, UNFINISHED)}
    return {
        "days": {"total": len(days), "done": len(statistics), **states},
        "rows": sum(found["rows"] for found in statistics.values()),
        "output_bytes": sum(found["bytes"] for found in statistics.values()),
        "cache_bytes": sum(sizes.values()),
        "artifacts": len(sizes),
        "seconds": round(sum(cell.seconds or 0 for cell in grid.cells.values()), 3),
        "step_days": dict(Counter(cell.state for (_, day), cell in grid.cells.items() if day)),
    }


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
    return {**cause, "steps": cause["steps"][:_TOUCHED], "touched": len(cause["steps"])}


def _funnel(grid: Grid, days: Sequence[str]) -> list[dict]:
    """Rows of each day that are left after each step, according to the traces."""
    found = []
    for label, (step, count) in FUNNEL.items():
        rows = [grid.counts.get((step, day), {}).get(count) for day in days]
        found.append({"step": label, "rows": rows, "total": sum(row or 0 for row in rows)})
    return found


class _Reading:
    """The statistics of partitions: stored ones, else from their files."""

    def __init__(self, workspace: Workspace, say: Say) -> None:
        self._workspace, self._say = workspace, say
        self._code = remembered_fingerprint(workspace.traces, partition_statistics).digest
        self._read = self._known = 0
        self._lock = Lock()
        self._notes: list[str] = []
        self._found: dict[str, dict] = {}  # statistics that were read, by the key of their fact

    def all(self, days: Sequence[str]) -> tuple[dict[str, dict], dict[str, Any]]:
        """Statistics with `bytes` by day, none for a day without partition; and how many were read."""
        labels = [f"{day}  [{place}/{len(days)}]" for place, day in enumerate(days, 1)]
        try:
            with ThreadPoolExecutor(self._workspace.workers) as pool:
                pairs = zip(days, pool.map(self._of, days, labels), strict=True)
                found = {day: statistics for day, statistics in pairs if statistics is not None}
        finally:  # an interrupted report is not for nothing
            if self._found:
                self._workspace.traces.remember_facts(self._found)
        self._say(f"{counted(len(found), 'partition')}: {self._read} read, {self._known} cached")
        return found, {"read": self._read, "known": self._known, "notes": self._notes}

    def _of(self, day: str, label: str) -> dict[str, Any] | None:
        """The statistics of a day's partition; None if there is none or it cannot be read."""
        partitions = self._workspace.partitions
        try:
            for _ in range(_TRIES):
                if (before := partitions.look(day)) is None:
                    return None
                content, size = before
                key = f"column statistics:{self._code}:{content}"
                if isinstance(found := self._workspace.traces.fact(key), dict):
                    self._count(known=1)
                    return {**found, "bytes": size}
                with partitions.reading(day) as parts:
                    found = partition_statistics(parts)
                if partitions.look(day) == before:
                    break
            else:
                raise DaedalusError("the partition is being replaced repeatedly", where=f"dt={day}")
        except Exception as error:  # noted; the other partitions are shown
            self._notes.append(f"{day}: the partition cannot be read ({_first_line(error)})")
            self._say(f"{label}  cannot be read: {_first_line(error)}")
            return None
        self._found[key] = found
        self._count(read=1)
        self._say(f"{label}  {counted(found['rows'], 'row')} read")
        return {**found, "bytes": size}

    def _count(self, read: int = 0, known: int = 0) -> None:
        with self._lock:
            self._read, self._known = self._read + read, self._known + known


def _first_line(error: Exception) -> str:
    return bare(f"{type(error).__name__}: {error}".splitlines()[0])[:200]
