"""Clusters whose workers come, go and slow down: the same bytes, and no step of a day computed more than twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from heapq import heappop, heappush
from types import SimpleNamespace

import pytest
from small import DAYS

pytest.importorskip("distributed")
from clusters import AtStep, Churn, Counting, Held, Processes, forget_plugins, local_cluster, times_computed
from distributed import Client
from test_dask import SHORT, Lines, on_dask, partitions, refused

from daedalus.base.errors import DaedalusError
from daedalus.cluster import connect, crew, dask_executor, pace
from daedalus.cluster.delivery import Delivery
from daedalus.cluster.nearby import Nearby
from daedalus.cluster.pace import Pace
from daedalus.cluster.shared_folder import Answers
from daedalus.cluster.worker import is_there
from daedalus.objectstore.part_list import PartFile, PartList
from daedalus.stagecache.walk.executor import Made
from daedalus.stagecache.walk.schedule import Schedule

MORE = "DAEDA_CHURN" in os.environ
CHURNED_RUNS = range(*map(int, os.environ.get("DAEDA_CHURN", "59-60").split("-")))  # how many, or from-to
DAY = str(DAYS[0])
CHURNED_DAYS = DAYS if MORE else DAYS[:1]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(crew, "AWAY_SECONDS", 600.0)
    monkeypatch.setattr(pace, "_STUCK_SECONDS", 1.0)
    monkeypatch.setattr(connect, "_LEAVE_SECONDS", 1)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    running = Processes(tmp_path_factory.mktemp("started"))
    yield running
    running.close()


@pytest.fixture
def processes(started):
    """A scheduler, and no worker that a test before started."""
    yield started
    for worker in started.all[1:]:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    with Client(started.address, set_as_default=False) as client:
        client.run_on_scheduler(forget_plugins)
        while connect.workers(client):
            time.sleep(0.05)


@pytest.mark.parametrize("seed", CHURNED_RUNS)
def test_workers_that_come_go_and_slow_down_give_the_same_bytes(cold, warm_template, processes, tmp_path, seed):
    """They are killed, ended, retired, added and stopped for a while, at random."""
    computed = counted(processes, 1, tmp_path)
    often = {"times": 6, "apart": 100} if MORE else {"times": 3, "apart": 40}
    with (
        Client(processes.address, set_as_default=False) as client,
        Churn(processes, client, seed, tmp_path / "counts", **often) as churn,
    ):
        report = on_dask(f"{CHURNED_DAYS[0]}..{CHURNED_DAYS[-1]}", processes.address)
    assert not report.failures and report.steps["computed"] > 90
    assert partitions(cold.root) == partitions(warm_template, CHURNED_DAYS) != {}
    found = Counter(computed(churn.gone).values())
    print(f"\nseed {seed}: {' '.join(churn.done)}: steps by how often they were computed: {dict(found)}")
    assert found.total() > 90 and max(found) <= 2, churn.done


# Workers that come with the work


def test_an_adaptive_cluster_starts_from_nothing_and_grows_with_the_work(cold, warm_template):
    told = Lines()
    with local_cluster(0, processes=False, protocol="tcp") as cluster:
        cluster.adapt(minimum=0, maximum=2, interval="100ms", target_duration="100ms")
        report = on_dask(SHORT, cluster.scheduler_address, told)
        added = cluster.scheduler._workers_added_total
    assert report.exit_code == 0 and added >= 2
    assert partitions(cold.root) == partitions(warm_template, DAYS[:3]) != {}
    assert "no Dask worker has come; waiting up to 600 s for one" in told.said


def test_workers_are_those_of_the_answer_whatever_dask_itself_asked_meanwhile(monkeypatch):
    """It asks every two seconds, for no workers, and a client's `scheduler_info` is the last answer to anybody."""
    with local_cluster(1, processes=False, protocol="tcp") as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(1)
        ask = client._update_scheduler_info

        async def overtaken(n_workers: int = 0) -> None:
            await ask(n_workers)
            await ask()

        monkeypatch.setattr(client, "_update_scheduler_info", overtaken)
        assert not client.scheduler_info(n_workers=-1)["workers"]
        assert len(connect.workers(client)) == 1


def test_workers_without_memory_that_come_to_a_waiting_run_are_refused(cold):
    with local_cluster(0, processes=False, protocol="tcp", resources={}) as cluster:
        told = Lines(heard=lambda line: cluster.scale(1) if "no Dask worker has come" in line else None)
        with pytest.raises(DaedalusError) as refusal:
            on_dask(SHORT, cluster.scheduler_address, told)
    assert "no Dask worker declares the memory that a step needs" in refused(refusal)


