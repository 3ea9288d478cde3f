"""Compares two parquet files or partitions: which columns differ, in how many rows, and how."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.errors import DaedalusError, is_full
from daedalus.output.part_file import read_parts, rows_of, schema_of

if TYPE_CHECKING:
    from daedalus.base.ports import Scratch
    from daedalus.sql.duck import Duck
    from daedalus.sql.row_changes import RowChanges

SAME_AGAIN = "another run recreates it with the same bytes"
_AT_ONCE = 8  # columns that are compared at a time
KEYS = ("user_id", "artwork_id", "event_timestamp", "event")


def read(paths: Sequence[Path], hint: str = SAME_AGAIN, columns: Sequence[str] | None = None) -> Any:
    """The rows of some part files as one table, with all or some of their columns."""
    with readable(paths, hint=hint):
        return read_parts(paths, columns)


@contextmanager
def readable(paths: Sequence[Path], what: str = "a partition", hint: str = SAME_AGAIN) -> Iterator[None]:
    """Turns errors of reading parquet files into a DaedalusError (exit 2)."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if is_full(error):
            raise
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


@dataclass(frozen=True)
class Version:
    """A partition as it is or was: its parts, its columns by the names under which they are made, their types."""

    parts: Sequence[Path]
    columns: Mapping[str, str]
    types: Mapping[str, Any]

    @classmethod
    def of(cls, parts: Sequence[Path], made: Mapping[str, str], only: Container[str] | None = None) -> Version:
        """The partition in some parts, whose columns are made under other names where `made` has them; with `only`
        those of these names, and the keys."""
        schema = schema_of(parts[0])
        names = {made.get(name, name): name for name in schema.names}
        wanted = {name: own for name, own in names.items() if only is None or name in only or name in KEYS}
        return cls(parts, wanted, {name: schema.field(own).type for name, own in wanted.items()})


def row_changes(duck: Duck, scratch: Scratch, then: Version, now: Version) -> RowChanges:
    """What differs between two versions of a partition; lists are compared a column at a time, for they are large.

    Rows are told by KEYS, by what they are called when made, and their order among equals.
    """
    import pyarrow as pa

    from daedalus.sql.row_changes import RowChanges, Side

    sides = [
        Side(label, [(part, rows_of(part)) for part in version.parts], version.columns)
        for label, version in {"old": then, "new": now}.items()
    ]
    keys = keys_of(then, now)
    found = RowChanges(duck, scratch, (sides[0], sides[1]), keys)
    alike = [name for name in now.columns if name not in keys and then.types.get(name) == now.types[name]]
    lists = [name for name in alike if pa.types.is_nested(now.types[name])]
    plain = [name for name in alike if name not in lists]
    found.compare([*(plain[i : i + _AT_ONCE] for i in range(0, len(plain), _AT_ONCE)), *([name] for name in lists)])
    return found


def keys_of(then: Version, now: Version) -> list[str]:
    """The columns by which rows of both are told."""
    return [name for name in KEYS if name in then.columns and name in now.columns]


def told(found: RowChanges, then: Version, now: Version) -> dict:
    """Rows `before`, `after`, `added`, `removed` and `changed`, `examples` of rows that were added and removed, and
    `columns`: name -> {"rows", "share", "examples"}, of a column that is new, gone or of another type a "note"."""
    counts = found.counts
    alone = {"added": found.some_alone(found.new), "removed": found.some_alone(found.old)}
    names = dict.fromkeys([*now.columns, *then.columns])
    examples = _examples(found, keys_of(then, now))
    columns = {}
    for name in names:
        if note := note_of(then.types.get(name), now.types.get(name)):
            columns[name] = {"rows": counts["both"], "share": 1.0, "examples": [], "note": note}
        elif rows := found.differing.get(name):
            columns[name] = {"rows": rows, "share": round(rows / counts["both"], 4), "examples": examples[name]}
    return {
        "before": counts["both"] + counts["removed"],
        "after": counts["both"] + counts["added"],
        **{kind: counts[kind] for kind in ("added", "removed", "changed")},
        "examples": {kind: [{"row": row} for row in _keys_in(table)] for kind, table in alone.items()},
        "columns": {name: column for name, column in columns.items() if column["rows"]},
    }


def note_of(then: Any, now: Any) -> str:
    """What is said of a column as a whole."""
    if then is None or now is None:
        return "new column" if then is None else "column gone"
    return f"type {then} -> {now}" if then != now else ""


def _examples(found: RowChanges, keys: Sequence[str]) -> dict[str, list[dict]]:
    """A few rows of each column that differs, with the value then and now."""
    some = found.some_changed()
    names = dict.fromkeys([*keys, *some])
    old, old_at = found.values(found.old, list(names), (then for rows in some.values() for then, _ in rows))
    new, new_at = found.values(found.new, list(names), (now for rows in some.values() for _, now in rows))
    return {
        name: [
            {"row": [str(_at(new[key], new_at[now])) for key in keys],
             "old": _at(old[name], old_at[then]), "new": _at(new[name], new_at[now])}
            for then, now in rows
        ]
        for name, rows in some.items()
    }  # fmt: skip


def _keys_in(table: Any) -> list[list[str]]:
    return [[str(_at(column, i)) for column in table.columns] for i in range(table.num_rows)]


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
