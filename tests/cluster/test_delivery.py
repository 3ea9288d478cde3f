"""Partitions by workers: no byte passes through the coordinator, and whoever dies leaves the old one or the new."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import PROJECT, edit

pytest.importorskip("distributed")
from clusters import Processes
from enrich_tiny import DAYS, RANGE, VIEWED, TinyWorld
from enrich_worlds import Pool, vector_type
from faults import Proxy

from daedalus.base.durable import part_files
from daedalus.base.errors import DayError
from daedalus.cluster import crew
from daedalus.cluster.delivery import Place
from daedalus.objectstore.object_store import ObjectStore
from daedalus.output import remote_partitions
from daedalus.output.part_file import listed
from daedalus.pipelines import on_dask
from daedalus.stagecache.action import Again
from daedalus.stagecache.records.artifact_store import Scratch
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

STAGES = ("skeleton", "enriched")


class Cluster:
    """A scheduler and two workers; each of them, and the coordinator, has a line of its own to the object store."""

    def __init__(self, folder: Path, store: str) -> None:
        self.here, self.lines = Proxy(store), [Proxy(store), Proxy(store)]
        self._processes = Processes(folder)
        self.address = self._processes.address
        self.workers = [self._worker(line) for line in self.lines]

    def _worker(self, line: Proxy) -> subprocess.Popen:
        return self._processes.worker(AWS_ENDPOINT_URL=line.endpoint)

    def kill(self, worker: int) -> None:
        """Kills a worker, as often as it is called, and lets another have its line."""
        self.workers[worker].kill()

    def repair(self) -> None:
        """Lines without faults, and workers on both."""
        for line in (self.here, *self.lines):
            line.fault = lambda method, path: None
            line.carried.clear()
            line.requests.clear()
        self.workers = [
            worker if worker.poll() is None else self._worker(line)
            for worker, line in zip(self.workers, self.lines, strict=True)
        ]

    def close(self) -> None:
        self._processes.close()
        for line in (self.here, *self.lines):
            line.close()


@pytest.fixture(scope="module")
def started(cloud, tmp_path_factory) -> Iterator[Cluster]:
    if cloud.scheme != "s3":
        pytest.skip("lines to the object store are set by a variable of S3")
    running = Cluster(tmp_path_factory.mktemp("cluster"), cloud.endpoint)
    yield running
    running.close()


@pytest.fixture
def cluster(started, monkeypatch) -> Cluster:
    started.repair()
    monkeypatch.setenv("AWS_ENDPOINT_URL", started.here.endpoint)
    monkeypatch.setattr(crew, "AWAY_SECONDS", 600.0)
    return started


class World(TinyWorld):
    """The tiny world without cache and outputs, which are in a folder or in a bucket."""

    def __init__(self, root: Path, expected: dict[str, bytes], bucket: str, options: dict[str, str]) -> None:
        super().__init__(root)
        self.expected, self.store = expected, ObjectStore(bucket, options)
        self._options = {key: value for key, value in options.items() if key != "endpoint"}
        self._is_remote = False

    def in_bucket(self, *, cache: bool = False) -> None:
        self._is_remote = True
        more = {"cache_remote": self.store.of("cache")} if cache else {}
        edit(self.runtime, output_root=self.store.of("skeleton"), object_store=self._options, **more)
        self.embeddings(output_root=self.store.of("enriched"))

    def published(self) -> dict[str, bytes]:
        """The partitions of both stages as readers see them."""
        if not self._is_remote:
            return {name: data for name, data in self.bytes().items() if "/dt=" in name}
        found = {}
        for key in (key for stage in STAGES for key in self.keys(stage)):
            folder, _, name = key.rpartition("/")
            if name == "manifest.json":
                for part in json.loads(self.store.get(key)[0])["parts"]:
                    name = part["key"].rpartition("/")[2]
                    found[str(self.root / f"data/{folder}/{name}")] = self.store.get(f"{folder}/{part['key']}")[0]
        return found

    def keys(self, stage: str) -> list[str]:
        return [self.store.key(one.uri) for one in self.store.list(f"{stage}/")]

    def parts(self) -> set[str]:
        """The keys of all part files, named by a manifest or not."""
        return {key for stage in STAGES for key in self.keys(stage) if "/part-" in key}

    def named(self) -> set[str]:
        """Those that manifests name."""
        manifests = [key for stage in STAGES for key in self.keys(stage) if key.endswith("/manifest.json")]
        return {f"{key[: -len('/manifest.json')]}/{part['key']}" for key in manifests
                for part in json.loads(self.store.get(key)[0])["parts"]}  # fmt: skip

    def is_whole(self) -> bool:
        """Whether what is published is as expected, each day's partition all of it or nothing."""
        found = self.published()
        folders = {name.rpartition("/")[0] for name in found}
        return found == {name: data for name, data in self.expected.items() if name.rpartition("/")[0] in folders}

    def of(self, day: object) -> dict[str, bytes]:
        """What is expected of one day."""
        return {name: data for name, data in self.expected.items() if f"/dt={day}/" in name}


