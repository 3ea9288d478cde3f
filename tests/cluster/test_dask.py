"""Dask: the bytes of one process, whatever dies; failures that look as on one machine; refusals that say why."""

from __future__ import annotations

import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from small import DAYS, PROJECT, RANGE, edit, nothing_ran

pytest.importorskip("distributed")
from clusters import Deadly, FolderCarrier, Processes, let_die, local_cluster
from distributed import Client
from distributed.core import Status
from enrich_tiny import DAYS as DAYS_OF_BOTH
from enrich_tiny import VIEWED, TinyWorld
from test_incremental import outputs

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, DayError
from daedalus.cluster import connect, crew, nearby
from daedalus.cluster.shared_folder import take
from daedalus.pipelines import on_dask as clustered
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.skeleton.steps import partition
from daedalus.stagecache.action import Again
from daedalus.stagecache.walk.full_disk import OutOfSpace
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

KILLED_RUNS = int(os.environ.get("DAEDA_DASK_KILLS", "1"))
SHORT = f"{DAYS[0]}..{DAYS[2]}"
LAST = DAYS_OF_BOTH[-1]


class Lines(Progress):
    """Keeps what a person would be told; calls `started(action)` as one starts, and `heard(line)`."""

    def __init__(self, started=lambda name: None, heard=lambda line: None) -> None:
        self.said, self.started, self._heard = [], started, heard

    def say(self, line):
        self.said.append(line)
        self._heard(line)


def on_dask(range=RANGE, scheduler=None, progress=None, force=False, **settings):
    return run_skeleton_stage(
        Settings(**settings), range, progress=progress, force=force, executor="dask", scheduler=scheduler
    )


def artifacts(root: Path) -> set[str]:
    return {path.name for path in (root / "cache/artifacts").glob("??/*.parquet")}


def partitions(root: Path, days=DAYS) -> dict[str, bytes]:
    found = sorted((root / "data/training_output").glob("dt=*/*.parquet"))
    return {f"{p.parent.name}/{p.name}": p.read_bytes() for p in found if p.parent.name[3:] in set(map(str, days))}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Workers that start take what they take: a busy machine is no failure."""
    monkeypatch.setattr(crew, "WAIT_SECONDS", 600.0)
    monkeypatch.setattr(crew, "AWAY_SECONDS", 600.0)


@pytest.fixture(scope="module")
def started():
    with local_cluster(2) as running:
        yield running


@pytest.fixture
def cluster(started):
    """Two workers that answer, whatever the test before did to them: of one that was just killed the scheduler learns
    a moment later."""
    with Client(started, set_as_default=False) as asking:
        while True:
            connect.replace_lost(started)
            started.wait_for_workers(2)
            with suppress(OSError):
                if len(asking.run(os.getpid)) == 2:
                    return started
            time.sleep(0.1)


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as opened:
        yield opened


def refused(capture) -> str:
    assert capture.value.exit_code == 2
    return capture.value.text()


@contextmanager
def partitions_put_together_elsewhere():
    """The coordinator cannot."""

    def refuse(*of, **more):
        raise AssertionError("the coordinator put a partition together")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition._Made, "join", refuse)
        yield


# The same bytes


def test_two_workers_give_the_bytes_of_one_process(cold, warm_template, cluster):
    with partitions_put_together_elsewhere():
        report = on_dask(scheduler=cluster.scheduler_address)
    assert report.steps["computed"] > 400 and not report.failures
    assert cold.bytes() == cold.bytes(warm_template / "data/training_output")
    assert artifacts(cold.root) == artifacts(warm_template)
    assert nothing_ran(cold.run()) and nothing_ran(on_dask(scheduler="tcp://127.0.0.1:1"))  # no cluster is asked
    assert not list((cold.root / "cache/tmp").iterdir())


def test_four_workers_of_this_machine_give_the_bytes_of_one_process(cold, warm_template):
    told = Lines()
    report = on_dask(SHORT, progress=told, day_workers=2)
    assert report.exit_code == 0
    assert partitions(cold.root) == partitions(warm_template, DAYS[:3]) != {}
    assert any(re.match(r"Dask dashboard: http://127\.0\.0\.1:\d+/status", line) for line in told.said)


def test_what_changed_alone_runs_and_says_why(warm, cluster):
    warm.edit_aggregations(lambda specs: specs[0].update(max_items=3))
    planned = run_skeleton_stage(Settings(), SHORT, plan=True, executor="dask", scheduler="tcp://127.0.0.1:1")
    report = on_dask(SHORT, cluster.scheduler_address)
    assert [entry["state"] for entry in planned.plan] == ["run", "maybe"] * 3  # a rolling and a partition a day
    assert report.steps["computed"] == 6
    assert all(step["state"] == "hit" for step in warm.json("explain", "day", str(DAYS[0]))["steps"])


def test_workers_that_share_no_folder_get_and_give_artifacts_by_a_carrier(warm, warm_template, tmp_path, monkeypatch):
    """Half of what is read lies on the coordinator only; workers see neither its cache nor each other's."""
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setattr(clustered, "carrier_of", lambda workspace: FolderCarrier(left))
    monkeypatch.setattr(nearby, "_WORTH", 1)  # a step goes to where any of what it reads is
    warm.edit_aggregations(lambda specs: specs[0].update(max_items=3))
    processes = Processes(tmp_path)
    try:
        processes.worker(), processes.worker()
        with partitions_put_together_elsewhere():
            report = on_dask(SHORT, processes.address)
    finally:
        processes.close()
    assert report.exit_code == 0 and report.steps["computed"] == 6
    there, sent = warm.bytes(), {path.name for path in left.iterdir()}
    assert len(sent) > 6 and sent & artifacts(warm_template) and sent - artifacts(warm_template)
    shutil.rmtree(warm.root / "cache")
    shutil.rmtree(warm.output)
    warm.run(SHORT)
    assert partitions(warm.root, DAYS[:3]) == {name: there[name] for name in partitions(warm.root, DAYS[:3])}


