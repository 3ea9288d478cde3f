"""Memory that batches are made in, and that is used again when nobody has a batch any more.

Fresh memory costs as much as filling it: the system hands it out page by page, full of zeros. In the process that
trains, each large tensor has memory of its own. In a worker, a batch is a slot of a piece of shared memory, so it is
sent by saying where it is; and so as not to ask for a file descriptor for each batch, a piece has many slots. The
process that gets a batch clears the slot's byte at the beginning of the piece when it has dropped all its tensors.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cache
from itertools import count
from typing import Any

import numpy as np
import torch

from daedalus.torch.forms import Size

_LARGE = 1 << 15  # bytes; the C library keeps smaller ones itself
_LINE = 64  # bytes: where each tensor begins, so that values lie as processors want them
_SLOTS, _BYTES = 32, 1 << 24  # of a piece: so many slots, but no more bytes than that if one fits
_ROOM = 1.25  # of a slot, by its first batch: not all have equally many items

Room = tuple[dict[str, torch.Tensor], list[np.ndarray]]  # the tensors of a batch, and their memory to be filled
Name = tuple[int, int]  # of a piece: its worker's process, and a number
Spec = tuple[str, str, tuple[int, ...], int]  # name, type and shape of a tensor, and where in the slot it is


class _Lent:
    """Memory that an array is made on; `dropped` is called when no array or tensor on it is left."""

    def __init__(self, memory: np.ndarray, dropped: Callable[[], None]) -> None:
        self._memory, self._dropped = memory, dropped
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._dropped()


class OwnMemory:
    """Memory of this process. One piece has one tensor, so that who keeps a label does not keep a whole batch."""

    def __init__(self) -> None:
        self._free: dict[int, list[np.ndarray]] = {}

    def room(self, sizes: Sequence[Size]) -> Room:
        arrays = [self._array(size) for size in sizes]
        return {size.name: torch.from_numpy(array) for size, array in zip(sizes, arrays, strict=True)}, arrays

    def _array(self, size: Size) -> np.ndarray:
        needed = _bytes(size)
        if needed < _LARGE:
            return np.empty(size.shape, size.dtype)
        whole = _rounded(needed)
        free = self._free.setdefault(whole, [])
        try:
            memory = free.pop()
        except IndexError:
            memory = np.empty(whole, np.uint8)
        lent = np.asarray(_Lent(memory, lambda: free.append(memory)))
        return lent[:needed].view(size.dtype).reshape(size.shape)


class SharedMemory:
    """Memory of a worker that the process which it works for has too."""

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []
        self._gone: list[Name] = []  # pieces that the other process may forget
        self._lock = threading.Lock()

    def room(self, sizes: Sequence[Size]) -> Room:
        ats, end = [], 0
        for size in sizes:
            ats.append(end)
            end += -(-_bytes(size) // _LINE) * _LINE
        with self._lock:
            slot = self._slot(max(end, _LINE))
        memory = np.asarray(_Lent(slot.memory, slot.dropped))
        arrays = [memory[at : at + _bytes(size)].view(size.dtype).reshape(size.shape)
                  for at, size in zip(ats, sizes, strict=True)]  # fmt: skip
        batch = SentBatch((size.name, torch.from_numpy(array)) for size, array in zip(sizes, arrays, strict=True))
        batch.slot = slot
        return batch, arrays

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
        at = tensor.data_ptr() - self.memory.ctypes.data if tensor.numel() else 0
        there = tensor.is_contiguous() and at >= 0 and at + tensor.nbytes <= len(self.memory)
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
            return _opened, (*sent, specs, others, list(self))
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
    others: dict[str, torch.Tensor], order: Sequence[str],
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
    found = dict(others)
    for key, kind, shape, at in specs:
        array = np.ndarray(shape, kind, slot, at)
        found[key] = torch.from_numpy(array)
    return {key: found[key] for key in order}


def _copied(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A worker's own copy of what it may have sent already, or of what may be in memory that it uses again."""
    return {name: some.clone() if isinstance(some, torch.Tensor) else copy(some) for name, some in batch.items()}


def _bytes(size: Size) -> int:
    found = size.dtype.itemsize
    for length in size.shape:
        found *= length
    return found


def _rounded(size: int) -> int:
    """A size that others are rounded to as well, by a quarter more at most."""
    step = 1 << max(size.bit_length() - 3, 0)
    return -(-size // step) * step
