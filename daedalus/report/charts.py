"""Small charts as SVG paths, a unit of width a day, so that the page can show fewer days by its viewBox alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEIGHT = 40
_MARGIN = 3  # above and below, for the width of lines
_SHARES = ("nulls", "empty", "top")
_LEAST_TOP = 0.05  # shares are drawn up to this at least: a hair of nulls is no mountain

Series = Sequence[float | int | None]


@dataclass(frozen=True)
class Line:
    """One path of a chart: `kind` is line, mean (dashed), band or area."""

    kind: str
    path: str


@dataclass(frozen=True)
class Chart:
    """What one small chart shows: `measures` are named in words, `low` and `high` are the ends of its axis."""

    label: str
    unit: str  # share, count, hours or value
    low: float
    high: float
    lines: tuple[Line, ...]
    mark: str  # path of a dot, or ""
    last: float | None


# kind -> (label, unit, measure of the line, dashed, band from, band to)
_NULLS = ("null share", "share", "nulls", None, None)
_PLANS: Mapping[str, tuple[tuple[str, str, str, str | None, tuple[str, str] | None], ...]] = {
    "number": (
        ("p50, mean dashed, p5 to p95", "value", "p50", "mean", ("p5", "p95")),
        ("distinct values", "count", "distinct", None, None),
        _NULLS,
    ),
    "boolean": (("share of true", "share", "mean", None, None), _NULLS),
    "list": (
        ("length: mean, p50 to p95", "value", "mean", None, ("p50", "p95")),
        ("share of empty lists", "share", "empty", None, None),
        _NULLS,
    ),
    "text": (
        ("distinct values", "count", "distinct", None, None),
        ("share of the commonest value", "share", "top", None, None),
        _NULLS,
    ),
    "time": (("hours from the day's start: p50, mean dashed, p5 to p95", "hours", "p50", "mean", ("p5", "p95")), _NULLS),
    "other": (_NULLS,),
}


def charts_of(column: Mapping[str, Any], days: Sequence[str]) -> list[Chart]:
    """The charts of one column, as `columns_by_day` gives it."""
    return [_chart(column, days, *plan) for plan in _PLANS[column["kind"]]]


def _chart(
    column: Mapping[str, Any], days: Sequence[str], label: str, unit: str, line: str, dashed: str | None,
    band: tuple[str, str] | None,
) -> Chart:  # fmt: skip
    measures, departs = column["measures"], column["departs"]
    shown = [name for name in (line, dashed, *(band or ())) if name]
    low, high = bounds([measures[name] for name in shown], unit == "share")
    lines = [Line("band", band_path(measures[band[0]], measures[band[1]], low, high))] if band else []
    lines += [Line("mean", line_path(measures[dashed], low, high))] if dashed else []
    lines.append(Line("line", line_path(measures[line], low, high)))
    mark = ""
    if departs and departs["measure"] in shown:
        mark = dot(days.index(departs["day"]), departs["value"], low, high)
    known = [value for value in measures[line] if value is not None]
    return Chart(label, unit, low, high, tuple(lines), mark, known[-1] if known else None)


def bounds(series: Iterable[Series], shares: bool) -> tuple[float, float]:
    """The ends of an axis on which all the series fit; shares begin at 0."""
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
    """A point: a line of no length, which round caps make a dot whatever the page does to the chart."""
    return f"M{place}.5 {_y(value, low, high)}h0"


def _runs(series: Series) -> list[tuple[int, list[float]]]:
    """Stretches of days that have a value, with the place of their first."""
    runs: list[tuple[int, list[float]]] = []
    for place, value in enumerate(series):
        if value is None:
            continue
        if runs and runs[-1][0] + len(runs[-1][1]) == place:
            runs[-1][1].append(value)
        else:
            runs.append((place, [value]))
    return runs