def test_workers_that_share_no_folder_work_through_the_shared_cache(cold, tmp_path, bucket, store_options):
    """Also with what lies in the shared cache alone: the second time the coordinator has nothing of its own."""
    edit(cold.runtime, cache_remote=f"{bucket}/cache", object_store=store_options)
    processes = Processes(tmp_path)
    try:
        processes.worker(), processes.worker()
        report = on_dask(SHORT, processes.address)
        made = partitions(cold.root, DAYS[:3])
        shutil.rmtree(cold.root / "cache")
        shutil.rmtree(cold.output)
        cold.edit_aggregations(lambda specs: specs[0].update(max_items=3))
        again = on_dask(SHORT, processes.address)
    finally:
        processes.close()
    assert report.exit_code == 0 and report.steps["hit"] == 0 and len(made) >= 3
    assert again.exit_code == 0 and again.steps["computed"] == 6
    last = partitions(cold.root, DAYS[:3])
    edit(cold.runtime, cache_remote=None)
    shutil.rmtree(cold.root / "cache")
    shutil.rmtree(cold.output)
    cold.run(SHORT)
    assert partitions(cold.root, DAYS[:3]) == last != made


def test_a_cluster_of_this_machine_works_with_what_the_shared_cache_alone_has(cold, bucket, store_options):
    edit(cold.runtime, cache_remote=f"{bucket}/cache", object_store=store_options)
    cold.run(SHORT)
    shutil.rmtree(cold.root / "cache")
    shutil.rmtree(cold.output)
    edit(cold.runtime, output_columns=outputs(cold)[1:])
    report = on_dask(SHORT)
    assert report.exit_code == 0 and report.steps["computed"] == 3  # partitions
    made = partitions(cold.root, DAYS[:3])
    edit(cold.runtime, cache_remote=None)
    shutil.rmtree(cold.root / "cache")
    shutil.rmtree(cold.output)
    cold.run(SHORT)
    assert partitions(cold.root, DAYS[:3]) == made


@pytest.fixture
def both(tiny_enriched_template, tmp_path, monkeypatch):
    """A world with enriched partitions, without its cache and outputs; `expected` are their bytes."""
    world = TinyWorld(Path(shutil.copytree(tiny_enriched_template, tmp_path / "both")))
    monkeypatch.chdir(world.root)
    world.expected = world.bytes()
    emptied(world)
    return world


def emptied(world: TinyWorld) -> None:
    for made in (world.root / "cache", world.output, world.enriched):
        shutil.rmtree(made)


