"""Which batches of an epoch a process takes: every so many-th, by its rank among processes and its worker in a rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch.distributed as distributed
from torch.utils.data import get_worker_info

from daedalus.base.errors import DaedalusError

Even = Literal["drop", "repeat"]


@dataclass(frozen=True)
class Ranks:
    """One of `size` ranks. With `even`, all get equally many batches: the last are dropped, or the first repeated."""

    rank: int
    size: int
    even: Even | None

    def count(self, total: int) -> int:
        """How many of an epoch's batches the rank takes."""
        if self.even == "drop":
            return total // self.size
        return -(-(total - (0 if self.even else self.rank)) // self.size) if total else 0


@dataclass(frozen=True)
class Position:
    """Where in its epoch a worker is: it has taken `taken` of its batches, from the rank's batch `start` on."""

    start: int = 0
    taken: int = 0
    workers: int = 1

    def left(self, ranks: Ranks, worker: int, total: int) -> Iterator[int]:
        """The batches of the epoch that are still to come for one of `workers`, in order.

        Workers take turns from `start` on, so that a DataLoader, which asks them in turn, gets the order of the rank.
        """
        first = self.start + worker + self.workers * self.taken
        for of_rank in range(first, ranks.count(total), self.workers):
            yield (ranks.rank + ranks.size * of_rank) % total


def ranks_of(rank: int | None, world_size: int | None, even: Even | None) -> Ranks:
    """As given, else as torch.distributed says, if it has begun; else the only one."""
    if even not in (None, "drop", "repeat"):
        raise DaedalusError("there is no such choice", where="TrainingDataset(even)", found=repr(even),
                            expected="'drop', 'repeat' or None")  # fmt: skip
    if (rank is None) != (world_size is None):
        raise DaedalusError("rank and world_size go together", where="TrainingDataset(rank, world_size)",
                            found=f"rank={rank}, world_size={world_size}", expected="both, or neither")  # fmt: skip
    if rank is None or world_size is None:
        begun = distributed.is_available() and distributed.is_initialized()
        rank, world_size = (distributed.get_rank(), distributed.get_world_size()) if begun else (0, 1)
    if not 0 <= rank < world_size:
        raise DaedalusError("there is no such rank", where="TrainingDataset(rank)", found=rank,
                            expected=f"0 to {world_size - 1}, since world_size={world_size}")  # fmt: skip
    return Ranks(rank, world_size, even)


def this_worker() -> tuple[int, int]:
    """(this worker of a DataLoader, how many there are); (0, 1) outside of workers."""
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)
