"""Crashes: whatever happens at whatever moment, a rerun ends in the bytes of an undisturbed run."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from crashes import Crash, Faults
from enrich_tiny import DAYS as ENRICHED_DAYS
from enrich_tiny import RANGE as RANGE_OF_BOTH
from enrich_tiny import TinyWorld
from small import DAYS, PROJECT, RANGE, Small, edit, make, nothing_ran

from daedalus.base import digest, durable
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.full_disk import OutOfSpace

KILLS = int(os.environ.get("DAEDA_KILLS", "3"))
DATASETS = "data/*/_dataset.json"
STRIDE = int(os.environ.get("DAEDA_FAULT_STRIDE", "11"))  # 1 tries every boundary


@pytest.fixture(scope="module")
def tiny_template(tmp_path_factory) -> Path:
    """Two days under a short config: few boundaries, each of every kind."""
    root = tmp_path_factory.mktemp("tiny")
    make(root, "--start", "2026-01-30", "--end", "2026-02-02", "--rows", "60", "--users", "6", "--artworks", "30")
    world = Small(root)
    edit(
        world.runtime,
        spine__lookback_days=1,
        feature_refs=["artwork_properties:author_id"],
        enrich=["artwork_properties:author_id"],
        ages={},
        animated_model_type=None,
        content_filter={"drop": {"artwork_type": ["ANIMATED_ARTWORK"]}},
        output_columns=["user_id", "artwork_id", "event_timestamp", "event", "author_id", "likes_1d", "dislikes"],
    )
    likes = {"name": "likes", "events": ["like"], "column": "author_id", "agg": "distinct", "windows": ["1d"]}
    dislikes = {
        "name": "dislikes",
        "events": ["dislike_click"],
        "column": "artwork_id",
        "agg": "list",
        "windows": "cumulative",
    }
    world.edit_aggregations(lambda specs: specs.__setitem__(slice(None), [likes, dislikes]))
    return root


def run_tiny(world: Small):
    return world.run("2026-02-01..2026-02-02", resume=True)


class Both(TinyWorld):
    """A world with enriched partitions, after changes for which most steps of both stages run again."""

    def __init__(self, template: Path, root: Path) -> None:
        shutil.copytree(template, root)
        super().__init__(root)
        self.before = self.bytes()
        edit(self.runtime, entity_spine_chunk_rows=5, feature_refs=["art:score"])
        self.embeddings(dtype="float16")
        self.pool.append([(3, [1.0, 2.0, 3.0])])

    def go(self):
        return self.run(f"{ENRICHED_DAYS[1]}..{ENRICHED_DAYS[2]}", resume=True)

    def bytes(self) -> dict[str, bytes]:
        """What is published, with what says so."""
        files = [*self.root.glob("data/*/dt=*/part-*"), *self.root.glob("data/*/*.parquet"), *self.root.glob(DATASETS)]
        return {str(path.relative_to(self.root / "data")): path.read_bytes() for path in sorted(files)}

    def partitions(self, files: dict[str, bytes]) -> set[tuple]:
        """Each partition, with all its parts."""
        found: dict[str, list] = {}
        for name, data in files.items():
            if name.startswith(("skeleton/dt=", "enriched/dt=")):
                found.setdefault(name.rpartition("/")[0], []).append((name, data))
        return {tuple(parts) for parts in found.values()}


class SkeletonAlone(Small):
    def __init__(self, template: Path, root: Path) -> None:
        shutil.copytree(template, root)
        super().__init__(root)

    def go(self):
        return run_tiny(self)


def stages_beside(world: TinyWorld) -> bool:
    """Whether each partition has an enriched one beside it, with its parts, rows and values."""
    days = [{path.name for path in root.glob("dt=*")} for root in (world.output, world.enriched)]
    return days[0] == days[1] and not world.days_apart()


def between_two_swaps(faults: Faults) -> set[str]:
    """Days of which the skeleton's partition was swapped, and the enriched one not yet."""
    swapped = [Path(arguments[1]) for name, arguments in faults.done if name == "_exchange"]
    return {path.name for path in swapped if path.parent.name == "skeleton"} - {
        path.name for path in swapped if path.parent.name == "enriched"
    }


