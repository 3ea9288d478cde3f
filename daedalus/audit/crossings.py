"""Whether a user or a session is in two parts of the splits, over all published rows of a range.

Ids are counted exactly up to a number of them, and beyond it for an even share, so that memory is bounded. The part
of some rows of each file is worked out a second time in plain Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from msgspec import to_builtins

from daedalus.audit.reference_splits import ReferenceSplits
from daedalus.base.terminal_text import counted, cut
from daedalus.explain.value_differences import readable
from daedalus.loading.published import day_of, find_published
from daedalus.loading.splits import Split, split_of

if TYPE_CHECKING:
    from daedalus.base.days import DayRange
    from daedalus.config import Config
    from daedalus.shapes.runs import AuditedSplits, SplitIds

_MOST_IDS = 4_000_000  # that are remembered, of users and of sessions, 8 bytes each
_ROWS_OF_A_FILE = 200  # whose part is worked out a second time
_EXAMPLES = 5
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def audit_splits(config: Config, range: str | None) -> AuditedSplits:
    """What is in which part, and what is in two, of the published rows of a range."""
    assert config.runtime.splits is not None
    found = find_published(range, output_root=config.runtime.output_root, config=config.folder, who="audit")
    with readable([Path(found.paths[-1])]):
        columns = _columns(config, found.schema.names)
    parts = {name: split_of(config, name, "audit") for name in config.runtime.splits.parts}
    found.check_columns([name for split, _ in parts.values() if split for name in split.columns], "splits")
    reference = ReferenceSplits(to_builtins(config.runtime.splits))
    told = _Told(list(parts), {kind: _Ids(list(parts)) for kind in columns}, reference)
    for path in found.paths:
        with readable([Path(path)]):
            rows = found.of_parts([path]).dataset(list(columns.values())).to_table()
        masks = {name: _mask(rows, day_of(path), *part) for name, part in parts.items()}
        told.add(masks, {kind: rows[name] for kind, name in columns.items()}, day_of(path))
    return told.found()


def _columns(config: Config, there: Sequence[str]) -> dict[str, str]:
    """The columns of users and of sessions, as far as there are any; a session that is not there has a qid."""
    user, session = (config.renamed.get(name, name) for name in ("user_id", "feed_session"))
    columns = {"user": user, "session": session if session in there else "qid"}
    return {kind: name for kind, name in columns.items() if name in there}


def _mask(rows: pa.Table, day: date, split: Split | None, days: DayRange | None) -> np.ndarray:
    """Which rows of a day are in a part."""
    if days is not None and day not in days:
        return np.zeros(len(rows), bool)
    return np.ones(len(rows), bool) if split is None else split.keeps(rows).to_numpy(zero_copy_only=False)


class _Ids:
    """Ids of one kind by part, as numbers of 64 bits; those in two parts are found where they come into the second."""

    def __init__(self, parts: list[str]) -> None:
        self._of = {part: np.empty(0, np.int64) for part in parts}
        self.halvings, self.examples = 0, dict[Any, list[str]]()

    def add(self, part: str, ids: Any) -> None:
        numbers, ids = self._numbers(ids.unique().drop_null())
        for other, known in self._of.items():
            if other != part and len(self.examples) < _EXAMPLES:
                for place in np.flatnonzero(np.isin(numbers, known))[:_EXAMPLES]:
                    self.examples.setdefault(ids[int(place)].as_py(), [other, part])
        self._of[part] = np.union1d(self._of[part], numbers)
        while sum(map(len, self._of.values())) > _MOST_IDS:
            self.halvings += 1
            self._of = {name: known[self._is_looked_at(known)] for name, known in self._of.items()}

    def found(self, kind: str) -> SplitIds:
        known, in_parts = np.unique(np.concatenate([*self._of.values()]), return_counts=True)
        examples = [{"id": one, "parts": parts} for one, parts in [*self.examples.items()][:_EXAMPLES]]
        return {"kind": kind, "ids": len(known), "share": 0.5**self.halvings,
                "in_two_parts": int((in_parts > 1).sum()), "examples": examples}  # type: ignore[typeddict-item]  # fmt: skip

    def _numbers(self, ids: Any) -> tuple[np.ndarray, Any]:
        """Whole numbers as they are, and of text a digest; of those that are looked at."""
        if pa.types.is_integer(ids.type):
            numbers = ids.cast(pa.int64()).to_numpy(zero_copy_only=False)
        else:
            digests = (blake2b(one.encode(), digest_size=8).digest() for one in ids.to_pylist())
            numbers = np.frombuffer(b"".join(digests), np.int64)
        looked_at = self._is_looked_at(numbers)
        return numbers[looked_at], ids.filter(pa.array(looked_at))

    def _is_looked_at(self, numbers: np.ndarray) -> np.ndarray:
        if not self.halvings:
            return np.ones(len(numbers), bool)
        spread = numbers.view(np.uint64) * _SPREAD
        return spread >> np.uint64(64 - self.halvings) == 0


class _Told:
    """What is found, file by file."""

    def __init__(self, parts: list[str], ids: Mapping[str, _Ids], reference: ReferenceSplits) -> None:
        self._rows, self._ids, self._reference = dict.fromkeys(parts, 0), ids, reference
        self._left_out = self._sampled = self._wrong = 0

    def add(self, masks: Mapping[str, np.ndarray], ids: Mapping[str, Any], day: date) -> None:
        """Adds the rows of a file of a day: which are in each part, and their ids."""
        for part, mask in masks.items():
            self._rows[part] += int(mask.sum())
            for kind, column in ids.items():
                self._ids[kind].add(part, column.filter(pa.array(mask)))
        rows, by = len(next(iter(masks.values()))), self._reference.by
        self._left_out += rows - int(np.logical_or.reduce([*masks.values()]).sum())
        for row in np.unique(np.linspace(0, rows - 1, _ROWS_OF_A_FILE).astype(int)) if rows else ():
            expected = self._reference.part(ids[by][int(row)].as_py() if by != "day" else None, day)
            self._sampled += 1
            self._wrong += [part for part, mask in masks.items() if mask[row]] != [expected] * (expected is not None)

    def found(self) -> AuditedSplits:
        return {"by": self._reference.by, "rows": self._rows, "left_out": self._left_out, "sampled": self._sampled,
                "wrong": self._wrong, "ids": [ids.found(kind) for kind, ids in self._ids.items()]}  # fmt: skip


def crosses(found: Mapping | None) -> bool:
    """Whether what is split is in two parts, or a row is in another part than that of its id."""
    if found is None:
        return False
    return bool(found["wrong"] or any(one["in_two_parts"] for one in found["ids"] if one["kind"] == found["by"]))


def split_lines(found: Mapping) -> list[str]:
    """What the terminal shows of it."""
    rows = ", ".join(f"{part} {count:,}" for part, count in found["rows"].items())
    lines = [cut(f"splits by {found['by']}, rows: {rows}, in none {found['left_out']:,}")]
    if found["wrong"]:
        lines.append(f"  {found['wrong']:,} of {counted(found['sampled'], 'row')} are NOT IN THE PART of their id")
    return lines + [line for one in found["ids"] for line in _lines_of_ids(one, found["by"])]


def _lines_of_ids(one: Mapping, by: str) -> list[str]:
    kind, two = one["kind"], one["in_two_parts"]
    of = f"  of {counted(one['ids'], kind)}" + (f", {one['share']:.2%} of all," if one["share"] < 1 else "")
    if not two:
        return [cut(f"{of} none is in two parts")]
    if kind == by:
        examples = [cut(f"    {row['id']}: {' and '.join(row['parts'])}") for row in one["examples"]]
        return [cut(f"{of} {two:,} ARE IN TWO PARTS"), *examples]
    why = {("session", "day"): "they go on after the days of one", ("session", "user"): "they have several users"}
    return [cut(f"{of} {two:,} are in two parts: {why.get((kind, by), f'what is split are {by}s')}")]
