"""Compares two parquet files or partitions: which columns differ, in how many rows, and how."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daedalus.base.errors import DaedalusError
from daedalus.output.part_file import read_parts, schema_of

SAME_AGAIN = "another run recreates it with the same bytes"
KEYS = ("user_id", "artwork_id", "event_timestamp", "event")


def read(paths: Sequence[Path], hint: str = SAME_AGAIN, columns: Sequence[str] | None = None) -> Any:
    """The rows of some part files as one table, with all or some of their columns."""
    with readable(paths, hint=hint):
        return read_parts(paths, columns)


def columns_in(path: Path, hint: str = SAME_AGAIN) -> list[str]:
    """The columns of a part file."""
    with readable([path], hint=hint):
        return schema_of(path).names


@contextmanager
def readable(paths: Sequence[Path], what: str = "a partition", hint: str = SAME_AGAIN) -> Iterator[None]:
    """Turns errors of reading parquet files into a DaedalusError (exit 2)."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        shown, found = str(paths[0].parent if len(paths) > 1 else paths[0]), " ".join(str(error).split())[:200]
        raise DaedalusError(
            f"{what} cannot be read", where=shown, found=found, expected="a whole file", hint=hint
        ) from None


def how_they_differ(one: Path, other: Path) -> list[dict]:
    """For each column that differs: `column`, and `how`: order, float noise, value, rows or encoding."""
    left, right = read([one]), read([other])
    if left.num_rows != right.num_rows:
        return [{"column": "*", "how": f"rows: {left.num_rows} and {right.num_rows}"}]
    found = []
    for column in left.column_names:
        a, b = as_python(left[column]), as_python(right[column])
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


def compare_partitions(old: Any, new: Any) -> dict:
    """What changed between two tables of a partition.

    Rows are matched by (user_id, artwork_id, event_timestamp, event) and their order among equals.
    Returns rows `before`, `after`, `added`, `removed`, and `columns`: name -> {"rows", "share", "examples"}.
    """
    left, right = _keyed(old), _keyed(new)
    both = [key for key in left if key in right]
    matched_old, matched_new = old.take([left[key] for key in both]), new.take([right[key] for key in both])
    names = dict.fromkeys([*new.column_names, *old.column_names])
    columns = {name: changed(matched_old, matched_new, name) for name in names}
    return {
        "before": old.num_rows,
        "after": new.num_rows,
        "added": len(right) - len(both),
        "removed": len(left) - len(both),
        "columns": {name: row for name, row in columns.items() if row["rows"]},
    }


def changed(old: Any, new: Any, name: str, examples: int = 3) -> dict:
    """In how many rows a column differs between two tables of the same rows, and the first few of them."""
    rows = {"rows": new.num_rows, "share": 1.0, "examples": []}
    if name not in old.column_names or name not in new.column_names:
        return {**rows, "note": "new column" if name in new.column_names else "column gone"}
    if old[name].type != new[name].type:
        return {**rows, "note": f"type {old[name].type} -> {new[name].type}"}
    rows_changed = _differing(old[name], new[name])
    keys = [key for key in KEYS if key in new.column_names]
    shown = [
        {"row": [str(_at(new[key], i)) for key in keys], "old": _at(old[name], i), "new": _at(new[name], i)}
        for i in rows_changed[:examples]
    ]
    return {"rows": len(rows_changed), "share": round(len(rows_changed) / max(new.num_rows, 1), 4), "examples": shown}


def _differing(old: Any, new: Any) -> list[int]:
    """Rows in which two columns of one type differ; NaN is NaN."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    a, b = _whole(old), _whole(new)
    if pa.types.is_list(a.type) and not pa.types.is_nested(a.type.value_type):
        lengths = [pc.fill_null(pc.list_value_length(x), -1).to_numpy(zero_copy_only=False) for x in (a, b)]
        same = lengths[0] == lengths[1]
        members = _differing(a.filter(pa.array(same)).flatten(), b.filter(pa.array(same)).flatten())
        row_of = np.repeat(np.flatnonzero(same), np.maximum(lengths[0][same], 0))
        return np.union1d(np.flatnonzero(~same), row_of[members]).tolist()
    if pa.types.is_nested(a.type):
        return [i for i, (x, y) in enumerate(zip(as_python(a), as_python(b), strict=True)) if x != y]
    if pa.types.is_float16(a.type):  # which pyarrow does not compare
        a, b = a.cast(pa.float32()), b.cast(pa.float32())
    unequal = pc.fill_null(pc.not_equal(a, b), False)
    if pa.types.is_floating(a.type):
        unequal = pc.and_not(unequal, pc.fill_null(pc.and_(pc.is_nan(a), pc.is_nan(b)), False))
    other = pc.or_(unequal, pc.xor(pc.is_null(a), pc.is_null(b)))
    return np.flatnonzero(other.to_numpy(zero_copy_only=False)).tolist()


def _at(column: Any, row: int) -> Any:
    return as_python(column.slice(row, 1))[0]


def as_python(column: Any) -> list:
    """Values in Python; as text where Python has no such value: fractions of microseconds, years after 9999."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):
        return [" ".join(column.slice(i, 1).to_string().split()) for i in range(len(column))]


def _whole(column: Any) -> Any:
    import pyarrow as pa

    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _keyed(table: Any) -> dict[tuple, int]:
    """Row number by key; equal keys are numbered in their order."""
    names = [name for name in KEYS if name in table.column_names]
    counts: dict[tuple, int] = {}
    keyed = {}
    rows = (
        zip(*(table[name].to_pylist() for name in names), strict=True) if names else (() for _ in range(table.num_rows))
    )
    for i, key in enumerate(rows):
        counts[key] = counts.get(key, -1) + 1
        keyed[(*key, counts[key])] = i
    return keyed