def test_both_stages_on_workers_of_another_folder_give_the_bytes_of_one_process(both, cluster, client):
    """Enriched partitions are put together by the coordinator, of what workers made."""
    folders = client.run(os.getcwd)
    assert str(both.root) not in folders.values()
    options = {"executor": "dask", "scheduler": cluster.scheduler_address}
    report = both.run(**options)
    assert not report.failures and report.steps["computed"] == 63 and both.bytes() == both.expected
    assert not both.ran().names and not list((both.root / "cache/tmp").iterdir())
    both.pool.append([(VIEWED, [1.0, 2.0, 3.0])])
    ran = both.ran(**options)
    assert {name for name in ran.steps() if "@" in name} == {f"{name}@{LAST}" for name in ("vectors:image", "enriched")}
    here = both.bytes()
    emptied(both)
    both.ran()
    assert both.bytes() == here != both.expected


def test_both_stages_on_workers_that_share_no_folder(both, tmp_path, bucket, store_options):
    """Vectors, and what of the pool lies beside them, go through the shared cache; then it alone has them."""
    edit(both.runtime, cache_remote=f"{bucket}/cache", object_store=store_options)
    processes = Processes(tmp_path)
    try:
        processes.worker(), processes.worker()
        options = {"executor": "dask", "scheduler": processes.address}
        report = both.run(**options)
        assert not report.failures and report.steps["computed"] == 63 and both.bytes() == both.expected
        emptied(both)
        both.pool.append([(VIEWED, [1.0, 2.0, 3.0])])
        both.embeddings(dtype="float16")
        ran = {name.partition(":")[0].partition("@")[0] for name in both.ran(**options).names}
    finally:
        processes.close()
    assert ran == {"pool", "fragment", "pool_vectors", "pool_places", "vectors", "means", "enriched"}
    there = both.bytes()
    edit(both.runtime, cache_remote=None)
    emptied(both)
    both.ran()
    assert both.bytes() == there


