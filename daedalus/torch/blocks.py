"""A block: units read together, of which batches take rows. Blocks are read ahead, and batches made, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, repeat
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from daedalus.base.errors import DaedalusError
from daedalus.torch.compiled_gather import copied, edges_of, fill
from daedalus.torch.forms import Form, Held, Jobs, Labels, OfLists, Size
from daedalus.torch.lists import Rows
from daedalus.torch.memory import Layout
from daedalus.torch.order import Piece, Step
from daedalus.torch.parts import Columns, PartReader, only_chunk
from daedalus.torch.units import Stretch, Unit, Wanted

AHEAD = 2  # blocks, since what reads one does not keep all cores busy
MAKERS = 2  # threads that make batches
TOGETHER = 8, 8 << 20  # batches are made so many together, or fewer if they have more bytes: threads cost time to wake
MADE = 2  # times that many are made, or being made, before they are asked for

Batch = dict[str, torch.Tensor]
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Block:
    """The rows asked for, in the order of the block's items, as each form holds them."""

    held: Sequence[Held]
    edges: np.ndarray | None  # where in the rows each item begins, and the last ends; None if each row is an item

    def part(self, piece: Piece) -> Part:
        """The rows of some items."""
        first, last = piece.first, piece.last
        if self.edges is None:
            return Part(self, first, last, None)
        edges = self.edges[first : last + 1]
        return Part(self, int(edges[0]), int(edges[-1]), np.diff(edges))

    @cached_property
    def jobs(self) -> Jobs:
        """Those that write all rows."""
        return Jobs.of([job for some in self.held for job in some.jobs])

    @cached_property
    def before(self) -> np.ndarray:
        """How many items there are before each row, of each form that has to know it."""
        found = [some.before for some in self.held if some.before is not None]
        return np.array(found) if found else np.zeros((0, 0), np.int64)


class Part(NamedTuple):
    """What a batch takes of a block: rows, and, if items are groups, how many rows each of them has."""

    block: Block
    first: int
    last: int
    sizes: np.ndarray | None

    def items(self) -> np.ndarray:
        """How many items its rows have, of each form that has to know it."""
        before = self.block.before
        return before[:, self.last] - before[:, self.first] if len(before) else _NONE


class Memory(Protocol):
    """Where the tensors of batches are."""

    def room(self, layout: Layout) -> tuple[Batch, int]:
        """A batch of such tensors to be filled, and the address of its memory."""


class Maker:
    """Makes batches in the forms asked for."""

    def __init__(self, forms: Sequence[Form], memory: Memory) -> None:
        self._forms, self._memory = forms, memory
        self._layouts: dict[int, Layout] = {}  # by how many rows, if nothing else decides it

    def make(self, several: Sequence[Sequence[Part]]) -> list[Batch]:
        """A batch of each: the rows of some parts, one after the other. All are written at once."""
        made, jobs = [], []
        for parts in several:
            items = [part.items() for part in parts]
            sizes = [part.sizes for part in parts if part.sizes is not None]
            layout = self._layout(parts, items, sum(map(len, sizes)) if sizes else None)
            batch, at = self._memory.room(layout)
            if sizes:
                batch["groups"].numpy()[:] = edges_of(np.concatenate(sizes))
            outs = layout.ats[1 if sizes else 0 :] + np.uint64(at)
            row, before = 0, np.zeros_like(items[0])
            for part, count in zip(parts, items, strict=True):
                jobs.append(part.block.jobs.of_rows(part.first, part.last, outs, row, before))
                row, before = row + part.last - part.first, before + count
            made.append(batch)
        fill(np.concatenate(jobs))
        return made

    def _layout(self, parts: Sequence[Part], items: Sequence[np.ndarray], groups: int | None) -> Layout:
        rows, fixed = sum(part.last - part.first for part in parts), groups is None and not len(items[0])
        if fixed and rows in self._layouts:
            return self._layouts[rows]
        sizes = [] if groups is None else [Size("groups", np.dtype(np.int64), (groups + 1,))]
        left = iter(np.sum(items, axis=0).tolist())
        for form, held in zip(self._forms, parts[0].block.held, strict=True):
            sizes += form.sizes(held, rows, 0 if held.before is None else next(left))
        found = Layout(sizes)
        if fixed:
            self._layouts[rows] = found
        return found


