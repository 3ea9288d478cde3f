"""What there is to read, counted once: the row groups of the partitions, and how many rows of each are asked for.

Without labels, split and groups this reads the footers alone; with them, the columns that they look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from daedalus.base.errors import DaedalusError
from daedalus.loading.labels import label_values
from daedalus.loading.published import Published, day_of
from daedalus.torch.compiled_gather import edges_of
from daedalus.torch.parts import PartReader

_AT_ONCE = 16  # parts looked at
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Wanted:
    """Which rows are asked for: those whose event has a label, of the split, and of a query group."""

    labels: Mapping[str, float] | None
    published: Published
    group: str | None
    event: str

    @property
    def columns(self) -> list[str]:
        """What decides it."""
        split = self.published.split
        names = [self.event if self.labels else None, *(split.columns if split else ()), self.group]
        return list(dict.fromkeys(name for name in names if name))

    def rows(self, table: pa.Table) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(whether each row is asked for, None for all of them; the labels, if there are any)."""
        found, labels = [], None
        if self.labels:
            labels, known = label_values(table[self.event], self.labels)
            found.append(known)
        if self.published.split:
            found.append(self.published.split.keeps(table).to_numpy(zero_copy_only=False))
        if self.group:
            found.append(table[self.group].is_valid().to_numpy())
        return np.logical_and.reduce(found) if found else None, labels

    def none_left(self) -> DaedalusError:
        """The refusal of an epoch without rows."""
        split = self.published.split
        why = [*(["labels"] if self.labels else []), *([f"split {split.name}"] if split else []),
               *([f"group_by={self.group!r}"] if self.group else [])]  # fmt: skip
        return DaedalusError("no row is left", where="TrainingDataset", expected="at least one row",
                             found=f"none with {' and '.join(why)}" if why else "empty partitions",
                             hint=f"labels name events as in {self.event}" if self.labels else "")  # fmt: skip


class Stretch(NamedTuple):
    """Row groups of one part file."""

    part: int
    groups: tuple[int, ...]


@dataclass(frozen=True)
class Unit:
    """Row groups that are read together, with `rows` of them asked for.

    If query groups are to be whole, `sizes` are the rows of each, ascending by its value. `others` are values whose
    group belongs to a later unit; of the row groups of `far`, which other units have, only rows with a value in `mine`.
    """

    near: tuple[Stretch, ...]
    rows: int
    sizes: np.ndarray | None = None
    far: tuple[Stretch, ...] = ()
    mine: np.ndarray = field(default_factory=lambda: _NONE)
    others: np.ndarray = field(default_factory=lambda: _NONE)


class Counted(NamedTuple):
    """The units, about how many bytes of columns a block and a row have, and what tells these units from others."""

    units: list[Unit]
    block_bytes: int
    row_bytes: int
    mark: object


def count(wanted: Wanted, reader: PartReader, buffer: int) -> Counted:
    """Looks at all parts. Raises DaedalusError if one cannot be read."""
    paths = wanted.published.paths
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda part: _look(part, wanted, reader), range(len(paths))))
    if wanted.group is None:
        units = [Unit((Stretch(seen.part, (group,)),), int(kept))
                 for seen in found for group, kept in enumerate(seen.kept)]  # fmt: skip
    else:
        units = []
        for _, parts in groupby(found, key=lambda seen: day_of(paths[seen.part])):
            units += _grouped(list(parts), buffer)
    of_row = max((seen.bytes / max(int(seen.rows.sum()), 1) for seen in found), default=0)
    most = max((unit.rows for unit in units), default=0)
    mark = [
        [(str(day_of(paths[seen.part])), seen.stored) for seen in found], [unit.rows for unit in units],
        sorted(wanted.labels or ()), repr(wanted.published.split), wanted.group,
    ]  # fmt: skip
    return Counted(units, int(of_row * max(most, buffer)), int(of_row) + 1, mark)


class _Seen(NamedTuple):
    """A part: rows of each row group, those asked for, their values of the group; bytes of the columns in memory, and
    of all columns as stored."""

    part: int
    rows: np.ndarray
    kept: np.ndarray
    values: list[np.ndarray]
    bytes: int
    stored: int


def _look(part: int, wanted: Wanted, reader: PartReader) -> _Seen:
    footer = reader.footer(part)
    of_groups = [footer.row_group(group) for group in range(footer.num_row_groups)]
    rows = np.array([group.num_rows for group in of_groups], np.int64)
    sizes = reader.width(footer), sum(group.total_byte_size for group in of_groups)
    if not wanted.columns:
        return _Seen(part, rows, rows, [], *sizes)
    table = reader.table(part, range(len(rows)), wanted.columns)
    kept, _ = wanted.rows(table)
    assert kept is not None
    edges = edges_of(rows)
    of_group = np.diff(edges_of(kept)[edges])
    values = []
    if wanted.group:
        column = table[wanted.group].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)
        values = [column[a:b][kept[a:b]] for a, b in pairwise(edges)]
    return _Seen(part, rows, of_group, values, *sizes)


def _grouped(parts: Sequence[_Seen], buffer: int) -> list[Unit]:
    """The units of one partition: runs of row groups; a query group belongs to the last run that has rows of it."""
    places = [(seen.part, group) for seen in parts for group in range(len(seen.rows))]
    runs = _runs(np.concatenate([seen.kept for seen in parts]), buffer)
    values = [some for seen in parts for some in seen.values]
    of_row = np.concatenate([np.full(len(some), run) for run, span in enumerate(runs) for some in values[span]])
    groups, group_of, sizes = np.unique(np.concatenate(values), return_inverse=True, return_counts=True)
    home = np.zeros(len(groups), np.int64)
    np.maximum.at(home, group_of, of_row)
    place_of = np.concatenate([np.full(len(some), place) for place, some in enumerate(values)])
    away = home[group_of] != of_row  # rows that lie before the run that their group belongs to
    found = []
    for run, span in enumerate(runs):
        own, strays = home == run, away & (home[group_of] == run)
        far = [places[place] for place in np.unique(place_of[strays])]
        mine, others = (groups[np.unique(group_of[some])] for some in (strays, away & (of_row == run)))
        found.append(
            Unit(_stretches(places[span]), int(sizes[own].sum()), sizes[own], _stretches(far), mine, others)
        )  # fmt: skip
    return found


def _runs(kept: np.ndarray, buffer: int) -> list[slice]:
    """Row groups that follow each other, with `buffer` rows together where there are as many."""
    found, begin, held = [], 0, 0
    for place, rows in enumerate(kept.tolist()):
        held += rows
        if held >= buffer:
            found.append(slice(begin, place + 1))
            begin, held = place + 1, 0
    return [*found, slice(begin, len(kept))] if begin < len(kept) else found


def _stretches(places: Sequence[tuple[int, int]]) -> tuple[Stretch, ...]:
    """Row groups by the part that they are in."""
    return tuple(Stretch(part, tuple(group for _, group in some)) for part, some in groupby(places, key=lambda p: p[0]))