def command(cluster: Cluster, days: object = RANGE) -> list[str]:
    return ["enrich", "--range", str(days), "--executor", "dask", "--scheduler", cluster.address, "--progress", "none"]


@pytest.fixture
def world(tiny_enriched_template, bucket, store_options, tmp_path, monkeypatch) -> World:
    root = Path(shutil.copytree(tiny_enriched_template, tmp_path / "world"))
    monkeypatch.chdir(root)
    expected = {name: data for name, data in TinyWorld(root).bytes().items() if "/dt=" in name}
    for made in ("cache", "data/skeleton", "data/enriched"):
        shutil.rmtree(root / made)
    return World(root, expected, bucket, store_options)


def on(cluster: Cluster) -> dict[str, str]:
    return {"executor": "dask", "scheduler": cluster.address}


def said_by(world: World, cluster: Cluster) -> list[str]:
    """What a run that succeeds says of partitions that the coordinator wrote."""
    from enrich_tiny import Ran

    told, said = Ran(), []
    told.say = said.append
    report = world.run(progress=told, **on(cluster))
    assert not report.failures, report.failures
    return [line for line in said if line.startswith("partitions go by way of")]


# What passes through the coordinator


def test_with_an_output_in_a_bucket_workers_put_the_parts_and_the_coordinator_reads_none(world, cluster):
    """Nor does a part go through the shared cache, by which artifacts go here."""
    world.in_bucket(cache=True)
    assert not said_by(world, cluster) and world.published() == world.expected
    size = sum(map(len, world.expected.values()))
    with opened(Settings()) as workspace:
        homes = [output.partitions for output in workspace.outputs.values()]
        digests = {part.digest for home in homes for day in DAYS for part in home.listed(str(day)).parts}
    own = {path: count for path, count in cluster.here.carried.items()
           if "/part-" in path or any(one in path for one in digests)}  # fmt: skip
    theirs = sum(count for line in cluster.lines for path, count in line.carried.items() if "/part-" in path)
    print(f"\nthe coordinator: {sum(own.values()):,} bytes, workers {theirs:,}, of {size:,} of partitions")
    assert sum(own.values()) < 0.01 * size and theirs >= size
    assert world.parts() == world.named()

    first = next(key for key in sorted(world.named()) if f"enriched/dt={DAYS[1]}" in key)
    world.store.delete([first])  # what a list has and the store has not is no partition
    world.pool.append([(VIEWED, [1.0, 2.0, 3.0])])
    ran = {name for name in world.ran(**on(cluster)).names if name.startswith(("chunk", "enriched"))}
    assert ran == {f"enriched@{DAYS[1]}", f"enriched@{DAYS[2]}"} and world.parts() == world.named()
    found = world.published()
    differ = {Path(name).parent for name in found if found[name] != world.expected[name]}
    assert differ == {world.enriched / f"dt={DAYS[2]}"}


