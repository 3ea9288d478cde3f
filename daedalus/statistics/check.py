"""Judges days of a run, or of a look at them, by `expect`: reads of partitions only the columns that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from daedalus.config.steps import SKELETON
from daedalus.statistics.judge import breaks_of

if TYPE_CHECKING:
    from daedalus.config.schema import Expect
    from daedalus.shapes.common import Expected
    from daedalus.statistics.read import Reading
    from daedalus.workspace.fresh_days import FreshDays
    from daedalus.workspace.workspace import StageOutput, Workspace


def check_days(
    workspace: Workspace, rows: Mapping[str, Mapping[str, int]], say: Callable[[str], None] = lambda line: None,
    *, read: bool = True,
) -> Expected | None:  # fmt: skip
    """What of some days is not as expected; None without `expect`. `rows` are those of each day, by stage.

    A partition that cannot be read is told to `say`, and not judged; nor is, without `read`, one that must be read.
    """
    from daedalus.statistics.read import Reading

    expect = workspace.config.runtime.expect
    if expect is None:
        return None
    embeddings = workspace.config.runtime.embeddings
    vectors = list(embeddings.columns) if embeddings else []
    reading, breaks, days = Reading(workspace, lambda line: None, read=read), [], set[str]()
    for name, output in workspace.outputs.items():
        of_stage = rows.get(name, {})
        asked = [c for c in expect.columns if (c in vectors) != (output.stage is SKELETON)]
        found = _statistics(reading, output, asked, [day for day, number in of_stage.items() if number])
        known = {day: number for day, number in of_stage.items() if not asked or day in found or not number}
        breaks += breaks_of(expect, output.stage, known, found, vectors)
        days |= known.keys()
    for note in reading.notes:
        say(f"expect: {note}")
    return expected(expect, len(days), breaks)


def check_fresh(workspace: Workspace, fresh: Mapping[str, FreshDays], *, read: bool) -> Expected | None:
    """The same of days that are fresh, as `fresh_in_all` gives them."""
    rows = {name: {day: one["written"] for day, one in stands.days.items()} for name, stands in fresh.items()}
    return check_days(workspace, rows, read=read)


def expected(expect: Expect, days: int, breaks: list) -> Expected:
    """The result of judging so many days."""
    return {"on_break": expect.on_break, "days": days, "breaks": sorted(breaks, key=lambda row: row["day"])}


def _statistics(reading: Reading, output: StageOutput, columns: list[str], days: list[str]) -> dict[str, dict]:
    """Those of some columns, by day; of none where nothing is asked."""
    if not columns or not days:
        return {}
    if output.stage is SKELETON:
        from daedalus.statistics.partition import partition_statistics

        of = partial(partition_statistics, columns=columns)
        return reading.all(days, output, of, sorted(columns), whole=partition_statistics)
    from daedalus.statistics.vectors import vector_statistics

    return reading.all(days, output, partial(vector_statistics, names=columns), columns)
