"""Inputs, output and cache all on an object store: the bytes of a local run, and little for the next machine to do."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath

import pytest
from remote import Remote
from small import DAYS, edit, nothing_ran

from daedalus.inputs.remote_files import RemoteFiles
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

SHORT = f"{DAYS[0]}..{DAYS[2]}"


@pytest.fixture
def everywhere(cold, bucket, store_options) -> Remote:
    """The small world of which only the config is local, and nothing was run yet."""
    world = Remote(cold.root, bucket, store_options)
    world.upload()
    world.configure(store_options, cache_remote=f"{bucket}/cache")
    return world


@pytest.fixture
def traffic(monkeypatch) -> list:
    """The traffic of inputs and output, of each run in order; the shared cache's is in the report."""
    counted, plain = [], RemoteFiles.__init__

    def watched(self, *arguments, **options):
        plain(self, *arguments, **options)
        counted.append(self.traffic)

    monkeypatch.setattr(RemoteFiles, "__init__", watched)
    return counted


def stored(world: Remote) -> dict[str, int]:
    return {world.store.key(one.uri): one.size for one in world.store.list()}


@pytest.mark.every_cloud
def test_all_on_an_object_store_gives_the_bytes_of_a_local_run_and_the_next_machine_computes_nothing(
    everywhere, warm_template, traffic, monkeypatch
):
    report = everywhere.run()
    assert not report.failures and report.steps["computed"] > 400 and report.shared["not_shared"] == 0
    assert everywhere.published() == everywhere.bytes(warm_template / "data/training_output")

    before, fetched = stored(everywhere), []
    plain = RemoteFiles._download
    monkeypatch.setattr(
        RemoteFiles, "_download", lambda self, uri, *more: fetched.append(uri) or plain(self, uri, *more)
    )
    second = everywhere.run(cache_root="another/cache")
    objects, cache = traffic[-1], second.shared
    there = sum(before.values())
    print(
        f"\nfirst machine: {traffic[0].requests} + {report.shared['requests']} requests (inputs and output + cache)"
        f"\nsecond machine: {second.steps['hit']} hits, {objects.requests} + {cache['requests']} requests,"
        f" {objects.received:,} + {cache['received']:,} bytes read, {objects.sent:,} + {cache['sent']:,} written,"
        f" of {there:,} in {len(before)} objects"
    )
    assert nothing_ran(second) and second.partitions["kept"] == len(DAYS)
    # The pool's columns are read from its manifest, which Lance would fetch too, uncounted.
    assert [PurePosixPath(uri).suffix for uri in fetched] == [".manifest"] and cache["fetched_bytes"] == 0
    assert second.rows == report.rows
    assert objects.requests <= len(DAYS) + 20 and cache["requests"] <= 2 * len(DAYS) + 30
    assert objects.received + cache["received"] < there / 3
    assert {key: size for key, size in stored(everywhere).items() if key.startswith(("data/", "out/dt="))} == {
        key: size for key, size in before.items() if key.startswith(("data/", "out/dt="))
    }
    assert nothing_ran(everywhere.run(cache_root="another/cache")) and len(fetched) == 1


def test_a_machine_with_another_output_fetches_what_the_partitions_are_made_of(everywhere):
    everywhere.run(SHORT)
    before = everywhere.published()
    edit(everywhere.runtime, output_root=f"{everywhere.bucket}/other")
    report = everywhere.run(SHORT, cache_root="another/cache")
    made = {step for step, count in report.steps.items() if count and step in ("computed", "unchanged")}
    assert not report.failures and made and report.partitions["written"] == 3
    assert report.steps["computed"] + report.steps["unchanged"] == 6  # qids and partitions: their numbers are its own
    edit(everywhere.runtime, output_root=f"{everywhere.bucket}/out")
    assert everywhere.published() == before


def test_a_trace_of_a_partition_that_is_not_in_the_output_is_not_believed(everywhere):
    everywhere.run(SHORT)
    before = everywhere.published()
    everywhere.store.delete([f"out/dt={DAYS[1]}/manifest.json"])
    assert nothing_ran(everywhere.run(f"{DAYS[0]}", cache_root="third/cache"))
    plan = everywhere.run(SHORT, cache_root="another/cache", plan=True).plan
    assert [(row["day"], row["step"], row["state"]) for row in plan] == [(str(DAYS[1]), "chunk", "run")]
    report = everywhere.run(SHORT, cache_root="another/cache")
    assert report.partitions == {"written": 1, "kept": 2} and report.shared["not_used"] == {}
    assert everywhere.published() == before


def test_workers_without_a_common_folder_give_the_same_bytes(everywhere, warm_template, tmp_path):
    pytest.importorskip("distributed")
    from clusters import Processes

    folder = tmp_path / "cluster"
    folder.mkdir()
    processes = Processes(folder)
    try:
        processes.worker(), processes.worker()
        report = run_skeleton_stage(Settings(), SHORT, executor="dask", scheduler=processes.address)
    finally:
        processes.close()
    assert not report.failures and report.steps["computed"] > 100
    local, days = everywhere.bytes(warm_template / "data/training_output"), tuple(f"dt={day}" for day in DAYS[:3])
    partitions = {name: data for name, data in everywhere.published().items() if name.startswith("dt=")}
    assert partitions == {name: data for name, data in local.items() if name.startswith(days)}
    shutil.rmtree(Path("cache"))
    assert nothing_ran(everywhere.run(SHORT))
