"""Which step feeds which: what each step of a day read when it last ran, by its trace."""

from __future__ import annotations

from collections import Counter

from daedalus.report.heat_map import Grid, row_of
from daedalus.stagecache.records.traces import Traces

_UPSTREAM = "upstream:"


def lineage(traces: Traces, grid: Grid) -> dict[str, dict[str, int]]:
    """By step: the steps that it read, each with of how many days, as on the last day that has the most steps."""
    sizes = Counter(day for _, day in grid.cells if day)
    day = max(sizes, key=lambda day: (sizes[day], day), default="")
    found = {}
    for step, of in grid.cells:
        trace = traces.latest(grid.names[step, of]) if of in (day, "") else None
        if trace:
            above = (label.removeprefix(_UPSTREAM) for label in trace.manifest if label.startswith(_UPSTREAM))
            found[step] = dict(Counter(map(row_of, above)))
    return found