def test_what_workers_that_hang_and_die_have_is_made_by_others(cold, warm_template, processes, tmp_path):
    """One hangs, and the run does not wait for it, nor at the end. Of two others that make a partition, one is held
    when it has written the files, until the run is over; the other dies before anybody knows that it is done. A fourth
    hands on what that one left: it is not made a third time, and nothing is left of it."""
    hung, twice = f"attributes@{DAY}", f"chunk@{DAY}"
    held = Held(twice, tmp_path)
    hanging = AtStep(hung, tmp_path / "hanging", signal.SIGSTOP)
    dying = AtStep(twice, tmp_path / "dying", signal.SIGKILL, state="memory")
    computed = counted(processes, 3, tmp_path, held, hanging, dying)
    with another_after(processes, tmp_path / "dying/signal-0"):
        report = on_dask(DAY, processes.address)
    found = computed()
    assert report.exit_code == 0 and (found[hung], found[twice]) == (1, 2) and max(found.values()) == 2
    assert partitions(cold.root) == partitions(warm_template, DAYS[:1]) != {}
    held.release.touch()
    wait_until((tmp_path / "over").exists)
    assert not list((cold.root / "cache/tmp").iterdir()) and not list(cold.output.glob(".daeda-*"))
    assert partitions(cold.root) == partitions(warm_template, DAYS[:1])


@pytest.mark.skipif(not MORE, reason="DAEDA_CHURN")
def test_a_partition_that_is_made_twice_at_once_may_come_twice(
    cold, warm_template, processes, tmp_path, monkeypatch
):  # fmt: skip
    """The second answer comes while the first is being published."""
    step = f"chunk@{DAY}"
    held = Held(step, tmp_path)
    computed = counted(processes, 2, tmp_path, held)
    came, publishing, returned = [], dask_executor.publishing, dask_executor.DaskExecutor._returned

    def coming(self, sent, inner):
        returned(self, sent, inner)
        if sent.task.action.name == step:
            came.append(inner.result()[0])
            held.release.touch()

    def waiting(*of):
        task = publishing(*of)

        def run(upstream, out):
            wait_until(lambda: len(came) == 2)
            return task.action.run(upstream, out)

        return replace(task, action=replace(task.action, run=run))

    monkeypatch.setattr(dask_executor.DaskExecutor, "_returned", coming)
    monkeypatch.setattr(dask_executor, "publishing", waiting)
    report = on_dask(DAY, processes.address)
    assert report.exit_code == 0 and computed()[step] == 2 and len(set(came)) == 2
    assert partitions(cold.root) == partitions(warm_template, DAYS[:1]) != {}
    assert not list((cold.root / "cache/tmp").iterdir()) and not list(cold.output.glob(".daeda-*"))


@pytest.mark.skipif(not MORE, reason="DAEDA_CHURN")
def test_what_a_worker_made_before_it_died_is_not_made_again(cold, warm_template, processes, tmp_path):
    """The only one dies before anybody knows; the artifact is there, and a note about it. So does the next."""
    steps = f"spine@{DAY}", f"chunk@{DAY}"
    dying = [AtStep(step, tmp_path / step, signal.SIGKILL, state="memory") for step in steps]
    computed = counted(processes, 1, tmp_path, *dying)
    told = Lines(heard=lambda line: processes.worker() if "is left" in line else None)
    report = on_dask(DAY, processes.address, told)
    assert report.exit_code == 0 and told.said.count("no Dask worker is left; waiting up to 600 s for one") == 2
    assert partitions(cold.root) == partitions(warm_template, DAYS[:1]) != {}
    found = computed()
    assert [found[step] for step in steps] == [1, 1] and max(found.values()) <= 2  # published meanwhile: made again


def test_a_note_of_what_is_not_there_any_more_is_no_answer(tmp_path):
    """As when an artifact was lost, or a partition was published and then somebody altered it: both are made again."""
    answers, folder = Answers(tmp_path), tmp_path / "partition"
    assert answers.find("key") is None
    answers.leave("key", (Made("artifact", 3, {}, 0.1), None))
    (made, _), gone = answers.find("key"), ["missing"]
    shelf = SimpleNamespace(problem=lambda name, artifact: gone[0] if artifact == "artifact" else "")
    task = SimpleNamespace(action=SimpleNamespace(name="spine@day", shelf=shelf), is_part=False)
    assert not is_there(task, made, None)
    gone[0] = ""
    assert is_there(task, made, None)
    left = Delivery(PartList("digest", (PartFile("part-0-0.parquet", 3, "digest", 1),)), folder)
    assert not is_there(task, made, left)
    folder.mkdir()
    assert not is_there(task, made, left)
    (folder / "part-0-0.parquet").write_bytes(b"abc")
    assert is_there(task, made, left)
    assert not is_there(task, made, replace(left, folder=None))  # it is in the output, as far as anybody knows
    part = SimpleNamespace(action=task.action, is_part=True)
    assert not is_there(part, replace(made, artifact=str(tmp_path / "part")), None)
    (tmp_path / "part").touch()
    assert is_there(part, replace(made, artifact=str(tmp_path / "part")), None)
    (tmp_path / "key.answer").write_bytes(b"")
    assert answers.find("key") is None


