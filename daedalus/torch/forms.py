"""Columns as tensors: numbers, vectors, and lists, ragged or padded. What has no form is refused by its name.

    numbers   NAME (rows,); NULL is NaN in floats; else 0, and NAME__valid (rows,) says which rows have a value
    vectors   NAME (rows, length), NULL all zeros, and NAME__valid (rows,)
    ragged    NAME (items,) of all rows, one after the other, and NAME__offsets (rows + 1,): where each row's begin
    padded    NAME (rows, n), the first n items of each row, and NAME__lengths (rows,): how many of them there are

Items that are NULL are left out of lists, and a NULL list is an empty one. Padding is -1 (NaN in floats, False in
booleans); which items are padding is for the lengths alone to say, since -1 may be an item.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from daedalus.base.errors import DaedalusError
from daedalus.torch.compiled_gather import bits, copy_lists, edges_of, pad_lists

Rows = np.ndarray | slice  # of a block: any rows, or some that follow each other


class Form(Protocol):
    """What tensors a column becomes: `hold` is done once a block, `give` once a batch."""

    @property
    def name(self) -> str:
        """That of the column."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Those of its tensors."""

    def hold(self, column: pa.Array) -> Any:
        """The values of a block, in a form that rows are taken from quickly."""

    def give(self, held: Any, rows: Rows) -> Iterator[tuple[str, torch.Tensor]]:
        """Names and tensors of some rows of what `hold` gave."""


def number_type(kind: pa.DataType) -> pa.DataType | None:
    """The type that values of a type have in a tensor, None if they are no numbers."""
    t = pa.types
    if t.is_boolean(kind) or t.is_signed_integer(kind) or t.is_floating(kind) or kind == pa.uint8():
        return kind
    wider = {pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.int64()}
    if t.is_decimal(kind):
        return pa.float64()
    if t.is_timestamp(kind):
        return pa.int64()
    return pa.int32() if t.is_date(kind) else wider.get(kind)


def numbers(values: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """Values as an array, without copying where it can be had, and which are there, None for all. NULL is NaN or 0.

    Times are whole microseconds, dates whole days, both since 1970.
    """
    t, kind = pa.types, number_type(values.type)
    assert kind is not None
    valid = values.is_valid().to_numpy(zero_copy_only=False) if values.null_count else None
    if t.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False).view(kind)
    elif t.is_date(values.type):
        values = values.cast(pa.date32()).view(kind)
    elif values.type != kind:
        values = values.cast(kind)
    if valid is not None:
        none = np.nan if t.is_floating(kind) else False if t.is_boolean(kind) else 0
        values = pc.fill_null(values, pa.scalar(none, kind)) if kind != pa.float16() else _half_nan(values, valid)
    return values.to_numpy(zero_copy_only=False), valid


def _half_nan(values: pa.Array, valid: np.ndarray) -> pa.Array:
    """FLOAT16 with NaN for NULL, which pyarrow does not fill."""
    raw = np.frombuffer(values.buffers()[1], np.float16)[values.offset : values.offset + len(values)]
    return pa.array(np.where(valid, raw, np.float16("nan")))


def tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor on the same memory. PyTorch warns of arrays that are read-only, as Arrow's are: not by this way."""
    if array.flags.writeable:
        return torch.from_numpy(array)
    if array.dtype == bool:
        return tensor(array.view(np.uint8)).view(torch.bool)
    flat = np.ascontiguousarray(array).reshape(-1)
    return torch.from_dlpack(pa.array(flat)).reshape(array.shape)  # without NULLs, pa.array copies nothing


def taken(array: np.ndarray, rows: Rows) -> torch.Tensor:
    return tensor(array[rows] if isinstance(rows, slice) else array.take(rows, axis=0))


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

    def give(self, held: tuple[np.ndarray, np.ndarray], rows: Rows) -> Iterator[tuple[str, torch.Tensor]]:
        yield self.name, taken(held[0], rows)
        if self.masked:
            yield f"{self.name}__valid", taken(held[1], rows)