@pytest.mark.parametrize(("kind", "stride", "least"), [(SkeletonAlone, STRIDE, 60), (Both, 3 * STRIDE, 50)])
def test_a_crash_at_any_boundary_is_mended_by_a_rerun(kind, stride, least, request, tmp_path, monkeypatch):
    template = request.getfixturevalue("tiny_template" if kind is SkeletonAlone else "tiny_enriched_template")
    first, undisturbed = kind(template, tmp_path / "first"), kind(template, tmp_path / "whole")
    monkeypatch.chdir(first.root)
    first.go()  # the first run of a process may compile the kernel, and writes files for that
    monkeypatch.chdir(undisturbed.root)
    with monkeypatch.context() as patch:
        faults = Faults(patch, 0, "count")
        undisturbed.go()
    expected, boundaries = undisturbed.bytes(), faults.calls
    assert boundaries > least
    assert kind is SkeletonAlone or stages_beside(undisturbed)
    points = reached = apart = 0
    for mode in ("before", "after", "half"):
        for at in range(1 + points % stride, boundaries + 1, stride):
            points += 1
            world = kind(template, tmp_path / f"{mode}-{at}")
            monkeypatch.chdir(world.root)
            with monkeypatch.context() as patch, contextlib.suppress(Crash):
                faults = Faults(patch, at, mode)
                world.go()
            # How many results are synced together depends on the moment, so a run may have a few boundaries fewer.
            assert faults.dead or faults.calls < at
            reached += faults.dead
            whole_parquets(world)
            if kind is Both:  # a partition is the old one or the new one, with all its parts
                old_and_new = world.partitions(world.before) | world.partitions(expected)
                assert world.partitions(world.bytes()) <= old_and_new
                assert world.days_apart() <= between_two_swaps(faults)
                apart += bool(world.days_apart())
            report = world.go()
            # Unfinished files stay: this process, which made them, is not dead.
            left = {name: data for name, data in world.bytes().items() if not name.startswith(".daeda-")}
            assert not report.failures and left == expected, f"{mode} boundary {at} of {boundaries}"
            assert nothing_ran(world.go())
            shutil.rmtree(world.root)
    assert reached > 0.8 * points
    print(f"{reached} of {points} points tried, {boundaries} boundaries x 3 modes; stages apart at {apart}")


def copy(template: Path, root: Path) -> Small:
    shutil.copytree(template, root)
    return Small(root)


def whole_parquets(world: Small) -> None:
    """Everything under a final name is a whole file; tmp folders and staging do not count."""
    for path in [*world.root.glob("data/*/dt=*/*.parquet"), *world.output.glob("*.parquet")]:
        pq.ParquetFile(path).read()


def test_files_are_on_disk_before_they_are_trusted(tiny_template, tmp_path, monkeypatch):
    """Power loss keeps what was synced: of outputs the content before its rename, of artifacts before their traces and
    digests, and the folder after it."""
    world = copy(tiny_template, tmp_path / "world")
    monkeypatch.chdir(world.root)
    synced: set[Path] = set()
    unsynced_folders: set[Path] = set()
    problems = []
    real_sync, real_replace, real_rename = os.fsync, os.replace, os.rename

    def sync(handle):
        path = Path(f"/proc/self/fd/{handle}").resolve()
        synced.add(path)
        unsynced_folders.discard(path)
        real_sync(handle)

    def moved(real):
        def move(source, target):
            source_path = Path(source).resolve()
            needed = {source_path, *(source_path.iterdir() if source_path.is_dir() else ())}
            elsewhere = Path(target).resolve().parent != source_path.parent
            if elsewhere and "artifacts" not in Path(target).parts and not needed <= synced:
                problems.append((source, target))
            real(source, target)
            unsynced_folders.add(Path(target).resolve().parent)

        return move

    real_write, real_digests = Traces.write, Traces.remember_files

    def write(self, durable):
        real_write(self, durable)
        artifacts = {path.resolve() for path in world.root.glob("cache/artifacts/*/*")}
        traced = {artifact for (artifact,) in self.rows("select artifact from traces")}
        problems.extend(path for path in artifacts - synced if path.stem in traced)

    def remember_files(self, rows):
        rows = list(rows)
        problems.extend(row[0] for row in rows if "/artifacts/" in row[0] and Path(row[0]).resolve() not in synced)
        real_digests(self, rows)

    monkeypatch.setattr(Traces, "write", write)
    monkeypatch.setattr(Traces, "remember_files", remember_files)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", moved(real_replace))
    monkeypatch.setattr(os, "rename", moved(real_rename))
    run_tiny(world)
    assert problems == [] and [folder for folder in unsynced_folders if folder.is_relative_to(world.root)] == []
    assert len(synced) > 50