@contextmanager
def another_after(processes, mark):
    """Meanwhile starts one more worker when a file is there."""
    starting = threading.Thread(target=lambda: (wait_until(mark.exists), processes.worker()))
    starting.start()
    yield
    starting.join()


def wait_until(shown):
    until = time.monotonic() + 60
    while not shown() and time.monotonic() < until:
        time.sleep(0.02)


def counted(processes, workers, folder, *plugins):
    """So many workers with plugins. The function that it returns says how often each action was computed; what a worker
    had begun that is gone was not."""
    counts = folder / "counts"
    counts.mkdir()
    with Client(processes.address, set_as_default=False) as client:
        for number, plugin in enumerate((Counting(counts), *plugins)):
            client.register_plugin(plugin, name=f"{plugin.name}-{number}")
        for _ in range(workers):
            processes.worker()
        client.wait_for_workers(workers)

    def computed(gone=frozenset()):
        return times_computed(counts, gone | {one.pid for one in processes.all[1:] if one.poll() is not None})

    return computed


# How far ahead, how late, how near


def test_work_is_sent_as_far_ahead_as_adaptive_scaling_needs():
    """Dask wants a worker for each five seconds of what was sent; it never gets all, since workers die with theirs."""
    ahead = Pace()
    assert ahead.most(0) == ahead.most(1) == 2
    for seconds, each in ((100.0, 2), (5.0, 3), (1.0, 15), (0.001, 64)):
        for _ in range(100):
            ahead.took(seconds)
        assert ahead.most(4) == 4 * each
        assert each == 64 or each * seconds > 2 * 5


def test_a_task_is_stuck_when_it_is_overdue_and_nothing_else_moves(monkeypatch):
    monkeypatch.setattr(pace, "_STUCK_SECONDS", 10.0)
    now = [0.0]
    watched = Pace(lambda: now[0])
    now[0] = 10.5
    assert watched.is_stuck(1.0) and not watched.is_stuck(3.0)
    now[0] = 12.5
    assert watched.is_stuck(3.0)
    watched.moved()
    assert not watched.is_stuck(1.0)
    now[0] = 23.0
    assert watched.is_stuck(1.0)


def test_a_task_goes_to_where_most_of_what_it_reads_is():
    nearby, mib = Nearby(), 1 << 20
    nearby.made("a", "spine", 100 * mib, ["view"])
    nearby.made("b", "sessions", 60 * mib, ["spine"])
    nearby.made("c", "small", mib // 2, [])
    workers = {"a", "b", "c"}
    assert nearby.nearest(["spine"], workers) == ["a", "b"]  # b read it
    assert nearby.nearest(["spine", "sessions"], workers) == ["a", "b"]
    assert nearby.nearest(["sessions", "small"], workers) == ["b"]
    assert nearby.nearest(["sessions"], {"a", "c"}) == nearby.nearest(["small", "unknown"], workers) == []


# Which first


SHOWN_DAYS = 8


def several_days() -> dict[str, tuple[float, list[str]]]:
    """Seconds and needs of steps: a chain through all days, and on each day more work beside it."""
    steps: dict[str, tuple[float, list[str]]] = {}
    for day in range(SHOWN_DAYS):
        steps[f"spine@{day}"] = 1.0, []
        for name in "abcd":
            steps[f"rolling:{name}@{day}"] = 1.0 + day / 100, [f"spine@{day}"]
        steps[f"qids@{day}"] = 2.0, [f"spine@{day}", *([f"qids@{day - 1}"] if day else [])]
        steps[f"chunk@{day}"] = 0.5, [name for name in steps if name.endswith(f"@{day}")]
    return steps


def run_in_time(steps, chains, workers=3) -> tuple[float, list[str]]:
    """How long the steps take on so many workers, and in which order they start."""
    actions = [SimpleNamespace(name=name, reads=needs, after=(), guards=()) for name, (_, needs) in steps.items()]
    schedule, now, running, order = Schedule(actions, chains), 0.0, [], []
    while schedule or running:
        while schedule and len(running) < workers:
            order.append(schedule.pop().name)
            heappush(running, (now + steps[order[-1]][0], order[-1]))
        now, name = heappop(running)
        schedule.ended(name)
    return now, order


def test_what_a_long_chain_waits_for_starts_first():
    steps = several_days()
    chains: dict[str, float] = {}
    for name in reversed(steps):
        waiting = [chains[below] for below, (_, needs) in steps.items() if name in needs]
        chains[name] = steps[name][0] + max(waiting, default=0.0)
    (plain, _), (first, order) = run_in_time(steps, None), run_in_time(steps, chains)
    work = sum(seconds for seconds, _ in steps.values()) / 3
    assert work <= first < work + 0.5 < work + 1 < plain, (work, first, plain)
    for kind in (
        "chunk",
        "rolling:a",
    ):  # that of a later day takes a little longer, which is no reason to begin with it
        assert [name for name in order if name.startswith(kind)] == [f"{kind}@{day}" for day in range(SHOWN_DAYS)]
