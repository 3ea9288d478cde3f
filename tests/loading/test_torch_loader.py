"""`daedalus.torch.TrainingLoader`: the batches of the data set, in its order, whatever workers send them."""

from __future__ import annotations

import pickle
from itertools import islice

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import dirty_days

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.utils.data import DataLoader  # noqa: E402

from daedalus.base.errors import DaedalusError  # noqa: E402
from daedalus.torch import TrainingDataset, TrainingLoader  # noqa: E402
from daedalus.torch.loader import _in_turn  # noqa: E402


@pytest.fixture
def days(tmp_path):
    """240 rows in 24 row groups."""
    dirty_days(tmp_path / "out", days=4, part_rows=30, group_rows=10)
    return tmp_path / "out"


def made(root, **changes):
    arguments = {"columns": ["row", "ids"], "pad": {"ids": 3}, "labels": {"like": 1.0, "click": 0.5}, "batch_size": 2,
                 "shuffle": True, "seed": 3, "buffer": 20, "streams": 3}  # fmt: skip
    return TrainingDataset(output_root=root, **arguments | changes)


def rows_of(batches) -> list[list[int]]:
    return [batch["row"].tolist() for batch in batches]


def twice(batch):
    return batch["row"] * 2 if batch["row"][0] % 2 else None


@settings(max_examples=200, deadline=None)
@given(count=st.integers(0, 60), workers=st.integers(1, 5), together=st.integers(1, 9))
def test_what_workers_send_together_is_given_in_turn(count, workers, together):
    """Worker w has every so many-th batch; it sends one, then `together` at a time. PyTorch takes from each in turn."""
    sent = []
    for worker in range(workers):
        own = list(range(worker, count, workers))
        sent.append([own[:1], *(own[at : at + together] for at in range(1, len(own), together))])
    sent = [[some for some in of_worker if some] for of_worker in sent]
    turns = [of_worker[turn] for turn in range(count + 1) for of_worker in sent if turn < len(of_worker)]
    assert list(_in_turn(iter(turns), workers)) == list(range(count))


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_workers_give_the_order_of_one_process_from_any_place_epoch_after_epoch(days, workers):
    """Workers stay; the data say how far they have been taken, whatever was made ahead."""
    for rank, size in ((0, 1), (1, 2)):
        data = made(days, rank=rank, world_size=size)
        loader = TrainingLoader(data, num_workers=workers)
        whole = {}
        for epoch in (0, 1):
            data.set_epoch(epoch)
            whole[epoch] = rows_of(made_epoch(days, epoch, rank, size))
            assert rows_of(loader) == whole[epoch] and len(loader) == len(whole[epoch]) > 20 * 2 / size
        data.resume(epoch=0, batches=5)
        batches = iter(loader)
        assert rows_of(islice(batches, 4)) == whole[0][5:9]
        state = pickle.loads(pickle.dumps(loader.state_dict()))
        assert state["start"] == 9 and state["epoch"] == 0
        assert rows_of(loader) == whole[0]  # those who took part in what was left unfinished begin anew
        loader.load_state_dict(state)
        assert rows_of(loader) == whole[0][9:] and rows_of(loader) == whole[0]


def made_epoch(days, epoch, rank, size):
    data = made(days, rank=rank, world_size=size)
    data.set_epoch(epoch)
    return data


def test_a_state_serves_another_number_of_workers_and_another_loader(days):
    data = made(days)
    whole = rows_of(data)
    batches = iter(TrainingLoader(data, num_workers=2, persistent_workers=False))
    assert rows_of(islice(batches, 11)) == whole[:11]
    resumed = made(days)
    resumed.load_state_dict(data.state_dict())
    assert rows_of(DataLoader(resumed, batch_size=None, num_workers=1)) == whole[11:]
    other = TrainingLoader(made(days))
    other.load_state_dict(data.state_dict())
    assert rows_of(other) == whole[11:]
    with pytest.raises(DaedalusError, match="a state of another order"):
        TrainingLoader(made(days, seed=4)).load_state_dict(data.state_dict())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_worker_changes_batches_before_it_sends_them(days, workers):
    data = made(days)
    expected = [[row * 2 for row in rows] if rows[0] % 2 else None for rows in rows_of(data)]
    assert None in expected
    found = list(TrainingLoader(data, num_workers=workers, collate_fn=twice))
    assert [None if rows is None else rows.tolist() for rows in found] == expected


def test_batches_that_are_kept_stay_while_workers_go_on(days):
    """Two epochs; each batch keeps its own tensors, though many came as one."""
    data = made(days, columns=None, pad={})
    loader = TrainingLoader(data, num_workers=2)
    for epoch in (0, 1):
        data.set_epoch(epoch)
        found, expected = list(loader), list(data)
        assert len(found) == len(expected) > 40
        for one, other in zip(found, expected, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name].nan_to_num(), other[name].nan_to_num()) for name in one)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_worker_finds_is_said_as_it_says_it(days, workers):
    data = made(days, labels=None)
    file = days / "dt=2026-02-02/part-0-0.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(DaedalusError, match=r"a partition has been replaced|a part file cannot be read"):
        list(TrainingLoader(data, num_workers=workers))


def test_other_data_are_refused():
    with pytest.raises(DaedalusError, match=r"data of another kind.*found: list.*other data sets go to DataLoader"):
        TrainingLoader([1, 2])
