"""Batches on their way from a worker to the process that trains: several of them in one piece of shared memory.

Each piece that is sent costs a file descriptor, which goes through a connection of its own: more than reading the rows
of a batch. So a worker sends one with a batch, and the batches after it, as many as it has room for, go into the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import torch

_LINE = 64  # bytes: where each tensor begins, so that values lie as processors want them
_BATCHES, _BYTES = 32, 1 << 24  # of a piece: room for so many like the first, but no more than that if one fits

Spec = tuple[str, torch.dtype, tuple[int, ...], int]  # name, type, shape, and where in the batch
Name = tuple[int, int]  # of a piece: its worker's process, and a number


@dataclass
class Piece:
    """Shared memory, of which `used` bytes are."""

    name: Name
    memory: torch.Tensor
    used: int = 0


_numbers = count()
_ours: list[Piece] = []  # in a worker, the one that the next batches go into; by the one thread that sends
_theirs: dict[int, tuple[Name, torch.Tensor]] = {}  # where batches are received, the last one of each worker


class SentBatch(dict[str, torch.Tensor]):
    """A batch that is pickled into shared memory, and unpickled as a dict of views of it, in the order of pickling."""

    def __reduce__(self) -> tuple:
        specs = list(_specs(self))
        piece = _with_room(max(_end(specs), 1))
        batch = piece.memory[piece.used :]
        for (_, _, _, at), tensor in zip(specs, self.values(), strict=True):
            batch[at : at + tensor.nbytes].copy_(tensor.reshape(-1).view(torch.uint8))
        begin, piece.used = piece.used, piece.used + -(-_end(specs) // _LINE) * _LINE
        return _opened, (piece.name, None if begin else piece.memory, begin, specs)

    def __copy__(self) -> SentBatch:
        return SentBatch(self)

    def __deepcopy__(self, memo: dict) -> SentBatch:
        return SentBatch({name: tensor.clone() for name, tensor in self.items()})


def _with_room(size: int) -> Piece:
    """The last piece, or a new one where it has no room for so many bytes."""
    if not _ours or _ours[0].used == 0 or len(_ours[0].memory) - _ours[0].used < size:
        whole = max(size + _LINE, min(_BATCHES * (size + _LINE), _BYTES))
        memory = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(whole))
        _ours[:] = [Piece((os.getpid(), next(_numbers)), memory)]
    return _ours[0]


def _opened(name: Name, memory: torch.Tensor | None, begin: int, specs: list[Spec]) -> dict[str, torch.Tensor]:
    """The tensors of a batch; `memory` comes with the first batch in it."""
    if memory is not None:
        for process in [one for one in _theirs if not os.path.exists(f"/proc/{one}")]:
            _theirs.pop(process, None)
        _theirs[name[0]] = name, memory
    known, whole = _theirs[name[0]]
    assert known == name, (known, name)
    batch = whole[begin:]
    return {key: batch[at : at + _bytes(kind, shape)].view(kind).reshape(shape) for key, kind, shape, at in specs}


def _specs(batch: Mapping[str, torch.Tensor]) -> Iterator[Spec]:
    at = 0
    for name, tensor in batch.items():
        yield name, tensor.dtype, tuple(tensor.shape), at
        at += -(-tensor.nbytes // _LINE) * _LINE


def _end(specs: list[Spec]) -> int:
    return max((at + _bytes(kind, shape) for _, kind, shape, at in specs), default=0)


def _bytes(kind: torch.dtype, shape: tuple[int, ...]) -> int:
    return kind.itemsize * torch.Size(shape).numel()
