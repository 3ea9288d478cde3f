"""Turns the statistics of partitions into series by day, and finds the day that departs most."""

from __future__ import annotations

import math
import statistics
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from daedalus.base.days import Day

Series = list[float | int | None]
_MEASURES = {
    "number": ("mean", "p5", "p50", "p95", "distinct"),
    "boolean": ("mean",),
    "list": ("mean", "p50", "p95", "empty"),
    "text": ("distinct", "top"),
    "time": ("mean", "p5", "p50", "p95"),
    "id": ("distinct",),
    "vector": ("norm", "low", "high", "length", "odd"),
    "other": (),
}
_MARKED = 6.0  # times the usual spread, from which a day is marked
# Not percentiles: those of counts jump by chance.
_COMPARED = ("nulls", "mean", "empty", "distinct", "top", "norm", "length", "odd")
SHARES = ("nulls", "empty", "top", "odd")  # measures that are shares of rows
_LEAST_SPREAD = 0.01  # of the usual value: smaller differences are never far
_LEAST_SHARE = 0.01  # the same of shares


def columns_by_day(
    days: Sequence[str], found: Mapping[str, Mapping[str, Any]], order: Sequence[str], ids: Container[str] = ()
) -> list[dict]:
    """One entry per column: its `measures` by day (None without a value), `top` values, and what `departs`.

    `found` has the statistics of each day's partition, `order` the columns in the order of the config; numbers in
    `ids` name things: of these no mean says anything.
    """
    by_day = {day: {column["name"]: column for column in found[day]["columns"]} for day in days if day in found}
    names = list(dict.fromkeys([*order, *(name for columns in by_day.values() for name in columns)]))
    columns = []
    for name in names:
        seen = [by_day.get(day, {}).get(name) for day in days]
        if any(column is not None for column in seen):
            rows = [found.get(day, {}).get("rows", 0) for day in days]
            columns.append(_column(name, days, seen, rows, named=name in ids))
    return columns


def _column(name: str, days: Sequence[str], seen: Sequence[dict | None], rows: Sequence[int], *, named: bool) -> dict:
    present = [column for column in seen if column]
    stored = present[-1]["kind"]
    kind = "id" if named and stored == "number" else stored
    same = [column if column and column["kind"] == stored else None for column in seen]
    measures: dict[str, Series] = {
        "nulls": [_share(c["nulls"], n) if c else None for c, n in zip(seen, rows, strict=True)]
    }
    for measure in _MEASURES[kind]:
        measures[measure] = [
            _value(measure, column, day, n) if column else None for column, day, n in zip(same, days, rows, strict=True)
        ]
    found = {
        "name": name,
        "type": " | ".join(dict.fromkeys(column["type"] for column in present)),
        "kind": kind,
        "measures": measures,
        "departs": departure(days, measures),
    }
    if kind == "text":
        found["top"] = [
            [[v, _share(n, all_)] for v, n in c["top"]] if c else None for c, all_ in zip(same, rows, strict=True)
        ]
    if kind in ("number", "list"):
        found["histograms"] = [column and column["histogram"] for column in same]
    return found


def _value(measure: str, column: Mapping[str, Any], day: str, rows: int) -> float | int | None:
    """A measure of a column on a day: `empty`, `top` and `odd` are shares of rows, times hours from the day's start."""
    if measure in ("empty", "odd"):
        return _share(column[measure], rows)
    if measure == "top":
        return _share(column["top"][0][1], rows) if column["top"] else None
    value = column[measure]
    if value is None or measure in ("distinct", "length"):
        return value
    if column["kind"] == "time":
        value = (value - (Day.fromisoformat(day) - Day(1970, 1, 1)).days * 86400) / 3600
    return rounded(value)


def rounded(value: float) -> float:
    """The value to six digits, enough for a chart."""
    return float(f"{value:.6g}")


def _share(part: int, whole: int) -> float | None:
    return rounded(part / whole) if whole else None


def departure(days: Sequence[str], measures: Mapping[str, Series]) -> dict | None:
    """The day, and the measure, that is farthest from the usual (the median), in spreads of that measure.

    The spread is 1.48 times the median distance from the median, which a few odd days do not move. None
    if no measure ever differs.
    """
    compared = [(measure, measures[measure]) for measure in _COMPARED if measure in measures]
    found = [row for measure, series in compared if (row := _farthest(days, measure, series))]
    return max(found, key=lambda row: row["times"], default=None)


def _farthest(days: Sequence[str], measure: str, series: Series) -> dict | None:
    """The day on which a measure is farthest from its median; None below 3 values, or if all are equal."""
    known = [(day, float(value)) for day, value in zip(days, series, strict=True) if value is not None]
    if len(known) < 3:
        return None
    usual = statistics.median(value for _, value in known)
    distances = [abs(value - usual) for _, value in known]
    place = max(range(len(known)), key=lambda i: distances[i])
    least = _LEAST_SHARE if measure in SHARES else abs(usual) * _LEAST_SPREAD
    if measure == "distinct":  # a count: one value more or less of a few is nothing
        least = max(least, math.sqrt(usual) / 2)
    spread = max(1.4826 * statistics.median(distances), least) or statistics.fmean(distances)
    if not distances[place]:
        return None
    day, value = known[place]
    times = round(min(distances[place] / spread, 999.0), 1)
    return {"measure": measure, "day": day, "value": value, "usual": usual, "times": times, "marked": times >= _MARKED}


def most_departing(columns: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of columns with a marked day, the farthest first."""
    marked = [column for column in columns if column["departs"] and column["departs"]["marked"]]
    return [column["name"] for column in sorted(marked, key=lambda column: -column["departs"]["times"])]
