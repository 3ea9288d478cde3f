"""The same bytes of both stages, however the work is cut, interrupted or remembered."""

from __future__ import annotations

import shutil

import pytest
from enrich_tiny import DAYS, RANGE
from small import edit

from daedalus.base.errors import Interrupted
from daedalus.config.steps import ENRICH_STEPS
from daedalus.stagecache.walk.progress import Progress


@pytest.fixture
def world(tiny_enriched):
    """A copy without cache and outputs; `expected` is what a run left."""
    tiny_enriched.expected = tiny_enriched.bytes()
    for made in (tiny_enriched.root / "cache", tiny_enriched.output, tiny_enriched.enriched):
        shutil.rmtree(made)
    return tiny_enriched


WAYS = {
    "two threads": {"threads": 2},
    "four threads": {"threads": 4},
    "little memory": {"threads": 2, "memory_limit": "300MB"},
}


@pytest.mark.parametrize("way", WAYS)
def test_same_bytes_with_other_limits(world, way):
    edit(world.runtime, compute={"duckdb_config": {"memory_limit": "1GB", **WAYS[way]}})
    world.ran()
    assert world.bytes() == world.expected


def test_same_bytes_by_two_workers(world):
    world.ran(day_workers=2)
    assert world.bytes() == world.expected


def test_same_bytes_day_by_day(world):
    for day in DAYS:
        world.run(str(day))
    assert world.bytes() == world.expected


def test_same_bytes_after_the_skeleton_alone(world):
    from daedalus.pipelines.training import run_skeleton_stage

    run_skeleton_stage(range=RANGE)
    skeleton = {name: data for name, data in world.expected.items() if "/skeleton/" in name}
    assert world.bytes() == skeleton
    names = {name.partition(":")[0].partition("@")[0] for name in world.ran().steps()}
    assert names == {*ENRICH_STEPS, "event_values", "rolling"}  # of the list that only a mean reads
    assert world.bytes() == world.expected


class Interrupting(Progress):
    """Ctrl-C when some actions of a step have ended."""

    def __init__(self, step: str, after: int) -> None:
        self.step, self.left = step, after

    def finished(self, outcome) -> None:
        self.left -= outcome.name.startswith(self.step)
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("step", "after"), [("fragment", 2), ("vectors:", 2), ("means:", 3), ("enriched", 1)])
def test_same_bytes_resumed(world, step, after):
    with pytest.raises(Interrupted):
        world.run(progress=Interrupting(step, after))
    left = {name: data for name, data in world.bytes().items() if "/enriched/" in name}
    assert all(world.expected[name] == data for name, data in left.items())
    report = world.run(None, resume=True)
    assert not report.failures and world.bytes() == world.expected
    assert not list(world.root.rglob(".daeda-*"))


def test_lost_and_damaged_partitions_and_artifacts_come_back(world):
    world.ran()
    shutil.rmtree(world.enriched / f"dt={DAYS[0]}")
    part = world.enriched / f"dt={DAYS[1]}/part-0-0.parquet"
    part.write_bytes(part.read_bytes()[:-50])
    report = world.run()
    assert report.stages["enrich"].partitions == {"written": 2, "kept": 1} and report.steps["computed"] == 0
    assert world.bytes() == world.expected
    for path in (world.root / "cache/artifacts").rglob("*.parquet"):
        path.unlink()
    edit(world.runtime, entity_spine_chunk_rows=5)
    world.ran()
    edit(world.runtime, entity_spine_chunk_rows=17)
    world.ran()
    assert world.bytes() == world.expected
