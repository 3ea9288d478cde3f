"""Which days break what `expect` says of them, and how that is told. Judges numbers; reads nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from daedalus.base.terminal_text import counted, wrapped
from daedalus.config.steps import SKELETON, Stage

if TYPE_CHECKING:
    from daedalus.config.schema import Band, Expect
    from daedalus.shapes.common import Break, Expected

_DAYS = 3  # that a line names
_LINES = 6  # of a summary


def breaks_of(
    expect: Expect, stage: Stage, rows: Mapping[str, int], statistics: Mapping[str, Mapping[str, Any]],
    vectors: Collection[str] = (),
) -> list[Break]:  # fmt: skip
    """The breaks of the days of a stage, in the order of days.

    `rows` are those of each day that is to be judged, `statistics` those of its partition. `vectors` are the columns
    that the enrich stage makes. A day without rows is judged by their number alone.
    """
    found: list[Break] = []
    for day, number in sorted(rows.items()):
        if stage is SKELETON:
            found += _broken(stage, day, None, "rows", number, expect.rows)
        columns = {column["name"]: column for column in statistics.get(day, {}).get("columns", ())}
        for name, expected in expect.columns.items() if number else ():
            if (name in vectors) != (stage is SKELETON):
                for measure, band in expected.bands.items():
                    found += _broken(stage, day, name, measure, _measured(measure, columns.get(name), number), band)
    return found


def _measured(measure: str, column: Mapping[str, Any] | None, rows: int) -> float | None:
    """A measure of a column on a day; None where it has none."""
    if column is None:
        return None
    if measure == "mean":
        return column.get("mean") if column["kind"] in ("number", "boolean", "list") else None
    without = column["nulls"] + (column.get("empty", 0) if measure == "coverage" else 0)
    return without / rows if measure == "null_share" else (rows - without) / rows


def _broken(
    stage: Stage, day: str, column: str | None, measure: str, value: float | None, band: Band | None
) -> Iterator[Break]:  # fmt: skip
    """The break of one expectation on a day, if it is one."""
    if band is None:
        return
    low, high = band
    if value is None or (low is not None and value < low) or (high is not None and value > high):
        yield {"day": day, "stage": stage.name, "column": column, "measure": measure, "value": value,
               "least": low, "most": high}  # fmt: skip


def expect_lines(checked: Expected, *, ends: bool = False) -> list[str]:
    """What a summary says, of a run that `ends` with it or else: each expectation that is broken, with its days."""
    breaks, days = checked["breaks"], counted(checked["days"], "day")
    if not checked["days"]:
        return ["expect      no day is judged yet: the next run does"]
    if not breaks:
        return [f"expect      {days} as expected"]
    broken = len({row["day"] for row in breaks})
    failed = "; on_break: fail, so exit 1" if ends and checked["on_break"] == "fail" else ""
    lines = [f"expect      {broken:,} of {days} not as expected{failed}"]
    alike = list(by_expectation(breaks).values())
    for rows in alike[:_LINES]:
        lines += wrapped(_sentence(rows), " " * 12)
    return lines + ([f"{'':12}and {len(alike) - _LINES} more expectations"] if len(alike) > _LINES else [])


def by_expectation(breaks: Iterable[Break]) -> dict[tuple[str | None, str], list[Break]]:
    """The breaks by column and measure."""
    found: dict[tuple[str | None, str], list[Break]] = {}
    for row in breaks:
        found.setdefault((row["column"], row["measure"]), []).append(row)
    return found


def break_sentence(row: Break) -> str:
    """Such as `2026-05-15: like_cnts_7d mean 0.2, expected 1 to 50`."""
    return f"{row['day']}: {what_of(row)} {told(row)}, expected {band_of(row)}"


def _sentence(rows: list[Break]) -> str:
    named = ", ".join(f"{row['day']} {told(row)}" for row in rows[:_DAYS])
    more = f" and {len(rows) - _DAYS} more days" if len(rows) > _DAYS else ""
    return f"{what_of(rows[0])}, expected {band_of(rows[0])}: {named}{more}"


def what_of(row: Break) -> str:
    """What is measured: a column's measure, or rows."""
    return f"{row['column']} {row['measure']}" if row["column"] else row["measure"]


def told(row: Break) -> str:
    return "has none" if row["value"] is None else _number(row["value"])


def band_of(row: Break) -> str:
    """Such as `1 to 50` or `at least 1`."""
    low, high = row["least"], row["most"]
    if high is None:
        return f"at least {_number(low or 0)}"
    return f"at most {_number(high)}" if low is None else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    """A number that tells two apart which differ little, in few digits."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
