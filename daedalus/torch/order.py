"""The order of an epoch: which rows make which batch, known before anything is read.

Units (row groups, or runs of them whose query groups are whole) are put in an order that seed and epoch draw. Units
that follow each other make blocks of at least `buffer` rows, which are read together; the items of a block (its rows,
or its query groups) get an order that is drawn too. All items so ordered are a line, which is cut into batches.

The line is cut once more, into S streams: runs of nearly equally many batches. The epoch takes from each stream in
turn: its batch g is the next one of stream g mod S. So whoever takes every C-th batch, where C divides S, reads streams
of its own, while the order of the epoch does not depend on C. The last batch of the line, which may be short, is the
last of the epoch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from daedalus.torch.compiled_gather import edges_of

_UNITS, _ITEMS = 1, 2  # what an order is drawn for
STREAMS = (24, 12, 6, 4, 2)
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of splitmix64
_WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Cut:
    """How an epoch is made: rows a batch, whether it is shuffled, and in blocks of how many rows at least."""

    batch_size: int
    shuffle: bool
    seed: int
    buffer: int
    drop_last: bool


class Piece(NamedTuple):
    """Items of a block, from the first to before the last, in the block's own order."""

    block: int
    first: int
    last: int


class Step(NamedTuple):
    """A batch: the stream that has it, and what it is made of."""

    stream: int
    pieces: tuple[Piece, ...]


class Epoch:
    """The batches of an epoch. `counts` has the items of each unit; `sizes`, if items are groups, the rows of each."""

    def __init__(
        self, counts: np.ndarray, sizes: Sequence[np.ndarray] | None, cut: Cut, epoch: int, streams: int
    ) -> None:  # fmt: skip
        self._cut, self._epoch, self._streams = cut, epoch, streams
        units = order_of(len(counts), cut.seed, epoch, _UNITS) if cut.shuffle else np.arange(len(counts))
        units = units[counts[units] > 0]
        rows = counts if sizes is None else np.array([int(some.sum()) for some in sizes], np.int64)
        self.blocks = _blocks(units, rows[units], cut.buffer)
        self._starts = edges_of(np.array([int(counts[block].sum()) for block in self.blocks], np.int64)).tolist()
        self._ends = self._cut_rows() if sizes is None else self._cut_groups(sizes)

    def __len__(self) -> int:
        """How many batches there are."""
        return len(self._ends)

    def items(self, block: int) -> np.ndarray:
        """The items of a block in their order, counted through its units as they follow each other."""
        count = self._starts[block + 1] - self._starts[block]
        if not self._cut.shuffle:
            return np.arange(count)
        return order_of(count, self._cut.seed, self._epoch, _ITEMS, block)

    def step(self, batch: int) -> Step:
        """The batch at a position of the epoch."""
        place = self._place(batch)
        first = self._ends.item(place - 1) if place else 0
        return Step(batch % self._streams, tuple(self._pieces(first, self._ends.item(place))))

    def _place(self, batch: int) -> int:
        """Where on the line it is. Streams that have one batch more lie last on it, so that its end is taken last."""
        each, more = divmod(len(self), self._streams)
        lying = (batch % self._streams - more) % self._streams
        return lying * each + max(0, lying - (self._streams - more)) + batch // self._streams

    def _pieces(self, first: int, last: int) -> Iterator[Piece]:
        block = bisect_right(self._starts, first) - 1
        while first < last:
            begin, end = self._starts[block : block + 2]
            yield Piece(block, first - begin, min(last, end) - begin)
            block, first = block + 1, end

    def _cut_rows(self) -> np.ndarray:
        rows, most = self._starts[-1], self._cut.batch_size
        ends = np.arange(most, rows + 1, most)
        return ends if self._cut.drop_last or rows % most == 0 else np.append(ends, rows)

    def _cut_groups(self, sizes: Sequence[np.ndarray]) -> np.ndarray:
        """As many groups a batch as have `batch_size` rows together at most, or one that has more."""
        parts = [np.concatenate([sizes[unit] for unit in units])[self.items(block)]
                 for block, units in enumerate(self.blocks)]  # fmt: skip
        until = np.cumsum(np.concatenate(parts))
        ends, before = [0], 0
        while ends[-1] < len(until):
            end = int(np.searchsorted(until, before + self._cut.batch_size, "right"))
            ends.append(max(end, ends[-1] + 1))
            before = int(until[ends[-1] - 1])
        return np.array(ends[1:], np.int64)


def _blocks(units: np.ndarray, rows: np.ndarray, buffer: int) -> list[np.ndarray]:
    """Units that follow each other, as few as have `buffer` rows together."""
    found, begin, held = [], 0, 0
    for place, count in enumerate(rows.tolist()):
        held += count
        if held >= buffer:
            found.append(units[begin : place + 1])
            begin, held = place + 1, 0
    return [*found, units[begin:]] if begin < len(units) else found


def streams_for(blocks: int, most: int) -> int:
    """How many streams: few enough that hardly a block is cut by the end of one, and at most `most`."""
    for count in STREAMS:
        if count <= most and (blocks >= 8 * count or (count == 2 and blocks >= 4)):
            return count
    return 1


def order_of(count: int, *words: int) -> np.ndarray:
    """The positions 0 … count - 1 in an order that `words` draw, as INT64.

    It is the same everywhere and for good: by a hash of positions, not by a library's generator.
    """
    start = 0
    for word in words:
        start = _mixed(start ^ (word & _WORD))
    keys = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP) + np.uint64(start)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(_FIRST)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(_SECOND)
    return np.argsort(keys ^ (keys >> np.uint64(31)))  # all keys differ, so that there is but one order


def _mixed(word: int) -> int:
    word = (word + _STEP) & _WORD
    word = ((word ^ (word >> 30)) * _FIRST) & _WORD
    word = ((word ^ (word >> 27)) * _SECOND) & _WORD
    return word ^ (word >> 31)