@pytest.mark.parametrize("advice", ["taken", "refused", "unknown"])
def test_many_files_are_synced_and_those_that_are_gone_passed_over(tmp_path, monkeypatch, advice):
    paths = [tmp_path / str(i) for i in range(2 * durable._OPEN + 1)]
    for path in paths[1:]:
        path.touch()
    synced: list[Path] = []
    failing: set[Path] = set()

    def sync(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").resolve())
        if synced[-1] in failing:
            raise OSError(errno.EIO, "no")

    def refuse(*_):
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "fsync", sync)
    if advice == "unknown":
        monkeypatch.delattr(os, "posix_fadvise")
    if advice == "refused":
        monkeypatch.setattr(os, "posix_fadvise", refuse)
    opened = os.listdir("/proc/self/fd")
    durable.sync_all([*paths, tmp_path])
    assert synced == [*paths[1:], tmp_path]
    failing.add(paths[5])
    with pytest.raises(OSError, match=f"{paths[5]}'$"):
        durable.sync_all(paths)
    assert os.listdir("/proc/self/fd") == opened


class Watch(threading.Thread):
    """Reads every visible partition again and again; a torn one is a problem."""

    def __init__(self, world: Small) -> None:
        super().__init__(daemon=True)
        self.world, self.problems, self.stop, self.reads = world, [], False, 0

    def run(self) -> None:
        while not self.stop:
            time.sleep(0.005)
            try:
                for path in list(self.world.output.glob("dt=*/*.parquet")):
                    with pq.ParquetFile(path) as file:
                        file.read_row_groups([], use_threads=False)
                    self.reads += 1
            except FileNotFoundError:
                pass  # replaced or removed between the listing and the open
            except Exception as error:
                self.problems.append(error)


def test_kill_at_any_moment_then_fresh_or_resumed(warm):
    expected = warm.bytes()
    chance = random.Random(11)
    watch = Watch(warm)
    watch.start()
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    for i in range(KILLS):
        for made in ("cache", "data/training_output"):
            shutil.rmtree(warm.root / made, ignore_errors=True)
        for attempt in range(3):
            resume = ["--resume"] if (i + attempt) % 2 else []
            command = [sys.executable, "-m", "daedalus", "skeleton", "--range", RANGE, "--progress", "none"]
            command += ["--day-workers", str(1 + i % 2), *resume]
            process = subprocess.Popen(command, cwd=warm.root, env=environment, stdout=subprocess.DEVNULL)
            if attempt < 2:
                time.sleep(chance.uniform(0.1, 2.5))
                process.send_signal(signal.SIGKILL)
            assert process.wait() in (0, -signal.SIGKILL)
        assert warm.bytes() == expected, f"kill {i}"
    watch.stop = True
    watch.join()
    assert watch.problems == [] and watch.reads > 0
    assert not list(warm.root.rglob(".daeda-*"))
    print(f"{2 * KILLS} kills, {watch.reads} reads of visible parts meanwhile")


def test_kill_at_any_moment_over_both_stages(tiny_enriched_template, tmp_path):
    """Fresh, and over what is there; then finished by a run that resumes, or by one that does not know."""
    chance = random.Random(3)
    template = Both(tiny_enriched_template, tmp_path / "template")
    enriching(template, RANGE_OF_BOTH).wait()
    expected = template.bytes()
    for i in range(2):
        world = Both(tiny_enriched_template, tmp_path / f"world-{i}")
        for made in ("cache", "data/skeleton", "data/enriched") if i else ():
            shutil.rmtree(world.root / made)
        for _ in range(2):
            killed = enriching(world, RANGE_OF_BOTH)
            time.sleep(chance.uniform(0.5, 2.5))
            killed.send_signal(signal.SIGKILL)
            assert killed.wait() in (0, -signal.SIGKILL)
            whole_parquets(world)
            assert len(world.days_apart()) <= 1  # the one that was about to be swapped
        assert enriching(world, RANGE_OF_BOTH, *([] if i else ["--resume"])).wait() == 0
        assert world.bytes() == expected and stages_beside(world)
        assert not list(world.root.rglob(".daeda-*"))


