"""The days of a table's files, by their partition values."""

from __future__ import annotations

from collections.abc import Mapping

from daedalus.base.days import FIRST_YEAR, LAST_YEAR, Day
from daedalus.base.errors import DaedalusError
from daedalus.config.partition_pattern import PartitionPattern
from daedalus.inputs.lake.table import LakeFile, LakeTable


def days_of(table: LakeTable, pattern: PartitionPattern, where: str) -> tuple[dict[Day, list[str]], list[str]]:
    """(labels of files by day, partitions whose values are no day).

    The fields that the pattern's levels name say the day, as folders of those names would, or as dates; where there are
    none of these names, the field that is a date does. Raises DaedalusError (exit 2) for a file of whose partition
    nothing says a day.
    """
    days: dict[Day, list[str]] = {}
    others: dict[str, None] = {}
    for file in table.files:
        names = _names(file, pattern, where)
        if names is None:
            raise _no_days(table, file, pattern, where)
        if day := names if isinstance(names, Day) else pattern.day(names):
            days.setdefault(day, []).append(file.label)
        else:
            others["/".join(f"{name}={_shown(value)}" for name, value in file.values.items())] = None
    return days, list(others)


def _names(file: LakeFile, pattern: PartitionPattern, where: str) -> Day | list[str] | None:
    """The day of a file, or the names that its folders would have, none for a NULL; None if nothing says a day."""
    levels = [level.partition("=")[0] for level in pattern.levels if "%H" not in level]
    dates = [name for name in file.values if name in file.days]
    if named := [name for name in dates if name in levels]:
        dates = named
    elif all(level in file.values for level in levels):
        return [f"{level}={_shown(file.values[level])}" for level in levels]
    if not dates:
        return None
    if len(dates) > 1:
        raise DaedalusError("a table with several partition fields that are dates", where=where,
                            found=", ".join(dates), expected="one of them, named by feed.partition",
                            hint=f"partition: {dates[0]}=%Y-%m-%d, beside feed.path")  # fmt: skip
    value = file.values[dates[0]]
    return value if isinstance(value, Day) and FIRST_YEAR <= value.year <= LAST_YEAR else []


def _shown(value: object) -> str:
    return "null" if value is None else str(value)


def _no_days(table: LakeTable, file: LakeFile, pattern: PartitionPattern, where: str) -> DaedalusError:
    by = ", ".join(table.partitioned)
    found = f"{table.folder}, partitioned by {by}" if by else f"{table.folder}, which is not partitioned"
    if by and not set(file.values) >= {"year", "month", "day"} and table.files[0].values.keys() != file.values.keys():
        found += f"; {file.label} by {', '.join(file.values) or 'nothing'}"
    return DaedalusError("a table that is not partitioned by day", where=where, found=found,
                         expected=f"a partition field that is a date, or fields as in feed.partition: {pattern.shown}",
                         hint=_hint(pattern_of(file.values)))  # fmt: skip


def _hint(pattern: str) -> str:
    return f'partition: "{pattern}", beside feed.path' if pattern else "partition the table by the day of its events"


def pattern_of(values: Mapping[str, object]) -> str:
    """A pattern that takes a file's partition, if one is plain to see; else ""."""
    by_name = {name.lower(): name for name in values}
    if {"year", "month", "day"} <= by_name.keys():
        return f"{by_name['year']}=%Y/{by_name['month']}=%m/{by_name['day']}=%d"
    for name, value in values.items():
        for form in ("%Y-%m-%d", "%Y%m%d"):
            if PartitionPattern(f"{name}={form}").day([f"{name}={value}"]):
                return f"{name}={form}"
    return ""
