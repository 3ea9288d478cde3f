"""Two parquet files or partitions side by side: which columns differ, in how many rows, and how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_KEYS = ("user_id", "artwork_id", "event_timestamp", "event")


def read(paths: Sequence[Path]) -> Any:
    """The rows of some part files as one table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.ParquetFile(path).read() for path in paths])


def how_they_differ(one: Path, other: Path) -> list[dict]:
    """For each column that differs: `column`, and `how`: order, float noise, value, rows or encoding."""
    left, right = read([one]), read([other])
    if left.num_rows != right.num_rows:
        return [{"column": "*", "how": f"rows: {left.num_rows} and {right.num_rows}"}]
    found = []
    for column in left.column_names:
        a, b = left[column].to_pylist(), right[column].to_pylist()
        if a != b:
            found.append({"column": column, "how": _how(a, b)})
    return found or [{"column": "*", "how": "encoding: the values are the same"}]


def _how(a: list, b: list) -> str:
    if sorted(map(repr, a)) == sorted(map(repr, b)):
        return "order"
    if all(_sorted(x) == _sorted(y) for x, y in zip(a, b, strict=True)):
        return "order within lists"
    if all(_close(x, y) for x, y in zip(a, b, strict=True)):
        return "float noise"
    return "value"


def _sorted(value: Any) -> Any:
    return sorted(map(repr, value)) if isinstance(value, list) else value


def _close(x: Any, y: Any) -> bool:
    if isinstance(x, float) and isinstance(y, float):
        return math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(x) and math.isnan(y))
    return x == y


def compare_partitions(old: Any, new: Any, examples: int = 3) -> dict:
    """What changed from one table of a partition to another.

    Rows are matched by (user_id, artwork_id, event_timestamp, event) and their order among equals.
    Returns rows `before`, `after`, `added`, `removed`, and `columns`: name -> {"rows", "share", "examples"},
    counted over at most SAMPLE matched rows and scaled up where there are more.
    """
    left, right = _keyed(old), _keyed(new)
    both = [key for key in left if key in right]
    matched_old, matched_new = old.take([left[key] for key in both]), new.take([right[key] for key in both])
    columns: dict[str, dict] = {}
    for name in dict.fromkeys([*new.column_names, *old.column_names]):
        if name not in old.column_names or name not in new.column_names:
            note = "new column" if name in new.column_names else "column gone"
            columns[name] = {"rows": len(both), "share": 1.0, "examples": [], "note": note}
        elif matched_old[name].type != matched_new[name].type:
            note = f"type {matched_old[name].type} -> {matched_new[name].type}"
            columns[name] = {"rows": len(both), "share": 1.0, "examples": [], "note": note}
        elif not matched_old[name].equals(matched_new[name]):
            columns[name] = _changed(both, matched_old[name], matched_new[name], examples)
    return {
        "before": old.num_rows,
        "after": new.num_rows,
        "added": len(right) - len(both),
        "removed": len(left) - len(both),
        "columns": {name: row for name, row in columns.items() if row["rows"]},
    }


SAMPLE = 20_000


def _changed(keys: list[tuple], old: Any, new: Any, examples: int) -> dict:
    """How many rows of a column differ, and the first few of them."""
    stride = -(-len(keys) // SAMPLE)
    places = range(0, len(keys), stride)
    before, after = old.take(list(places)).to_pylist(), new.take(list(places)).to_pylist()
    changed = [i for i in range(len(places)) if before[i] != after[i]]
    shown = [
        {"row": [str(part) for part in keys[places[i]][:-1]], "old": before[i], "new": after[i]}
        for i in changed[:examples]
    ]
    return {"rows": len(changed) * stride, "share": round(len(changed) / max(len(places), 1), 4), "examples": shown}


def _keyed(table: Any) -> dict[tuple, int]:
    """Row number by key; equal keys are told apart by their order."""
    names = [name for name in _KEYS if name in table.column_names]
    counts: dict[tuple, int] = {}
    keyed = {}
    rows = (
        zip(*(table[name].to_pylist() for name in names), strict=True) if names else (() for _ in range(table.num_rows))
    )
    for i, key in enumerate(rows):
        counts[key] = counts.get(key, -1) + 1
        keyed[(*key, counts[key])] = i
    return keyed


def change_line(day: str, change: dict) -> str:
    """One line of what changed in a partition."""
    columns = sorted(change["columns"].items(), key=lambda item: -item[1]["share"])
    named = ", ".join(f"{name} {row['share']:.0%}" for name, row in columns[:3])
    more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
    rows = f"{change['before']:,} rows" + (f" -> {change['after']:,}" if change["before"] != change["after"] else "")
    return f"changed     {day}: {rows}; {named or 'no value'}{more}"[:80]
