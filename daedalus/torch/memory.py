"""Memory that batches are made in, and that is used again when nobody has a batch any more.

Fresh memory costs as much as filling it: the system hands it out page by page, full of zeros. A batch is one stretch
of memory: to make one for each tensor, and to see each dropped, takes longer than to fill some. In a worker, it is a
slot of a piece of shared memory, so it is sent by saying where it is; and so as not to ask for a file descriptor for
each batch, a piece has many slots. The process that gets a batch clears the slot's byte at the beginning of the piece
when it has dropped all its tensors.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cache
from itertools import count
from math import prod
from typing import Any

import numpy as np
import torch

from daedalus.torch.compiled_gather import address
from daedalus.torch.forms import Size

_LINE = 64  # bytes: where each tensor begins, so that values lie as processors want them
_SLOTS, _BYTES = 32, 1 << 24  # of a piece: so many slots, but no more bytes than that if one fits
_ROOM = 1.25  # of a slot, by its first batch: not all have equally many items

Room = tuple[dict[str, torch.Tensor], int]  # a batch to be filled, and the address of its memory
Name = tuple[int, int]  # of a piece: its worker's process, and a number
Spec = tuple[str, str, tuple[int, ...], int]  # name, type and shape of a tensor, and where in the slot it is


class _Lent:
    """Memory that an array is made on; `dropped` is called when no array or tensor on it is left."""

    def __init__(self, memory: np.ndarray, dropped: Callable[[], None]) -> None:
        self._memory, self._dropped = memory, dropped
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._dropped()


class Layout:
    """How the tensors of a batch lie in its memory: `specs` says it of each, `size` is how many bytes they take."""

    def __init__(self, sizes: Sequence[Size]) -> None:
        self.specs: list[Spec] = []
        at = 0
        for name, dtype, shape in sizes:
            self.specs.append((name, dtype.char, shape, at))
            at += -(-dtype.itemsize * prod(shape) // _LINE) * _LINE
        self.size = max(at, _LINE)
        self.ats = np.array([spec[3] for spec in self.specs], np.uint64)

    def tensors(self, memory: np.ndarray) -> dict[str, torch.Tensor]:
        return _tensors(self.specs, memory)


class OwnMemory:
    """Memory of this process."""

    def __init__(self) -> None:
        self._free: dict[int, list[np.ndarray]] = {}

    def room(self, layout: Layout) -> Room:
        whole = _rounded(layout.size)
        free = self._free.setdefault(whole, [])
        try:
            memory = free.pop()
        except IndexError:
            memory = np.empty(whole, np.uint8)
        return layout.tensors(np.asarray(_Lent(memory, lambda: free.append(memory)))), address(memory)


class SharedMemory:
    """Memory of a worker that the process which it works for has too."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._gone: list[Name] = []  # pieces that the other process may forget
        self._lock = threading.Lock()

    def room(self, layout: Layout) -> Room:
        with self._lock:
            slot = self._slot(layout.size)
        batch = SentBatch(layout.tensors(np.asarray(_Lent(slot.memory, slot.dropped))))
        batch.slot = slot
        return batch, slot.address

    def _slot(self, size: int) -> _Slot:
        """A slot that nobody has, of a new piece if there is none."""
        for piece in self._pieces:
            if piece.size >= size and (slot := piece.free()) is not None:
                return slot
        small = [piece for piece in self._pieces if piece.size < size and piece.is_free()]
        self._gone += [piece.name for piece in small if piece.sent]
        self._pieces = [piece for piece in self._pieces if piece not in small]
        piece = _Piece(self, int(size * _ROOM))
        self._pieces.append(piece)
        slot = piece.free()
        assert slot is not None
        return slot

    def gone(self) -> list[Name]:
        """Pieces that are no more, each of them once."""
        with self._lock:
            found, self._gone = self._gone, []
        return found


_numbers = count()


