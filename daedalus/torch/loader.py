"""`TrainingLoader`: PyTorch's DataLoader, whose workers send as many batches at once as they make together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, zip_longest
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from daedalus.base.errors import DaedalusError
from daedalus.torch.blocks import Batch
from daedalus.torch.dataset import TrainingDataset
from daedalus.torch.share import Position, this_worker


class TrainingLoader(DataLoader[Any]):
    """The batches of a data set, made by `num_workers` processes beside this one, or by this one.

    They are those of `DataLoader(data, batch_size=None)`, in the same order, sooner: PyTorch spends about 0.2 ms of two
    processes on each object that a worker sends, whatever it holds, and here a worker sends up to eight batches as one.
    Workers stay for the next epoch unless `persistent_workers=False`; those of data in an object store are spawned, not
    forked, unless `multiprocessing_context` says otherwise. A worker gives each batch to `collate_fn`, if there is one,
    and sends what that returns. `pin_memory`, `timeout` and `worker_init_fn` are DataLoader's.

    `state_dict` says how many batches have been taken, whatever workers have made ahead, and may be loaded with
    another number of workers. Raises DaedalusError for what is not a TrainingDataset, and what that raises.
    """

    def __init__(
        self, data: TrainingDataset, *, num_workers: int = 0, collate_fn: Callable[[Batch], Any] | None = None,
        pin_memory: bool = False, timeout: float = 0, worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None, persistent_workers: bool = True,
    ) -> None:  # fmt: skip
        if not isinstance(data, TrainingDataset):
            raise DaedalusError("data of another kind", where="TrainingLoader(data)", found=type(data).__name__,
                                expected="a TrainingDataset", hint="other data sets go to DataLoader")  # fmt: skip
        if num_workers and multiprocessing_context is None and data.is_remote:
            multiprocessing_context = "spawn"
        self.data = data
        super().__init__(
            _Sent(data), batch_size=None, collate_fn=partial(_each, collate_fn), num_workers=num_workers,
            pin_memory=pin_memory, timeout=timeout, worker_init_fn=worker_init_fn,
            multiprocessing_context=multiprocessing_context, persistent_workers=persistent_workers and num_workers > 0,
        )  # fmt: skip

    def __len__(self) -> int:
        """The batches of this rank in a whole epoch."""
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        begin = self.data._take_begin(workers=1)
        self.dataset.start.fill_(begin.start + begin.taken)  # type: ignore[attr-defined]
        return self.data._counted(_in_turn(super().__iter__(), max(self.num_workers, 1)), begin)

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is."""
        return self.data.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next iteration goes on from there. Raises DaedalusError for a state of other data or of another order."""
        self.data.load_state_dict(state_dict)


class _Sent(IterableDataset[Sequence[Batch]]):
    """What a worker sends: its batches from `start` on, which workers that stay see too."""

    def __init__(self, data: TrainingDataset) -> None:
        self.data = data
        self.start = torch.zeros(1, dtype=torch.int64).share_memory_()

    def __iter__(self) -> Iterator[Sequence[Batch]]:
        return self.data._together(Position(int(self.start), workers=this_worker()[1]))


def _each(change: Callable[[Batch], Any] | None, batches: Sequence[Batch]) -> Sequence[Any]:
    return batches if change is None else [change(batch) for batch in batches]


_NONE = object()


def _in_turn(sent: Iterator[Sequence[Any]], workers: int) -> Iterator[Any]:
    """The first batch of each worker, then the second of each.

    Workers send in turn, equally many batches but for the last time, when the last workers may have one less, or none.
    """
    while of_each := list(islice(sent, workers)):
        for batches in zip_longest(*of_each, fillvalue=_NONE):
            yield from (batch for batch in batches if batch is not _NONE)
