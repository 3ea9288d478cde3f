"""What people and other programs do to the pool and the outputs: told by name, and mended by the next run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from enrich_tiny import DAYS, LIKED, RANGE, VIEWED, Ran, a_vector
from enrich_worlds import vector_type
from small import edit, nothing_ran, rewrite

from daedalus.base.errors import DaedalusError
from daedalus.explain.day import explain_day
from daedalus.explain.run_history import last_runs
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.report.collect import collect
from daedalus.upkeep.status import cache_status
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

LAST = str(DAYS[2])


@pytest.fixture
def world(tiny_enriched):
    return tiny_enriched


def first_part(root: Path) -> Path:
    return root / f"dt={DAYS[1]}/part-0-0.parquet"


def loses_a_row(root: Path) -> None:
    rewrite(first_part(root), lambda table: table.slice(1))


BY_HAND = {
    "enriched gone": (lambda world: shutil.rmtree(first_part(world.enriched).parent), {"enriched"}),
    "enriched altered": (lambda world: loses_a_row(world.enriched), {"enriched"}),
    "a part more": (lambda world: shutil.copy(first_part(world.enriched),
                                              first_part(world.enriched).with_name("part-9-0.parquet")), {"enriched"}),
    "skeleton altered": (lambda world: loses_a_row(world.output), {"chunk"}),
    "both altered": (lambda world: [loses_a_row(world.output), loses_a_row(world.enriched)], {"chunk", "enriched"}),
    "both gone": (lambda world: [shutil.rmtree(first_part(root).parent) for root in (world.output, world.enriched)],
                  {"chunk", "enriched"}),
}  # fmt: skip


@pytest.mark.parametrize("harm", BY_HAND)
def test_partitions_that_were_harmed_are_put_together_again(world, harm):
    do, steps = BY_HAND[harm]
    before = world.bytes()
    do(world)
    assert world.ran().names == [f"{step}@{DAYS[1]}" for step in sorted(steps)]
    assert world.bytes() == before


def test_a_file_of_others_among_enriched_parts_fails_its_day_alone(world):
    before = world.bytes()
    loses_a_row(world.enriched)
    theirs = first_part(world.enriched).with_name("notes.txt")
    theirs.write_text("mine")
    report = world.run()
    assert report.exit_code == 1 and [(one.day, one.step) for one in report.failures] == [(str(DAYS[1]), "enriched")]
    assert "notes.txt" in report.failures[0].error and "daeda enrich --adopt" in report.failures[0].error
    assert theirs.exists()
    theirs.unlink()
    world.ran()
    assert world.bytes() == before


def test_a_root_that_cannot_be_made_is_named_and_nothing_runs(world):
    (world.root / "a file").write_text("")
    world.embeddings(output_root="a file/enriched")
    with pytest.raises(DaedalusError, match="cannot be made") as refused:
        world.run()
    assert refused.value.exit_code == 2 and "embeddings.output_root" in refused.value.where


# The pool


def test_a_pool_that_is_away_is_refused_and_once_it_is_back_nothing_runs(world):
    world.pool.path.rename(world.root / "away")
    with pytest.raises(DaedalusError, match="pool does not exist") as refused:
        world.run()
    assert refused.value.exit_code == 2
    (world.root / "away").rename(world.pool.path)
    assert nothing_ran(world.run())


class Meanwhile(Ran):
    """Does something when the first action of a step begins."""

    def __init__(self, step: str, do) -> None:
        super().__init__()
        self.step, self.do = step, do

    def started(self, name: str) -> None:
        if self.do and name.startswith(self.step):
            do, self.do = self.do, None
            do()


@pytest.mark.parametrize("step", ["fragment", "vectors:"])
def test_what_is_written_to_the_pool_meanwhile_counts_in_the_next_run(world, step):
    world.pool.append([(VIEWED, a_vector())])

    def write() -> None:
        world.pool.append([(VIEWED, a_vector()), (LIKED, a_vector())])
        world.pool.compact()

    report = world.run(progress=Meanwhile(step, write))
    assert not report.failures and report.stages["enrich"].partitions["written"] == 1
    assert {name.rpartition("@")[2] for name in world.ran().steps() if name.startswith("enriched")} == {
        str(DAYS[1]), LAST}  # fmt: skip
    warm = world.bytes()
    for made in (world.root / "cache", world.output, world.enriched):
        shutil.rmtree(made)
    world.ran()
    assert world.bytes() == warm


def test_a_pool_that_is_made_again_meanwhile_is_told_by_the_file_that_is_gone(world):
    world.pool.append([(VIEWED, a_vector())])
    before = world.bytes()
    report = world.run(progress=Meanwhile("vectors:", world.pool.remake))
    assert report.exit_code == 1 and {(one.day, one.step) for one in report.failures} == {(LAST, "vectors:image")}
    assert ".lance is gone" in report.failures[0].error and "data/pool/art.lance/data/" in report.failures[0].error
    assert world.bytes() == before
    assert f"enriched@{LAST}" in world.ran().names

    world.pool.append([(VIEWED, a_vector())])
    edit(world.runtime, entity_spine_chunk_rows=7)
    report = world.run(progress=Meanwhile("fragment", world.pool.remake))
    assert_only_enrich_is_blocked(report, "is gone")
    assert f"enriched@{LAST}" in world.ran().names


def assert_only_enrich_is_blocked(report, found: str) -> None:
    """By a fragment that cannot be read: the skeleton does not need its vectors."""
    skeleton, enrich = report.stages["skeleton"], report.stages["enrich"]
    assert report.exit_code == 1 and skeleton.days["done"] == skeleton.partitions["written"] == 3
    assert (enrich.days["done"], enrich.days["blocked"]) == (0, 3) and skeleton.failures == []
    [failure] = enrich.failures
    assert failure.step.startswith("fragment:") and found in failure.error and "Traceback" not in failure.error
    last = [row["last"] for row in cache_status(Settings())["days"]]
    assert [(one["state"], one["failures"][0]["error"]) for one in last] == [("blocked", failure.error)] * 3


def test_vectors_that_are_damaged_leave_the_skeleton_done(world):
    """They are in files of their own, so that the ids are as they were."""
    import lance

    known = {*(world.pool.path / "data").iterdir()}
    lance.dataset(str(world.pool.path)).add_columns({"late": "vector"})
    world.embeddings(vector_column="late")
    edit(world.runtime, entity_spine_chunk_rows=7)
    (first, *_) = sorted({*(world.pool.path / "data").iterdir()} - known)
    whole = first.read_bytes()
    first.write_bytes(whole[:-60])
    assert_only_enrich_is_blocked(world.run(), "")
    first.write_bytes(whole)
    assert {f"enriched@{day}" for day in DAYS} <= {*world.ran().names}


def test_ids_that_are_damaged_are_told_without_a_traceback(world):
    for path in (world.pool.path / "data").iterdir():
        path.write_bytes(path.read_bytes()[:40] + bytes(100) + path.read_bytes()[140:])
    shutil.rmtree(world.root / "cache")
    with pytest.raises(DaedalusError) as stopped:  # every day of the skeleton needs them
        world.run()
    assert stopped.value.exit_code == 2 and "Traceback" not in stopped.value.text()


# A day whose vectors cannot be used


def test_a_day_with_vectors_of_unequal_length_fails_alone_and_every_screen_says_so(world):
    shutil.rmtree(world.pool.path)
    world.pool.type = vector_type("float", 3, fixed=False)
    world.pool.append([(number, a_vector()) for number in range(1, 13)])
    world.pool.append([(VIEWED, [1.0, 2.0])])
    report = world.run()
    assert report.exit_code == 1 and world.run().failures == report.failures
    [failure] = report.failures
    assert (failure.day, failure.step) == (LAST, "enriched") and f"2 components of id {VIEWED}" in failure.error
    skeleton, enrich = report.stages["skeleton"], report.stages["enrich"]
    assert (skeleton.days["done"], skeleton.failures) == (3, []) and enrich.days == {
        "total": 3, "done": 2, "empty": 0, "failed": 1}  # fmt: skip
    assert (world.output / f"dt={LAST}").exists()
    _told_everywhere(failure.error)

    world.pool.append([(VIEWED, a_vector())])
    ran = world.ran()
    assert {name for name in ran.steps() if "@" in name} == {f"vectors:image@{LAST}", f"enriched@{LAST}"}
    assert [row["last"] for row in cache_status(Settings())["days"] if row["last"]] == []


def _told_everywhere(error: str) -> None:
    status = {row["day"]: row for row in cache_status(Settings())["days"]}
    assert [day for day, row in status.items() if row["state"] == "fresh"] == [str(day) for day in DAYS[:2]]
    assert status[LAST]["last"]["state"] == "failed" and status[LAST]["steps"]["chunk"] == "hit"
    assert [one["error"] for one in status[LAST]["last"]["failures"]] == [error]
    told = explain_day(Settings(), LAST)
    assert {step["step"] for step in told["steps"] if step["state"] != "hit"} == {"enriched"}
    assert told["last"]["failures"][0]["error"] == error
    page = collect(Settings(), RANGE)
    assert dict(zip(page["days"], page["day_states"], strict=True))[LAST] == "failed" and error in page["notes"][0]
    with opened(Settings()) as workspace:
        run = last_runs(workspace.traces)[0]
    assert run["state"] == "failed" and [one["error"] for one in run["failures"]] == [error]


# Commands in any order


def skeleton_ran() -> list[str]:
    progress = Ran()
    assert not run_skeleton_stage(Settings(), RANGE, progress=progress).failures
    return progress.names


def test_stages_and_commands_in_any_order_compute_nothing_twice(world):
    assert skeleton_ran() == world.ran().names == []
    edit(world.runtime, entity_spine_chunk_rows=7)
    assert skeleton_ran() == [f"chunk@{day}" for day in DAYS]
    assert sorted(world.ran().names) == [f"enriched@{day}" for day in DAYS]
    world.embeddings(dtype="float16")
    assert skeleton_ran() == [] and "chunk" not in str(world.ran().names)
    world.pool.append([(VIEWED, a_vector())])
    assert skeleton_ran() == ["pool"]
    assert {name for name in world.ran().names if "@" in name} == {f"vectors:image@{LAST}", f"enriched@{LAST}"}
    assert skeleton_ran() == world.ran().names == []


def test_a_day_that_is_gone_from_the_feed_goes_from_both_outputs(world):
    before = world.bytes()
    there = world.root / f"data/feed/dt={LAST}"
    there.rename(world.root / "away")
    skeleton_ran()
    assert not (world.output / f"dt={LAST}").exists()
    report = world.run()
    assert report.stages["enrich"].partitions["removed"] == 1 and nothing_ran(world.run())
    assert not (world.enriched / f"dt={LAST}").exists()
    assert LAST not in json.loads((world.enriched / "_dataset.json").read_text())["partitions"]
    (world.root / "away").rename(there)
    assert sorted(world.ran().names) == [f"chunk@{LAST}", f"enriched@{LAST}"]
    assert world.bytes() == before
