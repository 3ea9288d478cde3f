"""Two ranges of days side by side, or one and an earlier report: means, null shares, and how far values moved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daedalus.base.errors import DaedalusError
from daedalus.report.drift import Series, rounded
from daedalus.statistics.histogram import distance, merged

# The measure of each kind of column that stands for all of its values.
_MIDDLE = {"number": "mean", "boolean": "mean", "list": "mean", "time": "mean", "vector": "norm", "id": "distinct",
           "text": "distinct"}  # fmt: skip
OPTION = "--against"


def is_file(against: str) -> bool:
    """Whether what is compared with is a file, and not a range of days."""
    return against.endswith(".json") or Path(against).is_file()


def earlier_report(path: str) -> dict[str, Any]:
    """The numbers that `daeda report --json` printed earlier. Raises DaedalusError for anything else."""
    try:
        found = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DaedalusError(
            "an earlier report cannot be read", where=f"{OPTION} {path}", found=error.strerror
        ) from None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"range", "made", "days", "rows", "columns"} <= found.keys():
        raise DaedalusError("this is no earlier report", where=f"{OPTION} {path}", found="something else",
                            expected="what daeda report --json printed, or days")  # fmt: skip
    return found


def compared(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """What `against` of a report holds: `then` beside `now`, of which both have `range`, `days`, `rows`, `columns`."""
    columns = {column["name"]: column for column in then["columns"]}
    names = [*dict.fromkeys([*(column["name"] for column in now["columns"]), *columns])]
    own = {column["name"]: column for column in now["columns"]}
    rows = [_column(name, (own.get(name), now["rows"]), (columns.get(name), then["rows"])) for name in names]
    return {
        "range": then["range"],
        "made": then.get("made"),
        "days": sum(number is not None for number in then["rows"]),
        "rows": [sum(number or 0 for number in of["rows"]) for of in (now, then)],
        "columns": sorted(rows, key=lambda row: -row["moved"]),
    }


def _column(name: str, *pair: tuple[Mapping[str, Any] | None, Sequence[int | None]]) -> dict[str, Any]:
    """One column of both: its kind now, or then if it is gone; `moved` is the largest of what tells how it differs."""
    kinds = [column["kind"] for column, _ in pair if column]
    same = len(set(kinds)) == 1
    nulls = [_whole(column, "nulls", rows) for column, rows in pair]
    means = [_whole(column, _MIDDLE.get(column["kind"], ""), rows) if column else None for column, rows in pair]
    apart = _apart(kinds[0], means, [column for column, _ in pair if column]) if same and len(kinds) == 2 else None
    moved = [abs(one - other) for one, other in [nulls] if one is not None and other is not None]
    return {"name": name, "kind": kinds[0], "measure": _MIDDLE.get(kinds[0]), "mean": means, "nulls": nulls,
            "distance": apart, "moved": rounded(max([*moved, apart or 0.0]))}  # fmt: skip


def _apart(kind: str, means: Sequence[float | None], both: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of values that lie elsewhere than before; None of a kind that has no histogram."""
    one, other = means
    if kind == "boolean" and one is not None and other is not None:
        return rounded(abs(one - other))
    far = distance(*(merged(column.get("histograms", ())) for column in both))
    return None if far is None else rounded(far)


def _whole(column: Mapping[str, Any] | None, measure: str, rows: Sequence[int | None]) -> float | None:
    """A measure over all days: each day's by its rows, of all but null shares by those that are not NULL."""
    if column is None or measure not in column["measures"]:
        return None
    values: Series = column["measures"][measure]
    nulls = column["measures"]["nulls"]
    known = [(value, (count or 0) * (1 if measure == "nulls" else 1 - (null or 0)))
             for value, count, null in zip(values, rows, nulls, strict=True) if value is not None]  # fmt: skip
    if measure == "distinct":  # which does not add up: that of a usual day
        return rounded(sum(value for value, _ in known) / len(known)) if known else None
    weight = sum(part for _, part in known)
    return rounded(sum(value * part for value, part in known) / weight) if weight else None
