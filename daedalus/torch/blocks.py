"""A block: units read together, of which batches take rows. Two are read ahead, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from daedalus.base.errors import DaedalusError
from daedalus.loading.labels import label_values
from daedalus.torch.compiled_gather import bits, copy_lists, edges_of
from daedalus.torch.forms import Form, Rows, joined, taken, tensor
from daedalus.torch.order import Piece, Step
from daedalus.torch.parts import PartReader
from daedalus.torch.units import Stretch, Unit, Wanted

AHEAD = 2  # blocks, since what reads one does not keep all cores busy


@dataclass(frozen=True)
class Block:
    """Columns in the forms that batches take rows from, and the rows asked for, in the order of the block's items."""

    held: Sequence[tuple[Form, Any]]
    labels: np.ndarray | None
    rows: np.ndarray | None  # of the columns; None if they are all rows, in order
    edges: np.ndarray | None  # where in `rows` each item begins, and the last ends; None if each row is an item

    def give(self, piece: Piece) -> dict[str, torch.Tensor]:
        """The tensors of some items."""
        first, last = piece.first, piece.last
        found = {}
        if self.edges is not None:
            edges = self.edges[first : last + 1]
            found["groups"] = tensor(edges - edges[0])
            first, last = int(edges[0]), int(edges[-1])
        rows: Rows = slice(first, last) if self.rows is None else self.rows[first:last]
        for form, held in self.held:
            found |= form.give(held, rows)
        if self.labels is not None:
            found["label"] = taken(self.labels, rows)
        return found


@dataclass(frozen=True)
class BlockReader:
    """Reads blocks of units, for rows that are wanted, in the forms asked for."""

    reader: PartReader
    wanted: Wanted
    forms: Sequence[Form]

    def read(self, units: Sequence[Unit], items: np.ndarray, ordered: bool) -> Block:
        """The block of some units with its items in an order; `ordered` if that is the order in which they lie."""
        tables, chosen, base = [], [], 0
        for unit in units:
            table, rows = self._unit(unit)
            tables.append(table)
            chosen.append(rows + base)
            base += table.num_rows
        table = pa.concat_tables(tables).combine_chunks()
        found = np.concatenate(chosen)
        held = [(form, form.hold(_only_chunk(table[form.name]))) for form in self.forms]
        gains = self.wanted.labels
        labels = label_values(table[self.wanted.event], gains)[0] if gains else None
        if self.wanted.group is None:
            whole = ordered and len(found) == base
            return Block(held, labels, None if whole else found if ordered else found[items], None)
        sizes = np.concatenate([unit.sizes for unit in units if unit.sizes is not None])
        return Block(held, labels, *_by_group(found, sizes, items))

    def _unit(self, unit: Unit) -> tuple[pa.Table, np.ndarray]:
        """Rows of a unit, and which of them are asked for: in order, or by group and then in order."""
        table = self._table(unit.near)
        keep = self.wanted.rows(table)
        if self.wanted.group is None:
            return self._chosen(unit, table, keep)
        assert keep is not None
        keep &= ~np.isin(self._values(table), unit.others)
        if unit.far:
            more = self._table(unit.far)
            wanted = self.wanted.rows(more)
            assert wanted is not None
            more = more.filter(pa.array(wanted & np.isin(self._values(more), unit.mine)))
            table = pa.concat_tables([more, table])
            keep = np.concatenate([np.ones(more.num_rows, bool), keep])
        table, rows = self._chosen(unit, table, keep)
        return table, rows[np.argsort(self._values(table)[rows], kind="stable")]

    def _table(self, stretches: Sequence[Stretch]) -> pa.Table:
        return pa.concat_tables([self.reader.read(part, groups) for part, groups in stretches])

    def _values(self, table: pa.Table) -> np.ndarray:
        return table[self.wanted.group].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)

    def _chosen(self, unit: Unit, table: pa.Table, keep: np.ndarray | None) -> tuple[pa.Table, np.ndarray]:
        """Where few rows are asked for, the others are let go now, so that a block needs no memory for them."""
        kept = table.num_rows if keep is None else int(keep.sum())
        if kept != unit.rows:
            paths = self.wanted.published.paths
            raise DaedalusError("a partition has been replaced", where=paths[unit.near[0].part], found=f"{kept} rows",
                                expected=f"{unit.rows}, as when the data set was made",
                                hint="make the data set again, or use a snapshot")  # fmt: skip
        if keep is None or kept == table.num_rows:
            return table, np.arange(table.num_rows)
        if kept * 2 < table.num_rows:
            return table.filter(pa.array(keep)), np.arange(kept)
        return table, np.flatnonzero(keep)


def _by_group(rows: np.ndarray, sizes: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that lie group by group, in another order of groups, and where the groups begin then."""
    edges = edges_of(sizes[items])
    out = np.empty(len(rows), np.int64)
    lying = bits(rows)
    lying.flags.writeable = False
    copy_lists(edges_of(sizes)[:-1], sizes, lying, items, bits(out))
    return out, edges


def _only_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def batches(
    steps: Callable[[], Iterable[Step]], read: Callable[[int], Block], offsets: Container[str]
) -> Iterator[dict[str, torch.Tensor]]:
    """The batches of some steps. Of each stream the blocks of its last batch are kept, and AHEAD more are read."""
    to_read = _reads(steps())
    held: dict[int, Mapping[int, Block]] = {}
    with ThreadPoolExecutor(AHEAD) as pool:
        ahead = deque(pool.submit(read, block) for block in islice(to_read, AHEAD))
        for step in steps():
            before, now = held.pop(step.stream, {}), {}
            for piece in step.pieces:
                if piece.block in before:
                    now[piece.block] = before[piece.block]
                    continue
                now[piece.block] = ahead.popleft().result()
                ahead.extend(pool.submit(read, block) for block in islice(to_read, 1))
            held[step.stream] = now
            yield joined([now[piece.block].give(piece) for piece in step.pieces], offsets)


def _reads(steps: Iterable[Step]) -> Iterator[int]:
    """The blocks to read, in order: those that the batch before, of the same stream, does not have."""
    held: dict[int, set[int]] = {}
    for step in steps:
        now = [piece.block for piece in step.pieces]
        yield from (block for block in now if block not in held.get(step.stream, ()))
        held[step.stream] = set(now)
