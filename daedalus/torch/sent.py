"""A batch on its way from a worker to the process that trains: all of its tensors in one piece of shared memory.

Each tensor that is sent alone costs shared memory, a file descriptor and a connection of its own, together more than
reading its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

_LINE = 64  # bytes: where each tensor begins, so that values lie as processors want them

Spec = tuple[str, torch.dtype, tuple[int, ...], int]  # name, type, shape, and where in the memory


class SentBatch(dict[str, torch.Tensor]):
    """A batch that is pickled as one tensor, and unpickled as a dict of views of it."""

    def __reduce__(self) -> tuple:
        specs = list(_specs(self))
        whole = torch.empty(0, dtype=torch.uint8).set_(torch.UntypedStorage._new_shared(_end(specs)))
        for (_, _, _, at), tensor in zip(specs, self.values(), strict=True):
            whole[at : at + tensor.nbytes].copy_(tensor.reshape(-1).view(torch.uint8))
        return _opened, (whole, specs)

    def __copy__(self) -> SentBatch:
        return SentBatch(self)


def _opened(whole: torch.Tensor, specs: list[Spec]) -> dict[str, torch.Tensor]:
    return {name: whole[at : at + _bytes(kind, shape)].view(kind).reshape(shape) for name, kind, shape, at in specs}


def _specs(batch: Mapping[str, torch.Tensor]) -> Iterator[Spec]:
    at = 0
    for name, tensor in batch.items():
        yield name, tensor.dtype, tuple(tensor.shape), at
        at += -(-tensor.nbytes // _LINE) * _LINE


def _end(specs: list[Spec]) -> int:
    return max((at + _bytes(kind, shape) for _, kind, shape, at in specs), default=0)


def _bytes(kind: torch.dtype, shape: tuple[int, ...]) -> int:
    return kind.itemsize * torch.Size(shape).numel()
