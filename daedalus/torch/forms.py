"""Columns as tensors: numbers, vectors, and lists, ragged or padded. What has no form is refused by its name.

    numbers   NAME (rows,); NULL is NaN in floats; else 0, and NAME__valid (rows,) says which rows have a value
    vectors   NAME (rows, length), NULL all zeros, and NAME__valid (rows,)
    ragged    NAME (items,) of all rows, one after the other, and NAME__offsets (rows + 1,): where each row's begin
    padded    NAME (rows, n), the first n items of each row, and NAME__lengths (rows,): how many of them there are

Items that are NULL are left out of lists, and a NULL list is an empty one. Padding is -1 (NaN in floats, False in
booleans); which items are padding is for the lengths alone to say, since -1 may be an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from daedalus.base.errors import DaedalusError
from daedalus.parquet.lists.column_lists import ReadLists
from daedalus.torch.compiled_gather import (
    BEFORE,
    COUNT,
    JOB,
    OUT,
    PLACES,
    TABLES,
    WIDTH,
    WORDS,
    address,
    edges_of,
)
from daedalus.torch.lists import Lists, Rows
from daedalus.torch.numbers import numbers

_INT64 = np.dtype(np.int64)
_FILL = {"f": np.nan, "b": False, "u": np.iinfo(np.uint8).max}  # of padding, by the kind of a type; else -1


class Size(NamedTuple):
    """A tensor that a batch is to have."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


class Job(NamedTuple):
    """What is the same for all rows of a job of `fill`, from the address of the first one's `places` or value on."""

    places: int
    cells: int
    width: int
    line: int = 0
    fill: int = 0
    tables: int = 0
    two: bool = False  # whether it writes two tensors, not one


@dataclass(frozen=True)
class Jobs:
    """Jobs of `fill` that write the rows of a block."""

    words: np.ndarray
    read: np.ndarray  # how far it is from one row to the next in `PLACES` and `CELLS`
    written: np.ndarray  # the same in `OUT` and `ENDS`
    tensors: np.ndarray  # the places of what is written among a batch's tensors
    is_written: np.ndarray  # 1, or 0 where there is no second tensor
    ragged: np.ndarray  # which jobs have to know how many items lie before

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> Jobs:
        words = np.zeros((len(jobs), len(JOB)), np.uint64)
        words[:, : TABLES + 1] = [job[: TABLES + 1] for job in jobs]
        read = [(8 * WORDS if job.places else 0, job.width if job.cells else 0) for job in jobs]
        written = [(0 if job.two and not job.line else job.width * max(job.line, 1), 8 * job.two) for job in jobs]
        first = np.cumsum([0, *(1 + job.two for job in jobs)])[:-1]
        two = np.array([job.two for job in jobs], np.int64)
        ragged = np.array([job.two and not job.line for job in jobs])
        return cls(words, np.array(read, np.uint64), np.array(written, np.uint64), np.stack([first, first + two], 1),
                   np.stack([np.ones_like(two), two], 1).astype(np.uint64), ragged)  # fmt: skip

    def of_rows(self, first: int, last: int, outs: np.ndarray, row: int, before: np.ndarray) -> np.ndarray:
        """Those that write some of the rows, to the memory at `outs`, where so many rows are before them, and, of
        ragged lists, so many items."""
        found = self.words.copy()
        found[:, PLACES:WIDTH] += self.read * np.uint64(first)
        found[:, COUNT] = last - first
        found[:, OUT:BEFORE] = self.is_written * outs[self.tensors] + self.written * np.uint64(row)
        found[self.ragged, BEFORE] = before
        return found


class Held(NamedTuple):
    """What a block has for a form: its jobs, the type of values, the memory that the jobs read, and, if the form has to
    know it, how many items there are before each row."""

    jobs: Sequence[Job]
    dtype: np.dtype
    kept: Any
    before: np.ndarray | None = None


class Form(Protocol):
    """What tensors a column becomes: `hold` is done once a block, the rest once a batch.

    A batch takes rows of one block or of several, one after the other.
    """

    @property
    def name(self) -> str:
        """That of the column."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Those of its tensors."""

    def hold(self, column: Any, rows: Rows) -> Held:
        """The values of a block's rows, in the order in which batches take them.

        `column` is Arrow's array, or, if the form is one of lists, the lists of each of the block's units.
        """

    def sizes(self, held: Held, rows: int, items: int) -> list[Size]:
        """The tensors of a batch, which has so many rows, and items of lists; `held` is what one of its blocks has."""


