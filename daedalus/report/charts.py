"""Small charts as SVG paths, one unit wide per day, so that the page can select days by the viewBox alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEIGHT = 40
_MARGIN = 6  # above and below, for the dot
_LEAST_TOP = 0.05  # an axis of shares ends at this or above, so that few nulls look few

Series = Sequence[float | int | None]


@dataclass(frozen=True)
class Line:
    """One path of a chart: `kind` is line or band."""

    kind: str
    path: str


@dataclass(frozen=True)
class Chart:
    """One small chart: `low` and `high` are its least and greatest value; without lines, the value never changes."""

    label: str
    unit: str  # share, count, hours or value
    low: float
    high: float
    lines: tuple[Line, ...]
    mark: str  # path of a dot, or ""
    last: float | None
    measures: tuple[str, ...] = ()  # that are drawn


# kind -> charts, each (label, unit, measures drawn as lines, whether the first and last of them bound a band)
_NULLS = ("null share", "share", ("nulls",), False)
_PERCENTILES = ("p5, p50, p95", "value", ("p5", "p50", "p95"), True)
_PLANS: Mapping[str, tuple[tuple[str, str, tuple[str, ...], bool], ...]] = {
    "number": (
        ("mean", "value", ("mean",), False),
        _PERCENTILES,
        ("distinct values", "count", ("distinct",), False),
        _NULLS,
    ),
    "id": (("distinct values", "count", ("distinct",), False), _NULLS),
    "boolean": (("share of true", "share", ("mean",), False), _NULLS),
    "list": (
        ("mean length", "value", ("mean",), False),
        ("length: p50, p95", "value", ("p50", "p95"), True),
        ("share of empty lists", "share", ("empty",), False),
        _NULLS,
    ),
    "text": (
        ("distinct values", "count", ("distinct",), False),
        ("share of the commonest value", "share", ("top",), False),
        _NULLS,
    ),
    "time": (
        ("mean, hours from the day's start", "hours", ("mean",), False),
        ("hours: p5, p50, p95", "hours", ("p5", "p50", "p95"), True),
        _NULLS,
    ),
    "vector": (
        ("mean norm", "value", ("norm",), False),
        ("least and greatest component", "value", ("low", "high"), True),
        ("components", "count", ("length",), False),
        ("share with NaN or infinity", "share", ("odd",), False),
        _NULLS,
    ),
    "other": (_NULLS,),
}


def charts_of(column: Mapping[str, Any], days: Sequence[str]) -> list[Chart]:
    """The charts of one column, as `columns_by_day` gives it."""
    return [_chart(column, days, *plan) for plan in _PLANS[column["kind"]]]


def _chart(
    column: Mapping[str, Any], days: Sequence[str], label: str, unit: str, shown: tuple[str, ...], banded: bool
) -> Chart:
    measures, departs = column["measures"], column["departs"]
    series = [measures[name] for name in shown]
    known = [value for values in series for value in values if value is not None]
    last = next((value for value in reversed(series[len(series) // 2]) if value is not None), None)
    if len(set(known)) <= 1:  # nothing to draw
        return Chart(label, unit, *bounds(series, False), (), "", last, shown)
    low, high = bounds(series, unit == "share")
    lines = [Line("band", band_path(series[0], series[-1], low, high))] if banded else []
    middle = [series[len(series) // 2]] if len(series) % 2 else series
    lines += [Line("line", line_path(values, low, high)) for values in middle]
    mark = ""
    if departs and departs["measure"] in shown:
        mark = dot(days.index(departs["day"]), departs["value"], low, high)
    return Chart(label, unit, *bounds(series, False), tuple(lines), mark, last, shown)


def bounds(series: Iterable[Series], shares: bool) -> tuple[float, float]:
    """The ends of an axis that fits all the series; an axis of shares begins at 0."""
    known = [float(value) for values in series for value in values if value is not None]
    if shares or not known:
        return 0.0, max([*known, _LEAST_TOP])
    return min(known), max(known)


def _y(value: float, low: float, high: float) -> str:
    share = (value - low) / (high - low) if high > low else 0.5
    return f"{HEIGHT - _MARGIN - share * (HEIGHT - 2 * _MARGIN):.1f}".removesuffix(".0")


def line_path(series: Series, low: float, high: float) -> str:
    """A line from day to day, broken where there is no value; a lone day is a dot."""
    path = ""
    for run in _runs(series):
        begin, values = run
        path += f"M{begin}.5 {_y(values[0], low, high)}"
        path += "".join(f"L{begin + i}.5 {_y(value, low, high)}" for i, value in enumerate(values[1:], 1)) or "h0"
    return path


def band_path(lower: Series, upper: Series, low: float, high: float) -> str:
    """The area between two series."""
    both = [None if a is None or b is None else a for a, b in zip(lower, upper, strict=True)]
    path = ""
    for begin, values in _runs(both):
        places = range(begin, begin + len(values))
        above = [f"{i}.5 {_y(upper[i] or 0, low, high)}" for i in places]
        below = [f"{i}.5 {_y(lower[i] or 0, low, high)}" for i in reversed(places)]
        path += f"M{'L'.join([*above, *below])}Z"
    return path


def dot(place: int, value: float, low: float, high: float) -> str:
    """A line of no length, which round caps draw as a dot however the page scales the chart."""
    return f"M{place}.5 {_y(value, low, high)}h0"


def _runs(series: Series) -> list[tuple[int, list[float]]]:
    """Runs of days with a value: (index of the first, values)."""
    runs: list[tuple[int, list[float]]] = []
    for place, value in enumerate(series):
        if value is None:
            continue
        if runs and runs[-1][0] + len(runs[-1][1]) == place:
            runs[-1][1].append(value)
        else:
            runs.append((place, [value]))
    return runs


def stretches(days: Sequence[str], states: Sequence[str]) -> list[dict[str, Any]]:
    """Days of the same state that follow each other: `state`, `first` and `last` day, `begin` and `length`."""
    found: list[dict[str, Any]] = []
    for place, (day, state) in enumerate(zip(days, states, strict=True)):
        if found and found[-1]["state"] == state:
            found[-1]["last"] = day
            found[-1]["length"] += 1
        else:
            found.append({"state": state, "first": day, "last": day, "begin": place, "length": 1})
    return found