class _Piece:
    """Shared memory: a byte for each slot, which is 1 while the other process has a batch there; then the slots."""

    def __init__(self, owner: SharedMemory, size: int) -> None:
        self.owner, self.size = owner, -(-size // _LINE) * _LINE
        self.slots = max(min(_SLOTS, _BYTES // self.size), 1)
        self.name: Name = os.getpid(), next(_numbers)
        self.sent = False
        storage = torch.UntypedStorage._new_shared(_LINE + self.slots * self.size)
        self.memory = torch.empty(0, dtype=torch.uint8).set_(storage)
        self.array = self.memory.numpy()
        self.here = bytearray(self.slots)  # 1 while this process has it

    def free(self) -> _Slot | None:
        """The first slot that nobody has: what was used last is in the processor's cache."""
        for number in range(self.slots):
            if not self.here[number] and not self.array[number]:
                self.here[number] = 1
                return _Slot(self, number)
        return None

    def is_free(self) -> bool:
        return not any(self.here) and not self.array[: self.slots].any()


class _Slot:
    """Room for a batch, which is sent once."""

    def __init__(self, piece: _Piece, number: int) -> None:
        self._piece, self._number, self._sent = piece, number, False
        begin = _LINE + number * piece.size
        self.memory = piece.array[begin : begin + piece.size]
        self.address = address(self.memory)

    def dropped(self) -> None:
        self._piece.here[self._number] = 0

    def send(self) -> tuple[Name, torch.Tensor | None, list[Name], int, int] | None:
        """(the piece, its memory if it was not sent before, pieces to forget, number, bytes); None the second time."""
        if self._sent:
            return None
        piece, self._sent = self._piece, True
        memory, piece.sent = None if piece.sent else piece.memory, True
        piece.array[self._number] = 1
        return piece.name, memory, piece.owner.gone(), self._number, piece.size

    def place(self, tensor: torch.Tensor) -> int | None:
        """Where in the slot a tensor lies, if it does."""
        at = tensor.data_ptr() - self.address if tensor.numel() else 0
        there = tensor.is_contiguous() and at >= 0 and at + tensor.nbytes <= self._piece.size
        return at if there and tensor.dtype in _TYPES else None


class SentBatch(dict[str, torch.Tensor]):
    """A batch of a worker. Its tensors are sent by where in shared memory they are; what was put to it, by PyTorch."""

    slot: _Slot | None = None

    def __reduce__(self) -> tuple:
        specs: list[Spec] = []
        others = dict(self)
        sent = self.slot.send() if self.slot else None
        if self.slot and sent:
            for name, tensor in self.items():
                if isinstance(tensor, torch.Tensor) and (at := self.slot.place(tensor)) is not None:
                    specs.append((name, _TYPES[tensor.dtype], tuple(tensor.shape), at))
                    del others[name]
            return _opened, (*sent, specs, others, list(self) if others else None)
        return dict, (_copied(others),)

    def __copy__(self) -> SentBatch:
        found = SentBatch(self)
        found.slot = self.slot
        return found

    def __deepcopy__(self, memo: dict) -> SentBatch:
        return SentBatch(_copied(self))


@cache
def of_worker() -> SharedMemory:
    """That of this process, which is a worker."""
    return SharedMemory()


_theirs: dict[Name, np.ndarray] = {}  # where batches are received: pieces of workers
_TYPES = {torch.from_numpy(np.zeros(0, kind)).dtype: kind for kind in
          ("?", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8")}  # fmt: skip


def _opened(
    name: Name, memory: torch.Tensor | None, gone: Sequence[Name], number: int, size: int, specs: Sequence[Spec],
    others: dict[str, torch.Tensor], order: Sequence[str] | None,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """The tensors of a batch, on the memory that it was made in."""
    for known in gone:
        _theirs.pop(known, None)
    if memory is not None:
        for known in [known for known in _theirs if not os.path.exists(f"/proc/{known[0]}")]:
            _theirs.pop(known, None)
        _theirs[name] = memory.numpy()
    piece = _theirs[name]

    def dropped() -> None:
        piece[number] = 0

    begin = _LINE + number * size
    slot = np.asarray(_Lent(piece[begin : begin + size], dropped))
    found = {**others, **_tensors(specs, slot)}
    return found if order is None else {key: found[key] for key in order}


def _tensors(specs: Sequence[Spec], memory: np.ndarray) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ndarray(shape, kind, memory, at)) for name, kind, shape, at in specs}


def _copied(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A worker's own copy of what it may have sent already, or of what may be in memory that it uses again."""
    return {name: some.clone() if isinstance(some, torch.Tensor) else copy(some) for name, some in batch.items()}


def _rounded(size: int) -> int:
    """A size that others are rounded to as well, by a quarter more at most."""
    step = 1 << max(size.bit_length() - 3, 0)
    return -(-size // step) * step