@dataclass(frozen=True)
class BlockReader:
    """Reads blocks of units, for rows that are wanted, in the forms asked for."""

    reader: PartReader
    wanted: Wanted
    forms: Sequence[Form]

    def read(self, units: Sequence[Unit], items: np.ndarray, ordered: bool) -> Block:
        """The block of some units with its items in an order; `ordered` if that is the order in which they lie."""
        read, labels, chosen, base = [], [], [], 0
        for unit in units:
            some = self._unit(unit)
            read.append(some.columns)
            labels.append(some.labels)
            chosen.append(some.rows + base)
            base += some.columns.rows
        columns, rows, edges = Columns.joined(read), np.concatenate(chosen), None
        if self.wanted.group is not None:
            sizes = np.concatenate([unit.sizes for unit in units if unit.sizes is not None])
            rows, edges = copied(edges_of(sizes), rows, items)  # they lie group by group
        elif not ordered:
            rows = rows[items]
        held, placed = [], Rows.of(rows, base)
        for form in self.forms:
            if isinstance(form, Labels):
                values: Any = np.concatenate([some for some in labels if some is not None])
            elif isinstance(form, OfLists):
                values = columns.lists[form.name]
            else:
                values = only_chunk(columns.table[form.name])
            held.append(form.hold(values, placed))
        return Block(held, edges)

    def _unit(self, unit: Unit) -> _Chosen:
        """Rows of a unit, and which of them are asked for: in order, or by group and then in order."""
        columns = self._columns(unit.near)
        keep, labels = self.wanted.rows(columns.table)
        if self.wanted.group is None:
            return self._chosen(unit, columns, keep, labels)
        assert keep is not None
        keep &= ~np.isin(self._values(columns), unit.others)
        if unit.far:
            more = self._columns(unit.far)
            wanted, of_more = self.wanted.rows(more.table)
            assert wanted is not None
            mine = wanted & np.isin(self._values(more), unit.mine)
            more = more.filter(mine)
            columns = Columns.joined([more, columns])
            keep = np.concatenate([np.ones(more.rows, bool), keep])
            labels = None if labels is None or of_more is None else np.concatenate([of_more[mine], labels])
        found = self._chosen(unit, columns, keep, labels)
        values = self._values(found.columns)[found.rows]
        return found._replace(rows=found.rows[np.argsort(values, kind="stable")])

    def _columns(self, stretches: Sequence[Stretch]) -> Columns:
        lists = {form.name: form.keep_nulls for form in self.forms if isinstance(form, OfLists)}
        return Columns.joined([self.reader.read(part, groups, lists) for part, groups in stretches])

    def _values(self, columns: Columns) -> np.ndarray:
        return columns.table[self.wanted.group].combine_chunks().fill_null(0).to_numpy(zero_copy_only=False)

    def _chosen(self, unit: Unit, columns: Columns, keep: np.ndarray | None, labels: np.ndarray | None) -> _Chosen:
        """Where few rows are asked for, the others are let go now, so that a block needs no memory for them."""
        kept = columns.rows if keep is None else int(keep.sum())
        if kept != unit.rows:
            paths = self.wanted.published.paths
            raise DaedalusError("a partition has been replaced", where=paths[unit.near[0].part], found=f"{kept} rows",
                                expected=f"{unit.rows}, as when the data set was made",
                                hint="make the data set again, or use a snapshot")  # fmt: skip
        if keep is None or kept == columns.rows:
            return _Chosen(columns, labels, np.arange(columns.rows))
        if kept * 2 < columns.rows:
            return _Chosen(columns.filter(keep), None if labels is None else labels[keep], np.arange(kept))
        return _Chosen(columns, labels, np.flatnonzero(keep))


class _Chosen(NamedTuple):
    """Columns of a unit, the label of each row, if there are labels, and which rows are asked for."""

    columns: Columns
    labels: np.ndarray | None
    rows: np.ndarray


def batches(
    steps: Callable[[], Iterable[Step]], read: Callable[[int], Block],
    make: Callable[[Sequence[Sequence[Part]]], Sequence[Batch]], together: int = 1,
) -> Iterator[Sequence[Batch]]:  # fmt: skip
    """The batches of some steps: the first one, then `together` at a time as they are made, MADE times as many ahead.

    Of each stream the blocks of its last batch are kept, and AHEAD more are read.
    """
    with ThreadPoolExecutor(AHEAD) as readers, ThreadPoolExecutor(MAKERS) as makers:
        made: deque[Future[Sequence[Batch]]] = deque()
        to_make = _with_blocks(steps, lambda block: readers.submit(read, block))
        try:
            sizes = chain((1,), repeat(together))  # the first one soon
            while some := list(islice(to_make, next(sizes))):
                made.append(makers.submit(_made, some, make))
                if len(made) > MADE:
                    yield made.popleft().result()
            while made:
                yield made.popleft().result()
        finally:
            for pool in (makers, readers):
                pool.shutdown(wait=False, cancel_futures=True)


def _made(
    several: Sequence[tuple[Step, Sequence[Future[Block]]]],
    make: Callable[[Sequence[Sequence[Part]]], Sequence[Batch]],
) -> Sequence[Batch]:  # fmt: skip
    return make([[block.result().part(piece) for piece, block in zip(step.pieces, blocks, strict=True)]
                 for step, blocks in several])  # fmt: skip


def _with_blocks(
    steps: Callable[[], Iterable[Step]], read: Callable[[int], Future[Block]]
) -> Iterator[tuple[Step, list[Future[Block]]]]:
    """Steps with the blocks of their pieces."""
    to_read = _reads(steps())
    held: dict[int, Mapping[int, Future[Block]]] = {}
    ahead = deque(map(read, islice(to_read, AHEAD)))
    for step in steps():
        before, now = held.pop(step.stream, {}), {}
        for piece in step.pieces:
            if piece.block in before:
                now[piece.block] = before[piece.block]
                continue
            now[piece.block] = ahead.popleft()
            ahead.extend(map(read, islice(to_read, 1)))
        held[step.stream] = now
        yield step, [now[piece.block] for piece in step.pieces]


def _reads(steps: Iterable[Step]) -> Iterator[int]:
    """The blocks to read, in order: those that the batch before, of the same stream, does not have."""
    held: dict[int, set[int]] = {}
    for step in steps:
        now = [piece.block for piece in step.pieces]
        yield from (block for block in now if block not in held.get(step.stream, ()))
        held[step.stream] = set(now)
