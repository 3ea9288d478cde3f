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
from daedalus.parquet.column_lists import Piece, ReadLists
from daedalus.torch.compiled_gather import address
from daedalus.torch.lists import Lists, joined_items
from daedalus.torch.numbers import numbers

_INT64 = np.dtype(np.int64)
_FILL = {"f": np.nan, "b": False, "u": np.iinfo(np.uint8).max}  # of padding, by the kind of a type; else -1


class Taken(NamedTuple):
    """Rows of a block, for a batch: what the form holds of the block, and which rows of it, in order."""

    held: Any
    rows: np.ndarray


class Size(NamedTuple):
    """A tensor that a batch is to have."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


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

    def hold(self, column: Any) -> Any:
        """The values of a block, in a form that rows are taken from quickly.

        `column` is Arrow's array, or, if the form is one of lists, the lists of each of the block's units.
        """

    def sizes(self, held: Any, rows: int, items: int) -> list[Size]:
        """The tensors of a batch, which has so many rows, and items of lists; `held` is what one of its blocks has."""

    def fill(self, taken: Sequence[Taken], out: Sequence[np.ndarray]) -> None:
        """Writes to their memory, unless the form is one of lists."""


@dataclass(frozen=True)
class Numbers:
    name: str
    masked: bool  # not floats, which have NaN, and not the day, which every row has

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}__valid") if self.masked else (self.name,)

    def hold(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        values, valid = numbers(column)
        return values, np.ones(len(values), bool) if valid is None else valid

    def sizes(self, held: Any, rows: int, items: int) -> list[Size]:
        kinds = (held[0].dtype, np.dtype(bool))
        return [Size(key, kind, (rows,)) for key, kind in zip(self.keys, kinds, strict=False)]

    def fill(self, taken: Sequence[Taken], out: Sequence[np.ndarray]) -> None:
        for tensor, place in zip(out, (0, 1), strict=False):
            take(tensor, [(held[place], rows) for held, rows in taken])


class OfLists:
    """Forms of lists, which `fill_lists` writes, all of a batch at once."""

    name: str
    length = 0  # of a padded line
    keep_nulls: ClassVar[bool] = False  # whether NULL items are kept, as NaN or 0

    def hold(self, column: Sequence[ReadLists]) -> Any:
        return Lists.joined(column)

    def fill(self, taken: Sequence[Taken], out: Sequence[np.ndarray]) -> None:
        raise NotImplementedError

    def job(self, held: Lists, out: np.ndarray, ends: np.ndarray, before: int) -> tuple[int, ...]:
        """What `fill_lists` is to do; `before` are the items of rows before these, if they are not padded."""
        fill = _FILL.get(out.dtype.kind, -1)
        bits = int(np.array([fill]).astype(out.dtype).view(f"u{out.itemsize}")[0])
        edges, items, values = held.addresses
        return edges, items, values, address(out), address(ends), out.itemsize, self.length, bits, before


@dataclass(frozen=True)
class Ragged(OfLists):
    name: str

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__offsets"

    def sizes(self, held: Any, rows: int, items: int) -> list[Size]:
        return [Size(self.name, held.dtype, (items,)), Size(f"{self.name}__offsets", _INT64, (rows + 1,))]


@dataclass(frozen=True)
class Padded(OfLists):
    name: str
    length: int

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__lengths"

    def sizes(self, held: Any, rows: int, items: int) -> list[Size]:
        return [Size(self.name, held.dtype, (rows, self.length)), Size(f"{self.name}__lengths", _INT64, (rows,))]


class Matrix(NamedTuple):
    """The vectors of a block, behind which is one of zeros; where that of each row is, and which rows are not NULL."""

    vectors: np.ndarray
    places: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Vectors:
    name: str
    length: int
    keep_nulls: ClassVar[bool] = True

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__valid"

    def hold(self, column: Sequence[ReadLists]) -> Matrix:
        lengths = np.concatenate([some.lengths for some in column])
        valid = np.concatenate([some.valid for some in column])
        other = lengths[valid & (lengths != self.length)]
        if len(other):
            raise DaedalusError("vectors of unequal length", where=f"TrainingDataset(columns), {self.name}",
                                found=f"{other[0]} numbers", expected=f"{self.length}, as the first one has",
                                hint=f"of lists, pad={{{self.name!r}: n}}, or None for ragged ones")  # fmt: skip
        pieces = [piece for some in column for piece in some.pieces]
        kind = (pieces[0].items if pieces[0].values is None else pieces[0].values).dtype
        items, _ = joined_items([*pieces, Piece(np.zeros(self.length, kind), None)])
        places = np.cumsum(valid) - 1
        places[~valid] = int(valid.sum())
        return Matrix(items.reshape(-1, self.length) if self.length else items.reshape(1, 0), places, valid)

    def sizes(self, held: Any, rows: int, items: int) -> list[Size]:
        return [Size(self.name, held.vectors.dtype, (rows, self.length)),
                Size(f"{self.name}__valid", np.dtype(bool), (rows,))]  # fmt: skip

    def fill(self, taken: Sequence[Taken], out: Sequence[np.ndarray]) -> None:
        matrix, valid = out
        if self.length:
            take(matrix, [(held.vectors, held.places.take(rows)) for held, rows in taken])
        take(valid, [(held.valid, rows) for held, rows in taken])


def take(out: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Fills an array with the values at some rows of each of several arrays."""
    begin = 0
    for values, rows in parts:
        # Rows are there: "clip" only says that they need not be looked through before anything is written.
        values.take(rows, axis=0, out=out[begin : begin + len(rows)], mode="clip")
        begin += len(rows)
