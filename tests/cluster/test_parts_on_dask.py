"""Steps in parts on Dask workers: the bytes of one process, also if workers share no folder, or die."""

from __future__ import annotations

import os
import signal

import pytest
from small import DAYS, edit

pytest.importorskip("distributed")
from clusters import FolderCarrier, Processes, let_die, local_cluster
from deadly_once import DeadlyOnce
from distributed import Client
from test_dask import artifacts, on_dask, partitions

from daedalus.cluster import connect, crew, dask_executor
from daedalus.output.qid_map import QidMap
from daedalus.pipelines import on_dask as clustered
from daedalus.stagecache.walk import in_parts, in_turn

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


@pytest.fixture
def turns(monkeypatch):
    """What of the actions that are computed in order was run."""
    sent: list[str] = []
    part = in_turn.InTurn._part

    def noting(self, one, action):
        sent.append(action.name)
        return part(self, one, action)

    monkeypatch.setattr(in_turn.InTurn, "_part", noting)
    return sent


STEPS = {"spine", "attributes", "rolling", "recent_published", "chunk"}
TURNS = (f"day_sessions@{DAY}", f"qids:numbers@{DAY}", f"day_numbers@{DAY}")


def test_parts_of_a_step_are_tasks_of_their_own(cold, warm_template, cluster, tasks, turns):
    edit(cold.runtime, day_shards=3)
    report = on_dask(DAY, cluster.scheduler_address)
    assert not report.failures
    assert partitions(cold.root, DAYS[:1]) == partitions(warm_template, DAYS[:1]) != {}
    assert artifacts(cold.root) <= artifacts(warm_template)
    assert set(tasks) == STEPS and sorted(tasks["chunk"]) == [0, 1, 2]
    assert turns == list(TURNS)
    assert not list((cold.root / "cache/tmp").iterdir())


def test_idle_workers_take_parts_by_themselves(cold, warm_template, cluster, tasks, monkeypatch):
    monkeypatch.setattr(in_parts, "LEAST", 1)
    report = on_dask(DAY, cluster.scheduler_address)
    assert not report.failures
    assert partitions(cold.root, DAYS[:1]) == partitions(warm_template, DAYS[:1])
    assert sorted(tasks["chunk"]) == [0, 1]  # nothing else was left to do
    assert len(tasks.get("event_values", ())) == 0


def test_workers_that_die_with_parts_of_a_step_change_nothing(cold, warm_template, cluster, tmp_path, monkeypatch):
    """With a part of a list, or of the partition; with the day's sessions, during its turn, and with its column."""
    number, marks, died = QidMap.number, tmp_path / "marks", tmp_path / "died"
    deadly = {TURNS[0], TURNS[2], f"chunk@{DAY}", f"rolling:like_artwork_ids@{DAY}"}
    marks.mkdir(), died.mkdir()

    def killing(self, sessions, name, out):
        os.kill(next(nanny.pid for nanny in cluster.workers.values() if nanny.pid), signal.SIGKILL)
        return number(self, sessions, name, out)

    monkeypatch.setattr(QidMap, "number", killing)
    edit(cold.runtime, day_shards=4)
    connect.replace_lost(cluster)
    cluster.wait_for_workers(2)
    with Client(cluster, set_as_default=False) as client, let_die(cluster, marks):
        client.register_plugin(DeadlyOnce(deadly, marks, died))
        report = on_dask(DAY, cluster.scheduler_address)
        client.unregister_worker_plugin(DeadlyOnce.name)
    assert not report.failures and {path.name for path in died.iterdir()} == deadly
    assert partitions(cold.root, DAYS[:1]) == partitions(warm_template, DAYS[:1])
    assert artifacts(cold.root) <= artifacts(warm_template) and not list((cold.root / "cache/tmp").iterdir())


def test_parts_go_by_a_carrier_where_workers_share_no_folder(
    cold, warm_template, tmp_path, tasks, turns, monkeypatch
):  # fmt: skip
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
    assert not report.failures and set(tasks) == STEPS and turns == list(TURNS)
    assert partitions(cold.root, DAYS[:1]) == partitions(warm_template, DAYS[:1])
