"""A block: units read together, of which batches take rows. Blocks are read ahead, and batches made, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from daedalus.base.errors import DaedalusError
from daedalus.torch.compiled_gather import copied, count_items, edges_of, fill_lists
from daedalus.torch.forms import Form, OfLists, Ragged, Size, Taken, Vectors, take
from daedalus.torch.lists import Lists
from daedalus.torch.order import Piece, Step
from daedalus.torch.parts import Columns, PartReader, only_chunk
from daedalus.torch.units import Stretch, Unit, Wanted

AHEAD = 2  # blocks, since what reads one does not keep all cores busy
MAKERS = 2  # threads that make batches
MADE = 3  # batches that are made, or being made, before they are asked for

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Block:
    """Columns in the forms that batches take rows from, and the rows asked for, in the order of the block's items."""

    held: Sequence[Any]  # by form
    labels: np.ndarray | None
    rows: np.ndarray  # of the columns
    edges: np.ndarray | None  # where in `rows` each item begins, and the last ends; None if each row is an item

    def part(self, piece: Piece) -> Part:
        """The rows of some items."""
        first, last = piece.first, piece.last
        if self.edges is None:
            return Part(self, self.rows[first:last], None)
        edges = self.edges[first : last + 1]
        return Part(self, self.rows[edges[0] : edges[-1]], np.diff(edges))


class Part(NamedTuple):
    """What a batch takes of a block: rows, and, if items are groups, how many rows each of them has."""

    block: Block
    rows: np.ndarray
    sizes: np.ndarray | None


class Memory(Protocol):
    """Where the tensors of batches are."""

    def room(self, sizes: Sequence[Size]) -> tuple[dict[str, torch.Tensor], list[np.ndarray]]:
        """A batch of such tensors, and their memory, to be filled."""


def batch_of(forms: Sequence[Form], parts: Sequence[Part], memory: Memory) -> dict[str, torch.Tensor]:
    """The rows of some blocks, one after the other, as tensors."""
    counts, sizes = _counts(forms, parts), _sizes_of_rows(parts)
    rows = sum(len(part.rows) for part in parts)
    for place, form in enumerate(forms):
        sizes += form.sizes(parts[0].block.held[place], rows, int(counts[:, place].sum()))
    batch, arrays = memory.room(sizes)
    left = iter(arrays)
    if parts[0].sizes is not None:
        next(left)[:] = edges_of(np.concatenate([part.sizes for part in parts if part.sizes is not None]))
    if parts[0].block.labels is not None:
        take(next(left), [(part.block.labels, part.rows) for part in parts if part.block.labels is not None])
    jobs: list[list[tuple[int, ...]]] = [[] for _ in parts]
    for place, form in enumerate(forms):
        own = list(islice(left, len(form.keys)))
        if isinstance(form, OfLists):  # of all such forms at once, below
            _add_jobs(jobs, form, parts, own, [part.block.held[place] for part in parts], counts[:, place])
        else:
            form.fill([Taken(part.block.held[place], part.rows) for part in parts], own)
    for part, of_part in zip(parts, jobs, strict=True):
        if of_part:
            fill_lists(np.array(of_part, np.uint64), part.rows)
    return batch


def _sizes_of_rows(parts: Sequence[Part]) -> list[Size]:
    """Those tensors that are of no column."""
    found = []
    if parts[0].sizes is not None:
        groups = sum(len(part.sizes) for part in parts if part.sizes is not None)
        found.append(Size("groups", np.dtype(np.int64), (groups + 1,)))
    if parts[0].block.labels is not None:
        found.append(Size("label", np.dtype(np.float32), (sum(len(part.rows) for part in parts),)))
    return found


def _counts(forms: Sequence[Form], parts: Sequence[Part]) -> np.ndarray:
    """How many items the rows of each part have, of each form that has to know it."""
    found = np.zeros((len(parts), len(forms)), np.int64)
    ragged = [place for place, form in enumerate(forms) if isinstance(form, Ragged)]
    for number, part in enumerate(parts if ragged else ()):
        edges = np.array([part.block.held[place].addresses[0] for place in ragged], np.uint64)
        found[number, ragged] = count_items(edges, part.rows)
    return found


def _add_jobs(
    jobs: Sequence[list[tuple[int, ...]]], form: OfLists, parts: Sequence[Part], out: Sequence[np.ndarray],
    held: Sequence[Lists], counts: np.ndarray,
) -> None:  # fmt: skip
    """What is to be written of a column for each part; `out` are items, and ends of rows (after a 0), or lengths."""
    items, ends = out
    if not form.length:
        ends[0], ends = 0, ends[1:]
    row = before = 0
    for of_part, part, lists, count in zip(jobs, parts, held, counts.tolist(), strict=True):
        of_part.append(form.job(lists, items[row:] if form.length else items, ends[row:], before))
        row, before = row + len(part.rows), before + count


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
        columns, found = Columns.joined(read), np.concatenate(chosen)
        held = [form.hold(columns.lists[form.name] if isinstance(form, OfLists | Vectors)
                          else only_chunk(columns.table[form.name])) for form in self.forms]  # fmt: skip
        of_rows = np.concatenate([some for some in labels if some is not None]) if self.wanted.labels else None
        if self.wanted.group is None:
            return Block(held, of_rows, found if ordered else found[items], None)
        sizes = np.concatenate([unit.sizes for unit in units if unit.sizes is not None])
        return Block(held, of_rows, *_by_group(found, sizes, items))

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
        lists = {form.name: form.keep_nulls for form in self.forms if isinstance(form, OfLists | Vectors)}
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


def _by_group(rows: np.ndarray, sizes: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that lie group by group, in another order of groups, and where the groups begin then."""
    return copied(edges_of(sizes), rows, items)


def batches(
    steps: Callable[[], Iterable[Step]], read: Callable[[int], Block], make: Callable[[Sequence[Part]], Batch]
) -> Iterator[Batch]:
    """The batches of some steps, of which MADE are made ahead.

    Of each stream the blocks of its last batch are kept, and AHEAD more are read.
    """
    with ThreadPoolExecutor(AHEAD) as readers, ThreadPoolExecutor(MAKERS) as makers:
        made: deque[Future[Batch]] = deque()
        try:
            for step, blocks in _with_blocks(steps, lambda block: readers.submit(read, block)):
                made.append(makers.submit(_made, step, blocks, make))
                if len(made) > MADE:
                    yield made.popleft().result()
            while made:
                yield made.popleft().result()
        finally:
            for pool in (makers, readers):
                pool.shutdown(wait=False, cancel_futures=True)


def _made(step: Step, blocks: Sequence[Future[Block]], make: Callable[[Sequence[Part]], Batch]) -> Batch:
    return make([block.result().part(piece) for piece, block in zip(step.pieces, blocks, strict=True)])


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