def test_a_partition_is_taken_as_its_worker_left_it_or_not_at_all(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    for name in ("part-0-0.parquet", "part-1-0.parquet"):
        (there / name).write_text(name)
    left = {path.name: digest.of_file(path) for path in there.iterdir()}
    take("chunk@day", there, left, tmp_path / "out")
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {name: name for name in left}
    (tmp_path / "out/part-1-0.parquet").write_text("other")
    with pytest.raises(DayError, match="not what a worker wrote"):
        take("chunk@day", tmp_path / "out", left, tmp_path / "again")
    take("chunk@day", tmp_path / "nowhere", {}, tmp_path / "empty")  # a day without rows
    assert not (tmp_path / "empty").exists()


# What dies


@pytest.mark.parametrize("seed", range(KILLED_RUNS))
def test_a_run_with_a_worker_killed_gives_the_same_bytes(cold, warm_template, cluster, client, seed):
    """When a random share of the artifacts is there, however fast the run is; another takes its place."""
    chance, killed = random.Random(seed), []
    there = chance.uniform(0, 0.8) * len(artifacts(warm_template))

    def kill() -> None:
        while len(artifacts(cold.root)) <= there:
            time.sleep(0.01)
        nanny = chance.choice(list(cluster.workers.values()))
        killed.append(nanny.pid)
        os.kill(nanny.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    report = on_dask(RANGE, cluster.scheduler_address)
    killer.join(60)
    assert killed and not report.failures
    assert cold.bytes() == cold.bytes(warm_template / "data/training_output")


def test_a_step_that_kills_every_worker_fails_its_day_alone(cold, warm_template, cluster, client, tmp_path):
    deadly, dying = f"attributes@{DAYS[1]}", tmp_path / "dying"
    dying.mkdir()
    try:
        client.register_plugin(Deadly(deadly, dying))
        with let_die(cluster, dying):
            report = on_dask(SHORT, cluster.scheduler_address)
    finally:
        client.unregister_worker_plugin(Deadly.name)
    assert report.exit_code == 1
    [failure] = report.failures
    assert (failure.day, failure.step) == (str(DAYS[1]), "attributes")
    assert "every Dask worker that ran this step died" in failure.error and "logs" in failure.error
    assert partitions(cold.root) == partitions(warm_template, [DAYS[0], DAYS[2]])
    assert on_dask(SHORT, cluster.scheduler_address).exit_code == 0
    assert partitions(cold.root) == partitions(warm_template, DAYS[:3])


def test_a_worker_whose_nanny_gave_up_is_replaced(client, cluster):
    for nanny in list(cluster.workers.values()):
        cluster.sync(nanny.close)
    connect.replace_lost(cluster)
    cluster.wait_for_workers(2)
    assert all(nanny.status == Status.running for nanny in cluster.workers.values())


def test_a_worker_that_is_being_started_is_waited_for(monkeypatch):
    now, starting = [0.0], [True]
    monkeypatch.setattr(crew, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(crew.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(connect, "workers", lambda client: {})
    monkeypatch.setattr(connect, "is_starting", lambda client: starting[0])
    said: list[str] = []
    waiting = crew.Crew(object(), 1, where="here", local=True, silence=10.0, say=said.append)
    waiting._met = True

    def look_for(seconds: int) -> None:
        for _ in range(seconds):
            now[0] += 1
            waiting.look()

    look_for(300)
    assert [("being started" in line, "600 s" in line) for line in said] == [(True, True)]
    starting[0] = False
    look_for(60)
    assert len(said) == 2 and "60 s more" in said[1]  # once the first of the two waits is over
    with pytest.raises(DaedalusError, match="no Dask worker is left"):
        look_for(2)
    now[0], waiting._none_since, starting[0] = 0.0, None, True
    with pytest.raises(DaedalusError, match="no Dask worker is left"):
        look_for(700)  # it hangs
    assert now[0] > 600 and len(said) == 4 and "60 s more" in said[3]
    now[0], waiting._none_since, starting[0] = 0.0, None, False
    look_for(50)
    assert said[4:] == ["no Dask worker is left; waiting up to 60 s for one"]
    starting[0] = True
    look_for(100)
    assert len(said) == 6 and "one is being started: waiting up to 550 s" in said[5]


def test_a_scheduler_that_is_lost_stops_the_run_and_keeps_what_is_finished(cold, warm_template, tmp_path):
    processes = Processes(tmp_path)
    try:
        processes.worker()
        told = Lines(started=lambda name: processes.scheduler.kill() if name.startswith("chunk@") else None)
        with pytest.raises(DaedalusError) as lost:
            on_dask(scheduler=processes.address, progress=told)
    finally:
        processes.close()
    assert lost.value.exit_code == 1 and "connection to the Dask scheduler is lost" in lost.value.text()
    assert "--resume" in lost.value.hint and "resume=True" in lost.value.hint
    kept = artifacts(cold.root)
    assert kept and kept <= artifacts(warm_template)
    report = run_skeleton_stage(resume=True)
    assert report.exit_code == 0 and cold.bytes() == cold.bytes(warm_template / "data/training_output")


# Failures look as on one machine


def test_a_bad_input_fails_its_day_with_the_same_words(cold, cluster):
    cold.feed_file(DAYS[1]).write_bytes(b"no parquet")
    there = on_dask(SHORT, cluster.scheduler_address)
    shutil.rmtree(cold.root / "cache")
    shutil.rmtree(cold.output)
    here = cold.run(SHORT)
    assert there.failures == here.failures and len(here.failures) >= 1
    assert there.exit_code == here.exit_code == 1


def test_an_input_that_changes_during_the_run_is_told_by_its_path_in_the_config(cold, cluster, monkeypatch):
    begin = Lines.begin

    def touch(self, days, actions, expected):
        begin(self, days, actions, expected)
        os.utime(cold.feed_file(DAYS[1]), ns=(1, 1))

    monkeypatch.setattr(Lines, "begin", touch)
    report = on_dask(SHORT, cluster.scheduler_address, Lines())
    assert "changed while it was being read; where: data/feed/dt=2026-02-02/part-1.parquet;" in report.failures[0].error


def test_json_is_the_same_object(cold, cluster):
    command = ["skeleton", "--range", SHORT, "--executor", "dask", "--scheduler", cluster.scheduler_address]
    there = cold.json(*command)
    shutil.rmtree(cold.root / "cache")
    shutil.rmtree(cold.output)
    here = cold.json("skeleton", "--range", SHORT)
    assert {**there, "seconds": 0} == {**here, "seconds": 0}


def test_errors_cross_processes_as_they_are():
    for error in (
        DaedalusError("what", where="here", found=3, expected="4", hint="do"),
        DayError("what", where="here"),
        OutOfSpace("spine@2026-02-01"),
        Again(["chunk@2026-02-01"]),
    ):
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error) and back.text() == error.text() and str(back) == str(error)
        assert back.exit_code == error.exit_code and back.__dict__ == error.__dict__


# Ctrl-C


def test_ctrl_c_ends_all_processes_and_leaves_the_terminal_alone(cold, warm_template):
    command = [sys.executable, "-m", "daedalus", "skeleton", "--range", RANGE, "--executor", "dask"]
    run = subprocess.Popen(
        [*command, "--progress", "plain"], cwd=cold.root, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    said = []
    for line in run.stderr:
        said.append(line.rstrip())
        if "[1/14]" in line:
            break
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, rest = run.communicate(timeout=60)
    said += rest.splitlines()
    assert run.returncode == 130 and not out
    progress = rf"{RANGE} into |looked at |built the steps |14 days, |\d+ of 409 |Dask dashboard: |2026-02-\d\d  \["
    unexpected = [line for line in said if not re.match(progress, line)]
    again = " ".join(["daeda", *command[3:], "--progress plain --resume"])
    assert unexpected == [f"interrupted; finished steps are kept. Continue with: {again}"]
    with pytest.raises(ProcessLookupError):
        for _ in range(100):  # the group is empty: no worker is left
            os.killpg(run.pid, 0)
            time.sleep(0.1)
    assert not list((cold.root / "cache/tmp").iterdir())
    assert run_skeleton_stage(resume=True).exit_code == 0
    assert cold.bytes() == cold.bytes(warm_template / "data/training_output")


# Refusals


def test_a_worker_with_other_code_is_refused_and_others_do_its_work(cold, warm_template, tmp_path, edited):
    copy = edited.edit("parquet/writer.py", "ROWS_PER_GROUP = 24_576", "ROWS_PER_GROUP = 77")
    processes = Processes(tmp_path)
    try:
        processes.worker(package=copy)
        with pytest.raises(DaedalusError) as refusal:
            on_dask(SHORT, processes.address)
        text = refused(refusal)
        assert "no Dask worker can do this run's work" in text and "code write_parquet: " in text, text
        assert not cold.bytes()
        processes.worker()
        with Client(processes.address, set_as_default=False) as client:
            client.wait_for_workers(2)
        told = Lines()
        assert on_dask(SHORT, processes.address, told).exit_code == 0
        assert sum("is not used: code write_parquet" in line for line in told.said) <= 1
        assert partitions(cold.root) == partitions(warm_template, DAYS[:3])
    finally:
        processes.close()


def test_a_scheduler_that_nobody_works_for_is_refused(cold, monkeypatch):
    monkeypatch.setattr(crew, "AWAY_SECONDS", 0.5)
    told = Lines()
    with local_cluster(0) as empty, pytest.raises(DaedalusError) as refusal:
        on_dask(scheduler=empty.scheduler_address, progress=told)
    text = refused(refusal)
    assert "has no workers" in text and '--resources "MEMORY=' in text
    assert any(line == "no Dask worker has come; waiting up to 0 s for one" for line in told.said)


@pytest.mark.parametrize("resources", [{}, {"MEMORY": 1 << 20}])
def test_workers_that_declare_too_little_memory_are_refused(cold, resources):
    with (
        local_cluster(1, processes=False, resources=resources, protocol="tcp") as poor,
        pytest.raises(DaedalusError) as refusal,
    ):
        on_dask(scheduler=poor.scheduler_address)
    text = refused(refusal)
    with opened(Settings()) as workspace, workspace.ducks.lease() as duck:
        need = (duck.memory_mib() << 20) + connect.OVERHEAD
    assert "no Dask worker declares the memory" in text and f'--resources "MEMORY={need}"' in text


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "no address", "wrong://x"])
def test_an_address_at_which_nobody_answers_is_refused(cold, address, monkeypatch):
    monkeypatch.setattr(connect, "_CONNECT_SECONDS", 1)
    with pytest.raises(DaedalusError) as refusal:
        on_dask(scheduler=address)
    assert "no Dask scheduler answers" in refused(refusal) and address in refused(refusal)


def test_without_the_extra_it_says_what_to_install(cold, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DaedalusError) as refusal:
        on_dask()
    assert "daedalus-skeleton[dask]" in refused(refusal)


def test_a_scheduler_without_dask_is_refused(cold):
    done = cold.cli("skeleton", "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 2 and "--executor dask" in done.stderr


def test_a_local_run_imports_no_dask(cold):
    script = (
        "import sys; from daedalus.cli.main import main\n"
        f"try: main(['skeleton', '--range', '{DAYS[0]}', '--progress', 'none'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(sorted({'dask', 'distributed', 'daedalus.cluster'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=cold.root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
