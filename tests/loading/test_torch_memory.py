"""`daedalus.torch`: memory of batches is used again, but never while anybody has a tensor of it."""

from __future__ import annotations

import copy
import pickle
from collections import deque
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import dirty_days

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.utils.data import DataLoader, IterableDataset  # noqa: E402

from daedalus.torch import TrainingDataset, memory  # noqa: E402
from daedalus.torch.forms import Size  # noqa: E402
from daedalus.torch.memory import Layout, OwnMemory, SharedMemory  # noqa: E402


def made(room, number: int, *counts: int):
    """A batch of tensors of so many values, all of them `number`."""
    kinds = zip(counts, ("i8", "?", "f2"), strict=False)
    sizes = [Size(f"t{place}", np.dtype(kind), (count,)) for place, (count, kind) in enumerate(kinds)]
    batch, _ = room.room(Layout(sizes))
    for tensor in batch.values():
        tensor.fill_(number)
    return batch


def sent(batch):
    """As the other process gets it."""
    return pickle.loads(bytes(ForkingPickler.dumps(batch)))


def is_whole(batch, number: int, *counts: int) -> bool:
    return [tensor.tolist() for tensor in batch.values()] == [
        torch.full((count,), number, dtype=kind).tolist()
        for count, kind in zip(counts, (torch.int64, torch.bool, torch.float16), strict=False)
    ]


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 300), st.booleans()), min_size=1, max_size=60),
       st.integers(0, 9), st.booleans())  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_a_batch_stays_what_it_is_while_any_of_its_tensors_is_held(shapes, held, shared):
    """Whatever sizes follow, in this process and for another one; with some batches kept, some in part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_BYTES", 60_000)
        room = SharedMemory() if shared else OwnMemory()
        alive = deque()
        for number, (one, two, part) in enumerate(shapes):
            batch = made(room, number, one, two, two)
            batch = sent(batch) if shared else batch
            alive.append((number, {"t1": batch["t1"]} if part else batch, (one, two, two), part))
            if len(alive) > held:
                alive.popleft()
            for number, batch, counts, part in alive:
                assert is_whole(batch, number, *counts) or (part and set(batch["t1"].tolist()) <= {bool(number)})


def test_memory_is_used_again_once_a_batch_is_gone():
    for room, through in ((OwnMemory(), lambda batch: batch), (SharedMemory(), sent)):
        places = set()
        for number in range(20):
            batch = through(made(room, number, 5000))
            places.add(batch["t0"].data_ptr())
        assert len(places) <= 3


def test_many_small_batches_share_a_piece_and_pieces_that_grew_too_small_are_forgotten():
    room = SharedMemory()
    kept = [sent(made(room, number, 100)) for number in range(32)]
    assert len(room._pieces) == 1  # with one file descriptor
    kept.append(sent(made(room, 32, 100)))
    assert len(room._pieces) == 2 and all(is_whole(batch, number, 100) for number, batch in enumerate(kept))
    names = [piece.name for piece in room._pieces]
    kept.clear()
    large = sent(made(room, 1, 10**6))
    assert is_whole(large, 1, 10**6) and len(room._pieces) == 1 and not memory._theirs.keys() & set(names)


def test_a_batch_that_its_worker_changes_copies_or_keeps():
    room = SharedMemory()
    batch = made(room, 1, 10, 10)
    batch["more"], batch["t0"], batch["odd"] = torch.ones(3), batch["t0"] + 1, batch["t1"][::2]
    del batch["t1"]
    batch["t2"] = "text"
    found = sent(batch)
    assert (
        found["t0"].tolist() == [2] * 10 and found["more"].tolist() == [1] * 3 and found["odd"].tolist() == [True] * 5
    )
    assert list(found) == ["t0", "more", "odd", "t2"] and found["t2"] == "text"
    again = sent(batch)  # a second time, it has memory of its own
    twice, deep = copy.copy(made(room, 5, 10)), copy.deepcopy(made(room, 6, 10))
    own = twice["t0"]
    first, second = sent(twice), sent(twice)
    assert is_whole(first, 5, 10) and is_whole(second, 5, 10) and is_whole(sent(deep), 6, 10)
    del first, second, found, batch, twice
    for number in range(40):
        sent(made(room, number, 10, 10))
    assert own.tolist() == [5] * 10 and again["t0"].tolist() == [2] * 10


class Doubled(IterableDataset):
    """A data set around another one, which makes other batches of its batches."""

    def __init__(self, data):
        self.data = data

    def __iter__(self):
        for batch in self.data:
            batch["row"] *= 2
            yield {"twice": batch["row"], "ids": batch["ids"] + 1}


@pytest.mark.parametrize("wrap", [False, True])
def test_what_a_loader_gives_stays_while_it_goes_on(tmp_path, wrap):
    """All batches of two epochs are kept; the workers stay, and have made all others meanwhile."""
    dirty_days(tmp_path, days=3, part_rows=30, group_rows=10)
    data = TrainingDataset(output_root=tmp_path, columns=["row", "ids"], pad={"ids": 40}, batch_size=4, shuffle=True,
                           buffer=20)  # fmt: skip
    made_here = Doubled(data) if wrap else data
    loader = DataLoader(made_here, batch_size=None, num_workers=2, persistent_workers=True)
    found, expected = [], []
    for epoch in (0, 1):
        data.set_epoch(epoch)
        found += list(loader)
        expected += [{name: tensor.tolist() for name, tensor in batch.items()} for batch in data]
    if wrap:
        expected = [
            {"twice": [row * 2 for row in batch["row"]], "ids": [[i + 1 for i in ids] for ids in batch["ids"]]}
            for batch in expected
        ]
    assert [{name: tensor.tolist() for name, tensor in batch.items()} for batch in found] == expected
