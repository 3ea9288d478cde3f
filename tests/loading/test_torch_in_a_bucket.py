"""`daedalus.torch` over a bucket: the batches of the same parts on a disk, in workers that are not forked."""

from __future__ import annotations

import pytest
from buckets import fill
from parts import dirty_days

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.utils.data import DataLoader  # noqa: E402

from daedalus.base.errors import DaedalusError  # noqa: E402
from daedalus.objectstore.part_list import write_json  # noqa: E402
from daedalus.torch import TrainingDataset, TrainingLoader  # noqa: E402


def uploaded(root, bucket: str) -> str:
    """The partitions of a folder, as a run publishes them in a bucket."""
    for folder in root.glob("dt=*"):
        parts = []
        for path in sorted(folder.iterdir()):
            key = f"generation/{path.name}"
            fill(bucket, {f"out/{folder.name}/{key}": path.read_bytes()})
            parts.append({"key": key, "bytes": path.stat().st_size, "digest": "0" * 32, "rows": 1})
        manifest = {"digest": "0" * 32, "parts": parts}
        fill(bucket, {f"out/{folder.name}/manifest.json": write_json(manifest)})
    return f"{bucket}/out"


def test_batches_are_those_of_the_disk(tmp_path, bucket, store_options):
    dirty_days(tmp_path, days=2, part_rows=30, group_rows=10)
    arguments = {"columns": ["row", "ids", "vector"], "labels": {"like": 1, "click": 0}, "group_by": "qid",
                 "batch_size": 16, "shuffle": True, "buffer": 20}  # fmt: skip
    local = list(TrainingDataset(output_root=tmp_path, **arguments))
    data = TrainingDataset(output_root=uploaded(tmp_path, bucket), object_store=store_options, **arguments)
    loader = DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    for found in (list(data), list(loader), list(TrainingLoader(data, num_workers=1))):
        assert len(found) == len(local) > 2
        for one, other in zip(found, local, strict=True):
            assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(DaedalusError, match=r"a forked process cannot use.*multiprocessing_context=\"spawn\""):
        list(DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="fork"))
