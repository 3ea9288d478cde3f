"""`daedalus.torch`: one order for one seed, whatever workers and ranks share it, and wherever it is resumed."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import dirty_days

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.utils.data import DataLoader  # noqa: E402

from daedalus.base.errors import DaedalusError  # noqa: E402
from daedalus.torch import TrainingDataset  # noqa: E402
from daedalus.torch import share as share_module  # noqa: E402
from daedalus.torch.blocks import batches as batches_of  # noqa: E402
from daedalus.torch.order import Cut, Epoch, order_of, streams_for  # noqa: E402
from daedalus.torch.share import Position, Ranks  # noqa: E402

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
GAINS = {"like": 1.0, "click": 0.5}


@pytest.fixture
def days(tmp_path):
    """240 rows in 24 row groups."""
    dirty_days(tmp_path / "out", days=4, part_rows=30, group_rows=10)
    return tmp_path / "out"


def made(root, **changes):
    arguments = {
        "columns": ["row"],
        "labels": GAINS,
        "batch_size": 8,
        "shuffle": True,
        "seed": 3,
        "buffer": 20,
        "streams": 3,
    }
    return TrainingDataset(output_root=root, **arguments | changes)


def rows_of(batches) -> list[list[int]]:
    return [batch["row"].tolist() for batch in batches]


def taken_in_turn(lists: list[list]) -> list:
    """One of each in turn while there are some, as a DataLoader takes them from its workers."""
    found = []
    for place in range(max(map(len, lists))):
        found += [some[place] for some in lists if place < len(some)]
    return found


@settings(max_examples=EXAMPLES, deadline=None)
@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=12), size=st.integers(1, 25), buffer=st.integers(1, 60),
       shuffle=st.booleans(), streams=st.integers(1, 7), epoch=st.integers(0, 3), drop=st.booleans(),
       ranks=st.integers(1, 4), workers=st.integers(1, 4), even=st.sampled_from([None, "drop", "repeat"]),
       start=st.integers(0, 9), taken=st.integers(0, 3))  # fmt: skip
def test_every_item_is_in_one_batch_and_every_batch_is_taken_by_one(
    counts, size, buffer, shuffle, streams, epoch, drop, ranks, workers, even, start, taken
):
    plan = Epoch(np.array(counts), None, Cut(size, shuffle, 5, buffer, drop), epoch, streams)
    steps = [plan.step(batch) for batch in range(len(plan))]
    items = [(p.block, item) for step in steps for p in step.pieces for item in range(p.first, p.last)]
    assert len(items) == len(set(items)) == (sum(counts) // size * size if drop else sum(counts))
    lengths = [sum(p.last - p.first for p in step.pieces) for step in steps]
    assert all(length == size for length in lengths[:-1])
    assert sorted(unit for block in plan.blocks for unit in block) == [u for u, count in enumerate(counts) if count]
    total = len(plan)
    all_taken = Counter()
    for rank in range(ranks):
        share = Ranks(rank, ranks, even)
        of_rank = [(rank + ranks * i) % total for i in range(share.count(total))] if total else []
        assert (
            taken_in_turn([list(Position(start, 0, workers).left(share, w, total)) for w in range(workers)])
            == of_rank[start:]
        )
        for worker in range(workers):
            whole = list(Position(start, 0, workers).left(share, worker, total))
            assert list(Position(start, taken, workers).left(share, worker, total)) == whole[taken:]
        all_taken.update(of_rank)
    if even is None:
        assert all_taken == Counter(range(total))
    else:
        assert len({Ranks(rank, ranks, even).count(total) for rank in range(ranks)}) == 1
        assert set(all_taken.values()) <= {1, 2, ranks} and (even == "drop" or set(all_taken) == set(range(total)))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 5))
def test_a_consumer_reads_only_its_own_streams_where_their_number_divides(blocks, each, share):
    """Blocks are read once, but for those at the ends of streams; and no more of them than streams + 1 are held."""
    streams = 2 * share
    plan = Epoch(np.full(blocks, each), None, Cut(3, True, 1, each, False), 0, streams)
    reads = []
    for consumer in range(share):
        own = list(range(consumer, len(plan), share))
        read = []
        list(
            batches_of(
                lambda own=own: map(plan.step, own),
                lambda block, read=read: read.append(block) or _Empty(),
                lambda several: [{} for _ in several],
            )
        )
        assert {plan.step(batch).stream for batch in own} <= set(range(consumer, streams, share))
        reads += read
    assert set(reads) == set(range(blocks)) and len(reads) <= blocks + streams - 1


class _Empty:
    def part(self, piece):
        return piece


def test_the_order_is_the_same_whatever_shares_it(days):
    """Workers and ranks as the dataset sees them, without processes."""
    whole = rows_of(made(days))
    assert [len(rows) for rows in whole[:-1]] == [8] * (len(whole) - 1)
    for ranks in (1, 2, 3):
        each = [rows_of(made(days, rank=rank, world_size=ranks)) for rank in range(ranks)]
        assert taken_in_turn(each) == whole
        assert [len(made(days, rank=rank, world_size=ranks)) for rank in range(ranks)] == list(map(len, each))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_dataloader_gives_the_order_of_one_process_at_any_place(days, workers):
    data = made(days, rank=1, world_size=2)
    whole = rows_of(data)
    assert rows_of(DataLoader(data, batch_size=None, num_workers=workers)) == whole
    assert rows_of(DataLoader(data, batch_size=None)) == whole
    data.resume(epoch=0, batches=3)
    assert rows_of(DataLoader(data, batch_size=None, num_workers=workers)) == whole[3:]


def test_workers_that_stay_or_are_not_forked_see_the_epoch(days):
    data = made(days)
    loader = DataLoader(data, batch_size=None, num_workers=1, persistent_workers=True, multiprocessing_context="spawn")
    found = []
    for epoch in (0, 1):
        data.set_epoch(epoch)
        found.append(rows_of(loader))
    fresh = made(days)
    for epoch, rows in enumerate(found):
        fresh.set_epoch(epoch)
        assert rows_of(fresh) == rows


def test_epochs_and_seeds_have_other_orders_of_the_same_rows(days):
    data = made(days)
    orders = [rows_of(data)]
    data.set_epoch(1)
    orders += [rows_of(data), rows_of(made(days, seed=4)), rows_of(made(days, streams=1))]
    data.set_epoch(0)
    assert rows_of(data) == orders[0] and data.epoch == 0
    flat = [[row for rows in order for row in rows] for order in orders]
    assert all(sorted(flat[0]) == sorted(other) for other in flat[1:])
    assert len(set(map(tuple, flat))) == len(flat)


def test_an_order_is_for_good():
    """Of the same words the same order, on any machine and with any version of any library: that of splitmix64."""

    def splitmix(state: int, count: int) -> list[int]:
        found = []
        for _ in range(count):
            state = (state + 0x9E3779B97F4A7C15) % 2**64
            word = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
            found.append(word ^ word >> 31)
        return found

    assert splitmix(0, 1) == [0xE220A8397B1DCDAF]  # as published
    for words in ((0,), (1, 2), (7, 7, 2**64 - 1)):
        state = 0
        for word in words:
            state = splitmix(state ^ word, 1)[0]
        keys = splitmix(state, 100)
        assert order_of(100, *words).tolist() == sorted(range(100), key=keys.__getitem__)
    assert order_of(8, -1).tolist() == order_of(8, 2**64 - 1).tolist() != order_of(8, 0).tolist()


def test_places_are_drawn_evenly():
    """Each item comes to each place about equally often, and neighbours are parted."""
    found = np.array([order_of(6, seed) for seed in range(6000)])
    for place in range(6):
        counts = np.bincount(found[:, place], minlength=6)
        assert counts.min() > 850 and counts.max() < 1150, counts
    assert 0.25 < np.mean(np.abs(np.diff(found, axis=1)) == 1) < 0.42  # a third


@pytest.mark.parametrize("batches", [0, 1, 7, 100])
def test_an_epoch_goes_on_in_the_middle_without_reading_what_was_taken(days, batches, monkeypatch):
    whole = rows_of(made(days))
    data = made(days)
    data.resume(epoch=0, batches=batches)
    assert rows_of(data) == whole[batches:]
    assert rows_of(data) == whole  # the next iteration is a whole one
    data.resume(epoch=0, batches=len(whole) - 1)
    data.set_epoch(0)  # as a loop over epochs says, also of the one that is resumed
    read = []
    from daedalus.torch.blocks import BlockReader

    real = BlockReader.read
    monkeypatch.setattr(
        BlockReader, "read", lambda self, units, *more: read.append(len(units)) or real(self, units, *more)
    )
    assert rows_of(data) == whole[-1:] and 1 <= len(read) <= 3
    data.resume(epoch=0, batches=3)
    data.set_epoch(1)
    assert len(rows_of(data)) == len(whole)


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_state_goes_on_in_another_process(days, taken):
    data = made(days)
    data.set_epoch(2)
    whole = rows_of(data)
    batches = iter(data)
    assert rows_of(islice(batches, taken)) == whole[:taken]
    state = pickle.loads(pickle.dumps(data.state_dict()))
    other = pickle.loads(pickle.dumps(made(days)))
    other.load_state_dict(state)
    assert other.epoch == 2 and rows_of(other) == whole[taken:] and rows_of(batches) == whole[taken:]
    ended = made(days)
    ended.load_state_dict(data.state_dict())
    assert rows_of(ended) == []  # of this epoch
    ended.set_epoch(3)
    assert len(rows_of(ended)) == len(whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_dataloader_goes_on_from_its_state(days, workers):
    module = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")
    data = made(days)
    data.set_epoch(1)
    whole = rows_of(data)
    loader = module.StatefulDataLoader(data, batch_size=None, num_workers=workers)
    batches = iter(loader)
    assert rows_of(islice(batches, 5)) == whole[:5]
    state = loader.state_dict()
    del batches
    resumed = module.StatefulDataLoader(made(days), batch_size=None, num_workers=workers)
    resumed.load_state_dict(state)
    assert rows_of(resumed) == whole[5:]


def test_a_state_of_another_order_is_refused(days):
    state = made(days).state_dict()
    for changes in ({"seed": 4}, {"batch_size": 9}, {"labels": {"like": 1}}, {"buffer": 21}, {"streams": 4},
                    {"range": "2026-02-01..2026-02-03"}, {"rank": 0, "world_size": 2}):  # fmt: skip
        with pytest.raises(DaedalusError, match="a state of another order"):
            made(days, **changes).load_state_dict(state)
    made(days, columns=["row", "ids"], pad={"ids": 3}).load_state_dict(state)
    data = made(days)
    data.load_state_dict({**state, "taken": 2, "workers": 3})
    with pytest.raises(DaedalusError, match="a state of another number of workers"):
        iter(data)


@pytest.mark.parametrize("even", ["drop", "repeat"])
def test_ranks_may_have_equally_many_batches(days, even):
    whole = rows_of(made(days))
    assert len(whole) % 4
    each = [rows_of(made(days, rank=rank, world_size=4, even=even)) for rank in range(4)]
    assert len(set(map(len, each))) == 1
    dealt = taken_in_turn(each)
    assert dealt == (whole[: len(whole) // 4 * 4] if even == "drop" else whole + whole[: len(dealt) - len(whole)])


def test_the_last_short_batch_is_dropped_on_demand(days):
    whole = rows_of(made(days))
    assert len(whole[-1]) < 8 and sorted(rows_of(made(days, drop_last=True))) == sorted(whole[:-1])


def test_ranks_are_those_of_torch_distributed_when_it_has_begun(days, monkeypatch):
    data = made(days)
    whole = rows_of(data)
    monkeypatch.setattr(share_module.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(share_module.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(share_module.distributed, "get_world_size", lambda: 2)
    pickled = pickle.dumps(data)
    assert rows_of(data) == whole[1::2] and data.state_dict()["rank"] == 1
    assert rows_of(made(days, rank=0, world_size=1)) == whole
    monkeypatch.undo()
    assert rows_of(pickle.loads(pickled)) == whole[1::2]  # in a process that knows nothing of ranks


def test_streams_are_few_where_blocks_are_few_or_large():
    assert [streams_for(blocks, 99) for blocks in (1, 3, 4, 16, 31, 32, 96, 191, 192, 10**6)] == [
        1, 1, 2, 2, 2, 4, 12, 12, 24, 24,
    ]  # fmt: skip
    assert [streams_for(10**6, most) for most in (0, 1, 3, 5, 12, 23)] == [1, 1, 2, 4, 12, 12]
