"""The lists of a block, which batches take theirs from by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from daedalus.parquet.lists.column_lists import Piece, ReadLists
from daedalus.torch.compiled_gather import ITEMS, WORDS, address, copied, edges_of, place
from daedalus.torch.numbers import numbers


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


def only(lists: ReadLists, keep: np.ndarray) -> ReadLists:
    """The lists of some rows, with a copy of their items alone."""
    rows, whole = np.flatnonzero(keep), _whole(lists.pieces)
    items, edges = copied(edges_of(lists.lengths), whole.items, rows)
    return ReadLists(np.diff(edges), lists.valid[rows], [Piece(items, whole.values)])


class Rows(NamedTuple):
    """Some rows of a block's units, in the order in which batches take them; and of each row its place there, or -1."""

    order: np.ndarray
    place_of: np.ndarray

    @classmethod
    def of(cls, order: np.ndarray, count: int) -> Rows:
        """Some of so many rows, each of them once."""
        place_of = np.full(count, -1, np.int64)
        place_of[order] = np.arange(len(order))
        return cls(order, place_of)


@dataclass(frozen=True)
class Lists:
    """Where the items of each row are, as `fill` reads it, with the addresses of tables. `kept` is what they lie in."""

    places: np.ndarray
    tables: np.ndarray
    dtype: np.dtype
    kept: Sequence[Any]

    @classmethod
    def of(cls, several: Sequence[ReadLists], rows: Rows) -> Lists:
        """Some rows of lists that follow each other, in an order."""
        places, tables = np.empty((len(rows.order), WORDS), np.uint64), [0]
        kept: list[Piece] = []
        begin = 0
        for some in several:
            to = rows.place_of[begin : begin + len(some.lengths)]
            pieces = [_placed(piece) for piece in some.pieces]
            if not place(some.lengths, _words(pieces, tables), to, places):
                pieces = [_placed(_whole(pieces))]
                place(some.lengths, _words(pieces, tables), to, places)
            kept += pieces
            begin += len(to)
        return cls(places, np.array(tables, np.uint64), _dtype(kept[0]), kept)

    def lengths(self) -> np.ndarray:
        """How many items each row has."""
        return self.places[:, ITEMS].astype(np.uint32)


def _placed(piece: Piece) -> Piece:
    """The same in one stretch of memory, with values, or numbers of them in 16 bits."""
    items, values = piece
    if values is not None and items.dtype != np.uint16:
        items, values = values[items], None
    return Piece(np.ascontiguousarray(items), None if values is None else np.require(values, requirements=["A", "C"]))


def _words(pieces: Sequence[Piece], tables: list[int]) -> np.ndarray:
    """What `place` has to know of pieces; the addresses of their values are added to `tables`."""
    found, end = [], 0
    for items, values in pieces:
        end += len(items)
        if values is not None and address(values) != tables[-1]:
            tables.append(address(values))
        found.append((end, address(items), items.itemsize, 0 if values is None else len(tables) - 1))
    return np.array(found, np.uint64)


def _whole(pieces: Sequence[Piece]) -> Piece:
    """All items as one piece; they stay numbers if all are of the same values."""
    if all(piece.values is pieces[0].values for piece in pieces):
        return _placed(Piece(np.concatenate([piece.items for piece in pieces]), pieces[0].values))
    items = [piece.items if piece.values is None else piece.values[piece.items] for piece in pieces]
    return Piece(np.concatenate(items), None)


def _dtype(piece: Piece) -> np.dtype:
    return piece.items.dtype if piece.values is None else piece.values.dtype
