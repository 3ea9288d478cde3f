"""The lists of a block, which batches take theirs from by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from daedalus.parquet.column_lists import Piece, ReadLists
from daedalus.torch.compiled_gather import address, copied, edges_of
from daedalus.torch.numbers import numbers

_MOST = 1 << 16  # values that numbers of 16 bits can tell apart


def lists_of(column: pa.Array, *, keep_nulls: bool) -> ReadLists:
    """Lists of Arrow's; their NULL items are left out, or kept as `numbers` has them."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_fixed_size_list(column.type):
        edges = (np.arange(len(column) + 1, dtype=np.int64) + column.offset) * column.type.list_size
    else:
        edges = column.offsets.to_numpy().astype(np.int64)
    items, present = numbers(column.values)
    items = items[edges[0] : edges[-1]]
    if present is not None:
        present = present[edges[0] : edges[-1]]
    edges = edges - edges[0]
    if present is not None and not keep_nulls:
        edges, items = edges_of(present)[edges], items[present]
    lengths = np.diff(edges)
    if not valid.all() and lengths[~valid].any():  # items of NULL lists, which nobody sees
        items, lengths = items[np.repeat(valid, lengths)], np.where(valid, lengths, 0)
    return ReadLists(lengths, valid, [Piece(items, None)])


@dataclass(frozen=True)
class Lists:
    """Row r has the items from `edges[r]` to before `edges[r + 1]`; `valid` says which lists are not NULL.

    An item is a value, or, with `values`, in 16 bits where in those its value is.
    """

    edges: np.ndarray
    valid: np.ndarray
    items: np.ndarray
    values: np.ndarray | None

    @classmethod
    def joined(cls, several: Sequence[ReadLists]) -> Lists:
        """Lists that follow each other."""
        edges = edges_of(np.concatenate([some.lengths for some in several]))
        valid = np.concatenate([some.valid for some in several])
        pieces = [piece for some in several for piece in some.pieces]
        return cls(edges, valid, *joined_items([piece for piece in pieces if len(piece.items)] or pieces[:1]))

    def only(self, keep: np.ndarray) -> ReadLists:
        """The lists of some rows, with a copy of their items alone."""
        rows = np.flatnonzero(keep)
        items, edges = copied(self.edges, self.items, rows)
        return ReadLists(np.diff(edges), self.valid[rows], [Piece(items, self.values)])

    @property
    def dtype(self) -> np.dtype:
        return self.items.dtype if self.values is None else self.values.dtype

    @cached_property
    def addresses(self) -> tuple[int, int, int]:
        """Of the edges, the items and the values, 0 without any."""
        return address(self.edges), address(self.items), 0 if self.values is None else address(self.values)


def joined_items(pieces: Sequence[Piece]) -> tuple[np.ndarray, np.ndarray | None]:
    """Items as one array, aligned in memory, and the values of all, if all are numbered."""
    if any(piece.values is None for piece in pieces):
        return _whole([piece.items if piece.values is None else piece.values[piece.items] for piece in pieces]), None
    tables: list[np.ndarray] = []
    bases, base = [], 0
    for piece in pieces:
        if not tables or piece.values is not tables[-1]:
            base += len(tables[-1]) if tables else 0
            tables.append(piece.values)  # type: ignore[arg-type]
        bases.append(base)
    if base + len(tables[-1]) > _MOST:
        return joined_items([Piece(piece.values[piece.items], None) for piece in pieces])  # type: ignore[index]
    items, at = np.empty(sum(len(piece.items) for piece in pieces), np.uint16), 0
    for piece, base in zip(pieces, bases, strict=True):
        end = at + len(piece.items)
        np.add(piece.items, np.uint16(base), out=items[at:end], dtype=np.uint16, casting="unsafe")
        at = end
    return items, _whole(tables)


def _whole(arrays: Sequence[Any]) -> np.ndarray:
    return np.require(arrays[0] if len(arrays) == 1 else np.concatenate(arrays), requirements=["A", "C"])
