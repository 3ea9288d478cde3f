"""A skeleton partition gets its place together with the enriched one that is made of it, whatever happens."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from crashes import Crash
from enrich_tiny import DAYS, VIEWED, Stopping, TinyWorld
from small import edit

from daedalus.base.errors import Interrupted
from daedalus.output import partitions
from daedalus.stagecache.walk import executor

FOLDERS = [f"dt={day}" for day in DAYS]


@pytest.fixture
def world(tiny_enriched):
    """With both outputs, after an edit that changes every partition of both; `before` is what there is."""
    tiny_enriched.before = tiny_enriched.bytes()
    edit(tiny_enriched.runtime, entity_spine_chunk_rows=5)
    return tiny_enriched


@pytest.fixture
def expected(world, tmp_path, monkeypatch) -> dict[str, bytes]:
    """What an undisturbed run leaves."""
    shutil.copytree(world.root, tmp_path / "undisturbed")
    other = TinyWorld(tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        patch.chdir(other.root)
        other.ran()
        return {name.replace("undisturbed", world.root.name): data for name, data in other.bytes().items()}


def mixed(new: dict[str, bytes], old: dict[str, bytes], *kept: Path) -> dict[str, bytes]:
    """The new files, with the old ones in some folders."""
    folders = tuple(map(str, kept))
    return {name: data for name, data in new.items() if not name.startswith(folders)} | {
        name: data for name, data in old.items() if name.startswith(folders)
    }


def swaps(monkeypatch, before_each) -> list[Path]:
    """The folders that are swapped in; `before_each(folder)` may object."""
    plain, found = partitions.swap_folder, list[Path]()

    def swap(written, final, aside):
        before_each(final)
        found.append(final)
        return plain(written, final, aside)

    monkeypatch.setattr(partitions, "swap_folder", swap)
    return found


def test_the_two_of_a_day_are_swapped_one_right_after_the_other(world, monkeypatch):
    edit(world.runtime, compute={"duckdb_config": {"memory_limit": "1GB", "threads": 1}})
    monkeypatch.setattr(executor, "TINY", 0.0)  # all steps run in one thread

    def before_each(final: Path) -> None:
        behind = {final.name} if final.parent.name == "enriched" else set()
        assert world.days_apart() == behind

    done = swaps(monkeypatch, before_each)
    report = world.run(day_workers=1)
    assert not report.failures and report.partitions == {"written": 6, "kept": 0}
    assert [f"{path.parent.name}/{path.name}" for path in done] == [
        f"{stage}/{day}" for day in FOLDERS for stage in ("skeleton", "enriched")
    ]
    assert len(report.changes) == 3 and not world.days_apart()


def test_a_day_that_cannot_be_enriched_has_its_new_skeleton(world, expected):
    world.pool.append([(VIEWED, [None, 1.0, 2.0])])  # used on the last day
    report = world.run()
    assert [failure.day for failure in report.failures] == [str(DAYS[2])]
    assert report.stages["skeleton"].partitions == {"written": 3, "kept": 0} and not report.stages["skeleton"].results
    assert report.stages["enrich"].outdated_days == [str(DAYS[2])]
    assert world.bytes() == mixed(expected, world.before, world.enriched / FOLDERS[2])
    assert world.days_apart() == {FOLDERS[2]}


@pytest.mark.parametrize("after", [1, 3])
def test_ctrl_c_between_the_two_leaves_the_old_pair_and_the_next_run_knows_why_it_runs(world, expected, after):
    with pytest.raises(Interrupted):
        world.run(progress=Stopping(KeyboardInterrupt, "chunk", after))
    assert not world.days_apart() and world.bytes() != expected
    assert not list(world.root.rglob(".daeda-*"))
    resumed = Stopping(KeyboardInterrupt, "no step", 1)
    report = world.run(None, resume=True, progress=resumed)
    assert not report.failures and world.bytes() == expected
    why = [cause for day in DAYS for cause in resumed.why.get(f"chunk@{day}", ())]
    assert why and all(cause.kind != "missing" for cause in why)
    assert not any("rewritten" in line for line in report.changes)


def test_a_crash_between_the_two_leaves_the_old_pair(world, expected):
    """Even if what the new partition was made of is on record."""
    with pytest.raises(Crash):
        world.run(progress=Stopping(Crash, "chunk", 3))
    assert not world.days_apart() and world.bytes() != expected
    report = world.run()
    assert not report.failures and world.bytes() == expected
    assert report.changes and not any("rewritten" in line for line in report.changes)


def test_a_partition_that_does_not_get_its_place_fails_its_day_in_both_stages(world, expected, monkeypatch):
    def denied(final: Path) -> None:
        if final.resolve() == world.output / FOLDERS[1]:
            raise PermissionError(13, "Permission denied", str(final))

    with monkeypatch.context() as patch:
        swaps(patch, denied)
        report = world.run()
    assert {(failure.day, failure.step) for failure in report.failures} == {
        (str(DAYS[1]), "chunk"), (str(DAYS[1]), "enriched")
    }  # fmt: skip
    assert all(stage.outdated_days == [str(DAYS[1])] for stage in report.stages.values())
    assert report.partitions == {"written": 4, "kept": 0}
    old = [root / FOLDERS[1] for root in (world.output, world.enriched)]
    assert world.bytes() == mixed(expected, world.before, *old) and not world.days_apart()
    report = world.run()
    assert not report.failures and world.bytes() == expected


def test_what_cannot_be_swapped_for_a_moment_is_tried_again(world, expected, monkeypatch):
    failed: list[str] = []

    def once(final: Path) -> None:
        if final.parent.name == "skeleton" and final.name not in failed:
            failed.append(final.name)
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable", str(final))

    with monkeypatch.context() as patch:
        patch.setattr(executor, "PAUSES", (0.0, 0.0))
        swaps(patch, once)
        report = world.run()
    assert sorted(failed) == FOLDERS and not report.failures
    assert report.partitions == {"written": 6, "kept": 0} and world.bytes() == expected


def test_a_lost_skeleton_partition_comes_back_beside_its_enriched_one(world, expected):
    world.ran()
    shutil.rmtree(world.output / FOLDERS[1])
    report = world.run()
    assert report.partitions == {"written": 1, "kept": 5} and world.bytes() == expected