def cells(values: np.ndarray) -> Job:
    """The job of values that have the order of rows."""
    return Job(0, address(values), values.itemsize)


@dataclass(frozen=True)
class Labels:
    name: ClassVar[str] = "label"
    keys: ClassVar[tuple[str, ...]] = ("label",)

    def hold(self, column: np.ndarray, rows: Rows) -> Held:
        found = column.take(rows.order)
        return Held([cells(found)], found.dtype, found)

    def sizes(self, held: Held, rows: int, items: int) -> list[Size]:
        return [Size(self.name, held.dtype, (rows,))]


@dataclass(frozen=True)
class Numbers:
    name: str
    masked: bool  # not floats, which have NaN, and not the day, which every row has

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}__valid") if self.masked else (self.name,)

    def hold(self, column: pa.Array, rows: Rows) -> Held:
        values, valid = numbers(column)
        found = [values.take(rows.order)]
        if self.masked:
            found.append(np.ones(len(rows.order), bool) if valid is None else valid.take(rows.order))
        return Held([cells(some) for some in found], values.dtype, found)

    def sizes(self, held: Held, rows: int, items: int) -> list[Size]:
        kinds = (held.dtype, np.dtype(bool))
        return [Size(key, kind, (rows,)) for key, kind in zip(self.keys, kinds, strict=False)]


class OfLists:
    """Forms of columns that are read as lists."""

    name: str
    keep_nulls: ClassVar[bool] = False  # whether NULL items are kept, as NaN or 0


@dataclass(frozen=True)
class Ragged(OfLists):
    name: str

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__offsets"

    def hold(self, column: Sequence[ReadLists], rows: Rows) -> Held:
        lists = Lists.of(column, rows)
        job = Job(address(lists.places), 0, lists.dtype.itemsize, tables=address(lists.tables), two=True)
        return Held([job], lists.dtype, lists, edges_of(lists.lengths()))

    def sizes(self, held: Held, rows: int, items: int) -> list[Size]:
        return [Size(self.name, held.dtype, (items,)), Size(f"{self.name}__offsets", _INT64, (rows + 1,))]


@dataclass(frozen=True)
class Padded(OfLists):
    name: str
    length: int

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__lengths"

    def hold(self, column: Sequence[ReadLists], rows: Rows) -> Held:
        lists = Lists.of(column, rows)
        fill = np.array([_FILL.get(lists.dtype.kind, -1)]).astype(lists.dtype)
        bits, width = int(fill.view(f"u{fill.itemsize}")[0]), fill.itemsize
        job = Job(address(lists.places), 0, width, self.length, bits, address(lists.tables), two=True)
        return Held([job], lists.dtype, lists)

    def sizes(self, held: Held, rows: int, items: int) -> list[Size]:
        return [Size(self.name, held.dtype, (rows, self.length)), Size(f"{self.name}__lengths", _INT64, (rows,))]


@dataclass(frozen=True)
class Vectors(OfLists):
    name: str
    length: int
    keep_nulls: ClassVar[bool] = True

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__valid"

    def hold(self, column: Sequence[ReadLists], rows: Rows) -> Held:
        for some in column:
            other = some.lengths[some.valid & (some.lengths != self.length)]
            if len(other):
                raise DaedalusError("vectors of unequal length", where=f"TrainingDataset(columns), {self.name}",
                                    found=f"{other[0]} numbers", expected=f"{self.length}, as the first one has",
                                    hint=f"of lists, pad={{{self.name!r}: n}}, or None for ragged ones")  # fmt: skip
        lists = Lists.of(column, rows)
        job = Job(0, 0, 0)
        if self.length:
            job = Job(address(lists.places), 0, lists.dtype.itemsize, self.length, tables=address(lists.tables))
        valid = np.concatenate([some.valid for some in column]).take(rows.order)
        return Held([job, cells(valid)], lists.dtype, (lists, valid))

    def sizes(self, held: Held, rows: int, items: int) -> list[Size]:
        return [Size(self.name, held.dtype, (rows, self.length)),
                Size(f"{self.name}__valid", np.dtype(bool), (rows,))]  # fmt: skip
