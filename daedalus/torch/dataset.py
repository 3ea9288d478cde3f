"""`TrainingDataset`: published rows as batches of tensors, for PyTorch's DataLoader."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, starmap
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info

from daedalus.base.errors import DaedalusError
from daedalus.loading.labels import check_gains
from daedalus.loading.published import Published, find_published
from daedalus.torch.blocks import Batch
from daedalus.torch.order import Cut
from daedalus.torch.share import Even, Position, ranks_of, this_worker
from daedalus.torch.source import Asked, Source


class TrainingDataset(IterableDataset[Batch]):
    """The published rows of some days as batches: dicts of tensors, for a `TrainingLoader`, or for a `DataLoader`
    with `batch_size=None`.

    Which rows: `range`, `stage`, `split`, `snapshot`, `output_root`, `config` and `object_store` are those of
    `daedalus.load`; with `labels`, which maps events to numbers, only rows with one of these events, and
    `batch["label"]` is its number as FLOAT32; `event` is the name of the events' column.

    Which tensors: `columns` (None: all that tensors can hold; text they cannot). A number is a tensor (rows,); NULL is
    NaN in floats, else 0 with False in `NAME__valid`. A list is all items of the rows, one after the other, with
    `NAME__offsets` (rows + 1,); or, with `pad={NAME: n}`, its first n items (lists of windows begin with the newest) in
    a tensor (rows, n), padded with -1 (floats: NaN), with `NAME__lengths` (rows,). Lists of float32 or float16 are
    vectors, (rows, length), zeros where `NAME__valid` is False, unless `pad` names them: `pad={NAME: None}` keeps them
    ragged. Times are microseconds and days are days since 1970.

    Which batches: `batch_size` rows each, but for the last of the epoch (which `drop_last` leaves out). With
    `group_by`, a column of whole numbers such as "qid", all rows that share a value and a day are in one batch, side by
    side, and `batch["groups"]` has the offsets of groups; batches have at most `batch_size` rows, unless a group alone
    has more. Rows without a value are left out.

    In which order: with `shuffle`, row groups are shuffled, and rows within blocks of at least `buffer` rows; else days
    ascend and rows keep their order. Order and batches depend on `seed`, the epoch and the data alone, not on workers
    and ranks, which share them without loss or repeat. `streams` blocks are open at a time, over all workers and ranks;
    each row group is read by one of them if workers × ranks divides it. `rank` and `world_size` are those of
    torch.distributed if it runs; `even="drop"` or `"repeat"` gives ranks equally many batches.

    Looks at the footers when made, and, for labels, splits and groups, at their columns. Raises DaedalusError for what
    is not there, and when a partition is replaced meanwhile. docs/training.md has examples.
    """

    def __init__(
        self, range: str | None = None, *, columns: Sequence[str] | None = None,
        stage: Literal["skeleton", "enrich"] = "skeleton", split: str | None = None, snapshot: str | None = None,
        output_root: str | Path | None = None, config: str | Path = "config",
        object_store: Mapping[str, object] | None = None, labels: Mapping[str, float] | None = None,
        event: str = "event", pad: Mapping[str, int | None] | None = None, group_by: str | None = None,
        batch_size: int = 1024, drop_last: bool = False, shuffle: bool = False, seed: int = 0, buffer: int = 16_384,
        streams: int | None = None, rank: int | None = None, world_size: int | None = None, even: Even | None = None,
    ) -> None:  # fmt: skip
        _check_numbers(batch_size=batch_size, buffer=buffer, streams=1 if streams is None else streams)
        if labels is not None:
            check_gains(labels, "TrainingDataset(labels)")
        self._ranks = partial(ranks_of, rank, world_size, even)
        self._ranks()  # refuses wrong ones at once
        found = find_published(range, stage=stage, split=split, snapshot=snapshot, output_root=output_root,
                               config=config, object_store=object_store, who="TrainingDataset")  # fmt: skip
        _check_group(found, group_by, drop_last)
        asked = Asked(columns, pad or {}, labels, group_by, event)
        self._source = Source(found, asked, Cut(batch_size, shuffle, seed, buffer, drop_last), streams)
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # so that workers that stay see it too
        self._next: Position | None = None  # where the next iteration begins, if not at the beginning
        self._at = Position()
        self._process = os.getpid()

    @property
    def rows(self) -> int:
        """The rows of an epoch, of all ranks."""
        return self._source.rows

    @property
    def is_remote(self) -> bool:
        """Whether its parts are in an object store, whose clients a forked process cannot use."""
        return self._source.remote

    @property
    def streams(self) -> int:
        """How many blocks are open at a time, over all workers and ranks."""
        return self._source.streams

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration gives, from its beginning unless `resume` chose it too."""
        _check_numbers(0, epoch=epoch)
        if epoch != self.epoch:
            self._epoch.fill_(epoch)
            self._next, self._at = None, Position()

    def resume(self, *, epoch: int, batches: int) -> None:
        """The next iteration gives what is left of an epoch after the first `batches` batches of this rank."""
        _check_numbers(0, epoch=epoch, batches=batches)
        self._epoch.fill_(epoch)
        self._next = self._at = Position(batches)

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is; in a DataLoader's worker, where that worker is, as StatefulDataLoader asks for it."""
        at, ranks = self._at, self._ranks()
        start = Position(at.start + at.taken) if at.workers == 1 else at
        return {"epoch": self.epoch, "start": start.start, "taken": start.taken, "workers": at.workers,
                "rank": ranks.rank, "world_size": ranks.size, "data": self._source.mark}  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next iteration goes on from there. Raises DaedalusError for a state of other data or of another order."""
        own = self.state_dict()
        for name in ("data", "world_size", "rank"):
            if state_dict[name] != own[name]:
                raise DaedalusError("a state of another order", where=f"load_state_dict(), {name}",
                                    found=state_dict[name], expected=own[name],
                                    hint="only columns and pad may change, and with them not streams")  # fmt: skip
        self._epoch.fill_(state_dict["epoch"])
        self._next = self._at = Position(state_dict["start"], state_dict["taken"], state_dict["workers"])

    def __len__(self) -> int:
        """The batches of this rank in a whole epoch."""
        return self._ranks().count(len(self._source.epoch(self.epoch)))

    def __iter__(self) -> Iterator[Batch]:
        begin = self._take_begin(this_worker()[1])
        return self._counted(chain.from_iterable(self._together(begin)), begin)

    def _take_begin(self, workers: int) -> Position:
        """Where the next iteration begins, with so many workers; the one after it, at the beginning."""
        begin, self._next = self._next or Position(), None
        if begin.taken and begin.workers != workers:
            raise DaedalusError("a state of another number of workers", where="load_state_dict()", found=workers,
                                expected=begin.workers)  # fmt: skip
        return replace(begin, workers=workers)

    def _together(self, begin: Position) -> Iterator[Sequence[Batch]]:
        """This worker's batches from a position on, as many at a time as are made together."""
        if self.is_remote and self._process != os.getpid():
            raise DaedalusError("a forked process cannot use the client of an object store", where="DataLoader",
                                hint='DataLoader(…, multiprocessing_context="spawn")')  # fmt: skip
        epoch = self._source.epoch(self.epoch)
        places = partial(begin.left, self._ranks(), this_worker()[0], len(epoch))
        return self._source.batches(epoch, places, in_worker=get_worker_info() is not None)

    def _counted(self, batches: Iterable[Batch], begin: Position) -> Iterator[Batch]:
        """The batches from a position on; `state_dict` says how many of them have been taken."""
        self._at = begin

        def take(taken: int, batch: Batch) -> Batch:
            self._at = Position(begin.start, taken, begin.workers)
            return batch

        return starmap(take, enumerate(batches, begin.taken + 1))

    def __getstate__(self) -> dict[str, Any]:
        """For a process that is not forked, which has no torch.distributed to ask."""
        ranks = self._ranks()
        return {**self.__dict__, "_ranks": partial(ranks_of, ranks.rank, ranks.size, ranks.even)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _process=os.getpid())


def _check_numbers(least: int = 1, **numbers: object) -> None:
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise DaedalusError("no such number", where=f"TrainingDataset({name})", found=repr(number),
                                expected=f"a whole number from {least} on")  # fmt: skip


def _check_group(found: Published, group_by: str | None, drop_last: bool) -> None:
    where = "TrainingDataset(group_by)"
    if group_by is None:
        return
    found.check_columns([group_by], where)
    kind = found.schema.field(group_by).type
    if not pa.types.is_integer(kind):
        raise DaedalusError("a column that cannot group rows", where=where, found=f"{group_by}, of type {kind}",
                            expected="a column of whole numbers, such as qid")  # fmt: skip
    if drop_last:
        raise DaedalusError("drop_last with groups", where="TrainingDataset(drop_last)", found=True,
                            expected="False, for batches of groups have any number of rows")  # fmt: skip