def test_with_an_output_in_a_folder_the_coordinator_reads_and_writes_what_it_does_of_small_partitions(
    tiny_enriched_template, cluster, tmp_path, monkeypatch
):
    """Of two runs that make all partitions and nothing else, one with long titles and vectors."""
    found = []
    for name in ("small", "large"):
        root = Path(shutil.copytree(tiny_enriched_template, tmp_path / name))
        monkeypatch.chdir(root)
        world = TinyWorld(root)
        if name == "large":
            enlarge(world)
        world.ran()
        expected = {path: data for path, data in world.bytes().items() if "/dt=" in path}
        for folder in (*world.output.glob("dt=*"), *world.enriched.glob("dt=*")):
            shutil.rmtree(folder)
        counted = root / "counts.json"
        counting = [sys.executable, PROJECT / "tests/support/counting.py", counted]
        subprocess.run([*counting, *command(cluster)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(PROJECT)})  # fmt: skip
        assert {path: data for path, data in world.bytes().items() if "/dt=" in path} == expected
        assert not list(world.output.glob(".daeda-*")) and not list(world.enriched.glob(".daeda-*"))
        counts = json.loads(counted.read_text())
        found.append((sum(map(len, expected.values())), counts["bytes read"] + counts["bytes written"]))
    (small, own), (large, own_of_large) = found
    print(f"\n{own_of_large - own:,} bytes more through the coordinator, of {large - small:,} more of partitions")
    assert large > 20 * small and own_of_large - own < 0.01 * (large - small)


def enlarge(world: TinyWorld) -> None:
    """Titles of 200,000 letters, vectors of 4,000 floats: a hundredth of them is more than runs differ by."""
    path = next(world.root.glob("data/**/art*/*.parquet"), None) or next(world.root.glob("data/catalog/**/*.parquet"))
    table = pq.read_table(path)
    titles = pa.array([os.urandom(100_000).hex() for _ in range(table.num_rows)])
    pq.write_table(table.set_column(table.schema.get_field_index("title"), "title", titles), path)
    shutil.rmtree(world.pool.path)
    world.pool = Pool(world.pool.path, vector_type("float", 4_000, fixed=True))
    world.pool.append([(number, [float(number)] * 3_999 + [0.5]) for number in (*range(1, 13), VIEWED)])


# A worker that does not reach the output


def test_what_a_worker_cannot_put_goes_by_way_of_the_coordinator(world, cluster):
    """Workers have nothing in common with it but the shared cache."""
    world.in_bucket(cache=True)
    for line in cluster.lines:
        line.fault = lambda method, path: "500" if method == "PUT" and "/part-" in path else None
    [said] = said_by(world, cluster)
    assert "it cannot write the output: " in said
    assert world.published() == world.expected and world.parts() == world.named()


def test_workers_that_do_not_see_the_folder_of_the_output_leave_it_to_the_coordinator(world, cluster, monkeypatch):
    monkeypatch.setattr(on_dask, "_place", lambda output: Place("/nowhere/at/all", Path("/nowhere/at/all/staging")))
    [said] = said_by(world, cluster)
    assert "it does not see the output at /nowhere/at/all" in said
    assert world.published() == world.expected and not world.ran(**on(cluster)).names


# What dies


def test_a_worker_that_is_killed_while_it_puts_leaves_no_half_partition(world, cluster, monkeypatch):
    world.in_bucket()
    came = threading.Lock()

    def fault(worker: int):
        def killed(method: str, path: str) -> str | None:
            if method == "PUT" and "/part-1-0" in path and came.acquire(blocking=False):
                cluster.kill(worker)
                return "lost"  # it is there, and nobody knows
            return None

        return killed

    for worker, line in enumerate(cluster.lines):
        line.fault = fault(worker)
    assert not world.run(**on(cluster)).failures and came.locked()
    assert world.published() == world.expected
    left = world.parts() - world.named()
    assert left
    cluster.repair()
    monkeypatch.setattr(remote_partitions, "_ORPHANED", -60)  # as if it was a day ago
    world.store.delete([key for stage in STAGES for key in world.keys(stage) if key.endswith("/manifest.json")])
    assert not world.run(**on(cluster)).failures
    assert world.parts() == world.named() and world.published() == world.expected


