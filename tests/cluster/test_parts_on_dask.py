"""Steps in parts on Dask workers: the bytes of one process, also if workers share no folder, or die."""

from __future__ import annotations

import os
import signal

import pytest
from small import DAYS, edit

pytest.importorskip("distributed")
from clusters import FolderCarrier, Processes, local_cluster
from test_dask import artifacts, on_dask, partitions

from daedalus.cluster import connect, crew, dask_executor
from daedalus.pipelines import on_dask as clustered
from daedalus.stagecache.walk import in_parts

DAY = str(DAYS[0])


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(crew, "WAIT_SECONDS", 600.0)


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as running:
        yield running


@pytest.fixture
def tasks(monkeypatch):
    """The parts that were sent, by action."""
    sent: dict[str, list[int]] = {}
    send = dask_executor.DaskExecutor._send

    def noting(self, one, workers=()):
        if one.task.is_part:
            sent.setdefault(one.task.action.step, []).append(one.task.split.index)
        send(self, one, workers)

    monkeypatch.setattr(dask_executor.DaskExecutor, "_send", noting)
    return sent


STEPS = {"spine", "attributes", "rolling", "recent_published", "chunk"}


def test_parts_of_a_step_are_tasks_of_their_own(cold, warm_template, cluster, tasks):
    edit(cold.runtime, day_shards=3)
    report = on_dask(DAY, cluster.scheduler_address)
    assert not report.failures
    assert partitions(cold.root, DAYS[:1]) == partitions(warm_template, DAYS[:1]) != {}
    assert artifacts(cold.root) <= artifacts(warm_template)
    assert set(tasks) == STEPS and sorted(tasks["chunk"]) == [0, 1, 2]
    assert not list((cold.root / "cache/tmp").iterdir())


def test_idle_workers_take_parts_by_themselves(cold, warm_template, cluster, tasks, monkeypatch):
    monkeypatch.setattr(in_parts, "LEAST", 1)
    report = on_dask(DAY, cluster.scheduler_address)
    assert not report.failures
    assert partitions(cold.root, DAYS[:1]) == partitions(warm_template, DAYS[:1])
    assert sorted(tasks["chunk"]) == [0, 1]  # nothing else was left to do
    assert len(tasks.get("event_values", ())) == 0


def test_a_worker_that_dies_with_parts_leaves_them_to_others(cold, warm_template, cluster, tasks, monkeypatch):
    edit(cold.runtime, day_shards=4)
    connect.replace_lost(cluster)
    cluster.wait_for_workers(2)
    victim = next(iter(cluster.workers.values())).pid
    begin = in_parts.InParts._begin

    def killing(self, split):
        begin(self, split)
        if split.task.action.step == "rolling" and victims:
            os.kill(victims.pop(), signal.SIGKILL)

    victims = [victim]
    monkeypatch.setattr(in_parts.InParts, "_begin", killing)
    report = on_dask(DAY, cluster.scheduler_address)
    assert not victims and not report.failures
    assert partitions(cold.root, DAYS[:1]) == partitions(warm_template, DAYS[:1])
    assert not list((cold.root / "cache/tmp").iterdir())


def test_parts_go_by_a_carrier_where_workers_share_no_folder(cold, warm_template, tmp_path, tasks, monkeypatch):
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setattr(clustered, "carrier_of", lambda workspace: FolderCarrier(left))
    edit(cold.runtime, day_shards=2)
    processes = Processes(tmp_path)
    try:
        processes.worker(), processes.worker()
        report = on_dask(DAY, processes.address)
    finally:
        processes.close()
    assert not report.failures and set(tasks) == STEPS
    assert partitions(cold.root, DAYS[:1]) == partitions(warm_template, DAYS[:1])
