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
    Returns rows `before`, `after`, `added`, `removed`, and `columns`: name -> {"rows", "share", "examples"}.
    """
    left, right = _keyed(old), _keyed(new)
    both = [key for key in left if key in right]
    columns: dict[str, dict] = {}
    for name in new.column_names:
        if name not in old.column_names:
            columns[name] = {"rows": len(both), "share": 1.0, "examples": [], "note": "new column"}
            continue
        before, after = old[name].to_pylist(), new[name].to_pylist()
        changed = [key for key in both if before[left[key]] != after[right[key]]]
        if changed:
            shown = [
                {"row": [str(part) for part in key[:-1]], "old": before[left[key]], "new": after[right[key]]}
                for key in changed[:examples]
            ]
            columns[name] = {"rows": len(changed), "share": round(len(changed) / len(both), 4), "examples": shown}
    for name in set(old.column_names) - set(new.column_names):
        columns[name] = {"rows": len(both), "share": 1.0, "examples": [], "note": "column gone"}
    return {
        "before": old.num_rows,
        "after": new.num_rows,
        "added": len(right) - len(both),
        "removed": len(left) - len(both),
        "columns": columns,
    }


def _keyed(table: Any) -> dict[tuple, int]:
    """Row number by key; equal keys are told apart by their order."""
    names = [name for name in _KEYS if name in table.column_names]
    counts: dict[tuple, int] = {}
    keyed = {}
    for i, key in enumerate(zip(*(table[name].to_pylist() for name in names), strict=True)):
        counts[key] = counts.get(key, -1) + 1
        keyed[(*key, counts[key])] = i
    return keyed