@pytest.mark.parametrize(
    ("how", "done"), [(signal.SIGKILL, False), (signal.SIGTERM, True)], ids=["killed before", "terminated after"]
)
def test_a_coordinator_that_dies_between_parts_and_manifest_leaves_what_was_there(world, cluster, how, done):
    world.in_bucket()
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    run = subprocess.Popen([sys.executable, "-m", "daedalus", *command(cluster, DAYS[0])], env=environment,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    stopped = threading.Event()

    def fault(method: str, path: str) -> str | None:
        if method == "PUT" and path.endswith("/manifest.json") and not stopped.is_set():
            stopped.set()
            run.send_signal(how)
            return "lost" if done else "reset"
        return None

    cluster.here.fault = fault
    assert run.wait(120) in (-signal.SIGKILL, 130) and stopped.is_set()
    assert world.is_whole() and world.parts()
    assert not world.run(str(DAYS[0]), **on(cluster)).failures and world.published() == world.of(DAYS[0])


def test_a_coordinator_that_dies_while_it_exchanges_folders_leaves_what_was_there(world, cluster):
    """At the second partition, that of the enrich stage; what is beside the partitions goes with the next run."""
    script = (
        "import itertools, os, signal, sys\n"
        "from daedalus.output import partitions\n"
        "plain, calls = partitions.swap_folder, itertools.count()\n"
        "def swap(*arguments):\n"
        "    if next(calls) == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return plain(*arguments)\n"
        "partitions.swap_folder = swap\n"
        "from daedalus.cli.main import main\n"
        "main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", script, *command(cluster, DAYS[0])], env=environment, timeout=120,
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert world.published() and world.is_whole()
    assert list(world.output.glob(".daeda-*")) and list(world.enriched.glob(".daeda-*"))
    assert not world.run(str(DAYS[0]), **on(cluster)).failures and world.published() == world.of(DAYS[0])
    assert not list(world.output.glob(".daeda-*")) and not list(world.enriched.glob(".daeda-*"))


def test_a_folder_of_unfinished_files_goes_also_while_somebody_writes_into_it(tmp_path):
    """As a worker does whose coordinator was told to stop."""
    scratch, stop, written = Scratch(tmp_path), threading.Event(), threading.Event()
    into = scratch.path()
    into.mkdir()

    def write() -> None:
        for number in range(1_000_000):
            try:
                (into / f"{number}").write_bytes(b"")
            except FileNotFoundError:
                return
            if number > 2_000:
                written.set()
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    written.wait(30)
    scratch.close()
    stop.set()
    writer.join()
    assert not list(tmp_path.iterdir())


# What a coordinator is told


@pytest.fixture
def home(world, cluster):
    world.in_bucket()
    with opened(Settings()) as workspace:
        yield workspace.outputs["skeleton"].partitions


def parts_of(folder: Path, content: str) -> Path:
    folder.mkdir()
    for number in range(2):
        pq.write_table(pa.table({"x": [content, str(number)]}), folder / f"part-{number}-0.parquet")
    return folder


def test_the_second_of_two_that_publish_a_day_replaces_all_of_the_first(home, world, tmp_path):
    day, other = str(DAYS[0]), None
    with opened(Settings(cache_root="another")) as workspace:
        other = workspace.outputs["skeleton"].partitions
        lists = []
        for publisher, content in ((home, "one"), (other, "two")):
            parts = part_files(parts_of(tmp_path / content, content))
            lists.append(publisher.put(day, parts, listed(parts)))
        assert home.look(day) is None and other.look(day) is None  # parts are no partition
        home.publish(day, lists[0], None)
        other.publish(day, lists[1], None)
        there = {f"skeleton/dt={day}/{part.key}" for part in lists[1].parts}
        assert world.parts() == world.named() == there
        again = other.put(day, parts, listed(parts))  # a task that ran twice
        other.publish(day, again, None)
        other.publish(day, lists[1], None)
        assert world.parts() == world.named() == there


def test_parts_that_are_not_in_the_output_are_never_named(home, world, tmp_path):
    """Of a worker that put them into another store, or that found them published when they are not."""
    day, parts = str(DAYS[0]), part_files(parts_of(tmp_path / "made", "x"))
    put = home.put(day, parts, listed(parts))
    world.store.delete([f"skeleton/dt={day}/{put.parts[1].key}"])
    with pytest.raises(DayError, match="not in the output"):
        home.publish(day, put, None)
    with pytest.raises(Again):
        home.publish(day, listed(parts), None)
    home.refresh()
    assert home.look(day) is None and not world.named()
