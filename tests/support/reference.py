"""The brute-force reference (daedalus/audit/reference.py), and what compares an output with it."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from daedalus.audit.reference import DAY, Reference, _aggregated, micros, read_rows


def read_output(root: Path | str) -> dict[dt.date, list[dict]]:
    """Every partition of an output root as rows, parts in the order of their number."""
    found = {}
    for folder in sorted(Path(root).glob("dt=*")):
        parts = sorted(folder.glob("part-*.parquet"), key=lambda path: int(re.findall(r"part-(\d+)", path.name)[0]))
        found[dt.date.fromisoformat(folder.name[3:])] = [row for part in parts for row in read_rows(part)]
    return found


def differences(expected: dict, found: dict, limit: int = 5) -> list[str]:
    """What two outputs disagree on, by day, row and column."""
    problems = (
        [f"days: expected {sorted(set(expected) ^ set(found))} in only one"] if set(expected) != set(found) else []
    )
    for day in sorted(set(expected) & set(found)):
        if len(expected[day]) != len(found[day]):
            problems.append(f"{day}: {len(expected[day])} rows expected, {len(found[day])} found")
        for i, (want, got) in enumerate(zip(expected[day], found[day], strict=False)):
            if list(want) != list(got):
                problems.append(f"{day}: columns {list(want)} expected, {list(got)} found")
                break
            wrong = [name for name in want if want[name] != got[name]]
            problems += [f"{day} row {i} {name}: {want[name]} expected, {got[name]} found" for name in wrong]
            if len(problems) >= limit:
                return problems[:limit]
    return problems


__all__ = ["DAY", "Reference", "_aggregated", "differences", "micros", "read_output", "read_rows"]