@dataclass(frozen=True)
class Lists:
    """The lists of a block: row r has `lengths[r]` items from `starts[r]`; `valid` says which lists are not NULL."""

    starts: np.ndarray
    lengths: np.ndarray
    items: np.ndarray
    valid: np.ndarray
    packed: bool  # all items, in the order of rows

    @classmethod
    def of(cls, column: pa.Array, *, keep_nulls: bool = False) -> Lists:
        """Lists of a column; their NULL items are left out, or kept as `numbers` has them."""
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        if pa.types.is_fixed_size_list(column.type):
            edges = (np.arange(len(column) + 1, dtype=np.int64) + column.offset) * column.type.list_size
        else:
            edges = column.offsets.to_numpy().astype(np.int64)
        items, present = numbers(column.values)
        if present is not None and not keep_nulls:
            edges, items = edges_of(present)[edges], items[present]
        lengths = np.diff(edges)
        hidden = not valid.all() and bool(lengths[~valid].any())
        return cls(edges[:-1], np.where(valid, lengths, 0) if hidden else lengths, items, valid, not hidden)

    def copied(self, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        out = np.empty(int(lengths.sum()), self.items.dtype)
        copy_lists(self.starts, self.lengths, _read_only(self.items), rows, bits(out))
        return out

    def padded(self, rows: np.ndarray, length: int, fill: object) -> np.ndarray:
        out = np.empty((len(rows), length), self.items.dtype)
        value = bits(np.array([fill]).astype(self.items.dtype))[0]
        pad_lists(self.starts, self.lengths, _read_only(self.items), rows, value, bits(out))
        return out

    def run(self, rows: slice) -> np.ndarray | None:
        """The items of rows that follow each other, as a view, if they do so too."""
        if not self.packed or rows.stop <= rows.start:
            return None
        last = rows.stop - 1
        return self.items[self.starts[rows.start] : self.starts[last] + self.lengths[last]]


@dataclass(frozen=True)
class Ragged:
    name: str

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__offsets"

    def hold(self, column: pa.Array) -> Lists:
        return Lists.of(column)

    def give(self, held: Lists, rows: Rows) -> Iterator[tuple[str, torch.Tensor]]:
        lengths = held.lengths[rows]
        items = held.run(rows) if isinstance(rows, slice) else None
        yield self.name, tensor(held.copied(positions(rows), lengths) if items is None else items)
        yield f"{self.name}__offsets", tensor(edges_of(lengths))


@dataclass(frozen=True)
class Padded:
    name: str
    length: int

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__lengths"

    def hold(self, column: pa.Array) -> Lists:
        return Lists.of(column)

    def give(self, held: Lists, rows: Rows) -> Iterator[tuple[str, torch.Tensor]]:
        kind = held.items.dtype.kind
        fill = {"f": np.nan, "b": False, "u": np.iinfo(np.uint8).max}.get(kind, -1)
        yield self.name, tensor(held.padded(positions(rows), self.length, fill))
        yield f"{self.name}__lengths", tensor(np.minimum(held.lengths[rows], self.length))


@dataclass(frozen=True)
class Vectors:
    name: str
    length: int

    @property
    def keys(self) -> tuple[str, ...]:
        return self.name, f"{self.name}__valid"

    def hold(self, column: pa.Array) -> Lists:
        held = Lists.of(column, keep_nulls=True)
        other = held.lengths[held.valid & (held.lengths != self.length)]
        if len(other):
            raise DaedalusError("vectors of unequal length", where=f"TrainingDataset(columns), {self.name}",
                                found=f"{other[0]} numbers", expected=f"{self.length}, as the first one has",
                                hint=f"of lists, pad={{{self.name!r}: n}}, or None for ragged ones")  # fmt: skip
        return held

    def give(self, held: Lists, rows: Rows) -> Iterator[tuple[str, torch.Tensor]]:
        valid = held.valid[rows]
        run = held.run(rows) if isinstance(rows, slice) and valid.all() else None
        matrix = held.padded(positions(rows), self.length, 0) if run is None else run.reshape(-1, self.length)
        yield self.name, tensor(matrix)
        yield f"{self.name}__valid", tensor(valid)


def positions(rows: Rows) -> np.ndarray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def joined(parts: Sequence[Mapping[str, torch.Tensor]], offsets: Container[str]) -> dict[str, torch.Tensor]:
    """Rows of several blocks as one batch; `offsets` are the tensors that say where rows begin in others."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: (_shifted if name in offsets else torch.cat)([part[name] for part in parts]) for name in parts[0]}


def _shifted(tensors: list[torch.Tensor]) -> torch.Tensor:
    found = tensors[:1]
    for more in tensors[1:]:
        found.append(more[1:] + found[-1][-1])
    return torch.cat(found)


def _read_only(values: np.ndarray) -> np.ndarray:
    """As Arrow has its memory: so that there is one compiled form, whether it is Arrow's or not."""
    found = bits(values)
    found.flags.writeable = False
    return found
