"""`daedalus.torch` with `group_by`: a group of a day is whole, in one batch, wherever its rows lie."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import dirty_days, dirty_rows, write_days

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from daedalus.torch import TrainingDataset  # noqa: E402
from daedalus.torch.blocks import BlockReader  # noqa: E402

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", 20))


def groups_of(batches) -> list[list[tuple[int, list[int]]]]:
    """(value of the group, its rows) of each group of each batch."""
    found = []
    for batch in batches:
        edges = batch["groups"].tolist()
        assert edges[0] == 0 and edges[-1] == len(batch["row"])
        values, rows = batch["qid"].tolist(), batch["row"].tolist()
        assert all(len(set(values[a:b])) == 1 for a, b in pairwise(edges))
        found.append([(values[a], rows[a:b]) for a, b in pairwise(edges)])
    return found


def expected_groups(rows, events=None) -> Counter:
    found = defaultdict(list)
    for row in rows:
        if row["qid"] is not None and (events is None or row["event"] in events):
            found[row["dt"], row["qid"]].append(row["row"])
    return Counter((qid, tuple(group)) for (_, qid), group in found.items())


@settings(max_examples=EXAMPLES, deadline=None)
@given(seed=st.integers(0, 10**6), counts=st.lists(st.integers(0, 60), min_size=1, max_size=3),
       part=st.integers(1, 40), group=st.integers(1, 15), size=st.integers(1, 30), buffer=st.integers(1, 60),
       shuffle=st.booleans(), labels=st.booleans(), streams=st.integers(1, 4), ranks=st.integers(1, 3))  # fmt: skip
def test_groups_are_whole_whatever_row_groups_they_span(
    tmp_path_factory, seed, counts, part, group, size, buffer, shuffle, labels, streams, ranks
):
    root = tmp_path_factory.mktemp("out")
    days = [dirty_rows(count, seed + day, sum(counts[:day])) for day, count in enumerate(counts)]
    last = [{**dirty_rows(1, seed, sum(counts))[0], "qid": 7, "event": "like"}]
    rows = write_days(root, [*days, last], part, group)
    gains = {"like": 1, "click": 0} if labels else None
    made = [TrainingDataset(output_root=root, columns=["row", "qid", "ids"], labels=gains, group_by="qid",
                            batch_size=size, shuffle=shuffle, seed=seed, buffer=buffer, streams=streams, rank=rank,
                            world_size=ranks)
            for rank in range(ranks)]  # fmt: skip
    batches = [groups_of(data) for data in made]
    assert [len(data) for data in made] == [len(some) for some in batches]
    found = [group for some in batches for batch in some for group in batch]
    assert Counter((qid, tuple(sorted(group))) for qid, group in found) == expected_groups(rows, gains)
    assert all(group == sorted(group) for _, group in found)  # in the order of the partition
    for batch in (batch for some in batches for batch in some):
        assert sum(len(group) for _, group in batch) <= size or len(batch) == 1


def test_lists_go_with_the_rows_of_their_groups(tmp_path):
    rows = dirty_days(tmp_path, part_rows=25, group_rows=10)
    data = TrainingDataset(output_root=tmp_path, columns=["row", "ids"], pad={"ids": 2}, group_by="qid", batch_size=20,
                           shuffle=True, buffer=15)  # fmt: skip
    for batch in data:
        for row, ids in zip(batch["row"].tolist(), batch["ids"].tolist(), strict=True):
            assert ids == ([item for item in rows[row]["ids"] or [] if item is not None] + [-1, -1])[:2]


def test_batches_are_filled_as_far_as_groups_allow(tmp_path):
    sizes = [3, 4, 2, 9, 1, 1, 5]
    write_days(tmp_path, [[{"row": 0, "qid": qid} for qid, size in enumerate(sizes) for _ in range(size)]])
    data = TrainingDataset(output_root=tmp_path, columns=["row", "qid"], group_by="qid", batch_size=7)
    assert [[len(group) for _, group in batch] for batch in groups_of(data)] == [[3, 4], [2], [9], [1, 1, 5]]


def test_groups_go_on_in_the_middle_of_an_epoch(tmp_path, monkeypatch):
    dirty_days(tmp_path, days=4, part_rows=25, group_rows=10)
    data = TrainingDataset(output_root=tmp_path, columns=["row", "qid"], group_by="qid", batch_size=12, shuffle=True,
                           buffer=15, streams=2)  # fmt: skip
    whole = groups_of(data)
    read = []
    real = BlockReader.read
    monkeypatch.setattr(BlockReader, "read", lambda self, *some: read.append(some) or real(self, *some))
    for batches in (1, 6, len(whole) - 1):
        read.clear()
        data.resume(epoch=0, batches=batches)
        assert groups_of(data) == whole[batches:]
    assert len(read) < 4


def test_a_group_far_apart_takes_only_its_own_rows_along(tmp_path):
    """Of row groups that another unit has, no more rows are kept than belong here."""
    rows = [{"row": row, "qid": 5 if row in (0, 39) else 100 + row // 4} for row in range(40)]
    write_days(tmp_path, [rows], group_rows=8)
    data = TrainingDataset(output_root=tmp_path, columns=["row", "qid"], group_by="qid", batch_size=100, buffer=8)
    units = data._source._units
    assert [sorted(unit.sizes.tolist()) for unit in units] == [[3, 4], [4, 4], [4, 4], [4, 4], [2, 3, 4]]
    assert [unit.mine.tolist() for unit in units] == [[], [], [], [], [5]] and len(units[-1].far) == 1
    assert dict(group for batch in groups_of(data) for group in batch)[5] == [0, 39]
