"""What a data set was made for, looked at once; it gives any batches of any epoch, in any process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daedalus.base.digest import of_json
from daedalus.loading.published import Published
from daedalus.torch.blocks import AHEAD, TOGETHER, Batch, Block, BlockReader, Maker, batches
from daedalus.torch.columns import chosen_columns, forms_of
from daedalus.torch.compiled_gather import load_compiled
from daedalus.torch.forms import Labels, Padded
from daedalus.torch.memory import OwnMemory, of_worker
from daedalus.torch.order import Cut, Epoch, streams_for
from daedalus.torch.parts import PartReader
from daedalus.torch.units import Wanted, count

_HELD_BYTES = 1 << 30  # of the blocks of all streams together, unless the number of streams is given


@dataclass(frozen=True)
class Asked:
    """Which columns, in which form, of which rows."""

    columns: Sequence[str] | None
    pad: Mapping[str, int | None]
    labels: Mapping[str, float] | None
    group: str | None
    event: str


class Source:
    """The batches of published rows. Making one reads footers, and the columns that decide which rows are asked for."""

    def __init__(self, found: Published, asked: Asked, cut: Cut, streams: int | None) -> None:
        self._wanted = Wanted(asked.labels, found, asked.group, asked.event)
        chosen = chosen_columns(found, asked.columns, asked.pad)
        found.check_columns(self._wanted.columns, "TrainingDataset(labels, split, group_by)")
        columns = list(dict.fromkeys([*chosen, *self._wanted.columns]))
        reader = PartReader(found, columns, asked.event if asked.labels else None)
        self._forms = [*([Labels()] if asked.labels else []), *forms_of(found, chosen, asked.pad, reader)]
        load_compiled()
        counted = count(self._wanted, reader, cut.buffer)
        self._reader, self._units, self._cut = reader, counted.units, cut
        padded = sum(8 * form.length for form in self._forms if isinstance(form, Padded))
        at_once = TOGETHER[1] // (cut.batch_size * (counted.row_bytes + padded))
        self._together = max(min(TOGETHER[0], at_once), 1)
        self._epoch: tuple[int, Epoch] | None = None
        self.rows = sum(unit.rows for unit in self._units)
        if not self.rows:
            raise self._wanted.none_left()
        self.streams = streams or self._streams(counted.block_bytes)
        self.mark = of_json([counted.mark, repr(cut), self.streams])

    @property
    def remote(self) -> bool:
        return self._wanted.published.remote

    def epoch(self, number: int) -> Epoch:
        """The batches of an epoch; the last one asked for is kept."""
        if self._epoch is None or self._epoch[0] != number:
            self._epoch = number, self._planned(number, self.streams)
        return self._epoch[1]

    def batches(
        self, epoch: Epoch, places: Callable[[], Iterable[int]], in_worker: bool
    ) -> Iterator[Sequence[Batch]]:  # fmt: skip
        """The batches at some places of an epoch, as many at a time as are made together.

        `places` is called twice, and gives the same each time.
        """
        blocks = BlockReader(self._reader.with_threads(not in_worker), self._wanted, self._forms)
        memory = of_worker() if in_worker else OwnMemory()

        def read(block: int) -> Block:
            units = [self._units[unit] for unit in epoch.blocks[block]]
            return blocks.read(units, epoch.items(block), not self._cut.shuffle)

        return batches(lambda: map(epoch.step, places()), read, Maker(self._forms, memory).make, self._together)

    def __getstate__(self) -> dict[str, Any]:
        """Without the epoch, which is planned again more quickly than it is sent."""
        return {**self.__dict__, "_epoch": None}

    def _planned(self, number: int, streams: int) -> Epoch:
        grouped = self._wanted.group is not None
        sizes = [unit.sizes for unit in self._units if unit.sizes is not None] if grouped else None
        counts = [unit.rows if unit.sizes is None else len(unit.sizes) for unit in self._units]
        return Epoch(np.array(counts, np.int64), sizes, self._cut, number, streams)

    def _streams(self, block_bytes: int) -> int:
        """As many as keep the memory for their blocks bounded; one where the order is to be that of the rows."""
        if not self._cut.shuffle:
            return 1
        return streams_for(len(self._planned(0, 1).blocks), _HELD_BYTES // max(block_bytes, 1) - AHEAD)