def test_a_run_with_nothing_to_do_sweeps_what_a_dead_one_left(tiny_enriched_template, tmp_path, monkeypatch):
    """One that was killed when all was done and recorded, but its own folders not yet removed."""
    world = Both(tiny_enriched_template, tmp_path / "world")
    monkeypatch.chdir(world.root)
    world.go()
    for folder in ("data/skeleton/.daeda-1-0123abcd", "data/enriched/.daeda-1-0123abcd", "cache/tmp/run-1-0123abcd"):
        (world.root / folder).mkdir()
        (world.root / folder / "lock").touch()
        (world.root / folder / f"{digest.of_text('half')}.parquet").touch()
    assert nothing_ran(world.go())
    assert not [*world.root.rglob("*-1-0123abcd")]


def enriching(world: TinyWorld, range: str, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "daedalus", "enrich", "--range", range, "--progress", "none", *more]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(command, cwd=world.root, env=environment, stdout=subprocess.DEVNULL)


FIRST_WEEK = f"{DAYS[0]}..{DAYS[6]}"


def first_week(world: Small) -> dict[str, bytes]:
    """The bytes of its partitions."""
    return {name: data for name, data in world.bytes().items() if name[3:13] in map(str, DAYS[:7])}


def emptied(world: Small) -> dict[str, bytes]:
    """The partitions of the world's first week; then its cache and output are taken away."""
    expected = first_week(world)
    for made in ("cache", "data/training_output"):
        shutil.rmtree(world.root / made)
    return expected


def test_four_at_once_share_the_work(warm):
    expected = emptied(warm)
    processes = [start(warm, FIRST_WEEK) for _ in range(4)]
    found = [finish(process) for process in processes]
    assert first_week(warm) == expected != {}
    alone = sum(found[0]["steps"].values())
    computed = sum(one["steps"]["computed"] + one["steps"]["unchanged"] for one in found)
    assert alone <= computed <= 1.05 * alone
    print(f"{alone} steps, {computed} computed by four")


def test_one_of_four_killed_the_others_finish(warm):
    expected = emptied(warm)
    ranges = [FIRST_WEEK, FIRST_WEEK, f"{DAYS[0]}..{DAYS[4]}", FIRST_WEEK]
    processes = [start(warm, range) for range in ranges]
    time.sleep(2)
    processes[1].send_signal(signal.SIGKILL)
    processes[1].wait()
    for i in (0, 2, 3):
        finish(processes[i])
    assert first_week(warm) == expected


def start(world: Small, range: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "daedalus", "skeleton", "--range", range, "--json", "--progress", "none"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        command, cwd=world.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> dict:
    import json

    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out)


@contextlib.contextmanager
def small_disk(disk: Path, size: str) -> Iterator[None]:
    """A disk of its own at a new folder."""
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(("size", "where"), [("20k", f"enriched@{ENRICHED_DAYS[2]}"), ("28k", "that describes")])
def test_a_full_disk_of_enriched_partitions_is_named(tiny_enriched_template, tmp_path, monkeypatch, size, where):
    """It has room for two days of three, or for all days and no more."""
    world = TinyWorld(Path(shutil.copytree(tiny_enriched_template, tmp_path / "world")))
    monkeypatch.chdir(world.root)
    expected = world.bytes()
    shutil.rmtree(world.enriched)
    with small_disk(world.enriched, size):
        with pytest.raises(OutOfSpace) as full:
            world.run()
        assert full.value.exit_code == 1 and full.value.where == "embeddings.output_root: data/enriched"
        assert where in full.value.found and "resume" in full.value.hint
        subprocess.run(["mount", "-o", "remount,size=200m", str(world.enriched)], check=True)
        assert world.run(None, resume=True).exit_code == 0 and world.bytes() == expected
        assert (world.enriched / "_dataset.json").exists()


def test_a_full_disk_stops_with_a_message_and_resume_goes_on(warm, tmp_path):
    expected = warm.bytes()
    disk = tmp_path / "disk"
    with small_disk(disk, "2m"):
        for made in ("cache", "data/training_output"):
            shutil.rmtree(warm.root / made)
            (warm.root / made).symlink_to(disk / made.replace("/", "_"))
            (disk / made.replace("/", "_")).mkdir()
        full = warm.cli("skeleton", "--range", RANGE, "--progress", "none")
        assert full.returncode == 1, full.stderr
        assert "a disk is full" in full.stderr and "--resume" in full.stderr and "Traceback" not in full.stderr
        whole_parquets(warm)
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        assert warm.cli("skeleton", "--resume", "--progress", "none").returncode == 0
        assert warm.bytes() == expected
