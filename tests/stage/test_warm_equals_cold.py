"""Never a stale hit: whatever changes, a warm run leaves the very bytes that a cold one makes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lancedb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from anything import TYPES, Anything, anything, change, day, feed_table, retype
from small import PROJECT

from daedalus.base import digest
from daedalus.base.errors import DaedalusError
from daedalus.inputs.local_files import LocalFiles
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.stagecache.records.file_digests import Stamp
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.settings import Settings

REFUSED = []
ROUNDS = int(os.environ.get("DAEDA_ROUNDS", "6"))  # changes of each world


def run(range: str, cache: str, out: str):
    """What a run leaves: bytes by file, what failed, or why it was refused."""
    try:
        report = run_skeleton_stage(Settings(cache_root=cache, output_root=out), range, allow_empty=True)
    except DaedalusError as error:
        return {}, [], error.one_line()
    return left(out), sorted((f.day, f.step, f.error) for f in report.failures), ""


def left(out: str) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(Path(out).glob("dt=*/*.parquet"))}


@pytest.mark.parametrize("seed", range(6))
def test_a_warm_run_leaves_what_a_cold_one_makes(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    world, done = anything(seed), []
    before = world
    for number in range(ROUNDS):
        world.write(tmp_path)
        warm, failed, refused = run(world.range, "cache", "out")
        shutil.rmtree("cold", ignore_errors=True)
        shutil.rmtree("cold_out", ignore_errors=True)
        if os.path.exists("out/qid_map.parquet"):  # numbers depend on history
            os.mkdir("cold_out")
            shutil.copy("out/qid_map.parquet", "cold_out/qid_map.parquet")
        made, cold_failed, cold_refused = run(world.range, "cold", "cold_out")
        told = f"seed {seed}, round {number}: {done[-6:]}"
        assert refused == cold_refused.replace("cold_out", "out"), told
        if refused:
            REFUSED.append(refused)
            world = before.copy()
        assert failed == cold_failed, told
        days = {name.partition("/")[0][3:] for name in made}
        kept = {name: data for name, data in warm.items() if name[3:13] in days or not failed}
        assert list(kept) == list(made), told
        assert [name for name in made if kept[name] != made[name]] == [], told
        before = world.copy()
        done.append(change(world))


def compare_with_cold(world: Anything, told: object) -> None:
    """Runs warm and cold, and compares all that they leave."""
    world.write(Path())
    warm = run(world.range, "cache", "out")
    for made in ("cold", "cold_out"):
        shutil.rmtree(made, ignore_errors=True)
    cold = run(world.range, "cold", "cold_out")
    assert warm[1:] == cold[1:] == ([], ""), told
    assert list(warm[0]) == list(cold[0]) and [n for n in warm[0] if warm[0][n] != cold[0][n]] == [], told


@pytest.mark.parametrize("column", TYPES)
def test_a_column_of_another_type_and_the_same_values(tmp_path, monkeypatch, column):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    compare_with_cold(world, "at first")
    for kind in [*TYPES[column], TYPES[column][0]]:
        retype(world, world.name if column == "score" else column, kind)
        compare_with_cold(world, kind)


class Meanwhile(Progress):
    """Does something when the inputs have been looked at and nothing was read yet."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do

    def begin(self, *_: object) -> None:
        self._do()


def put_pool(ids: list[int], *, mode: str) -> None:
    rows = pa.table({"artwork_id": pa.array(ids, pa.int64())})
    if mode == "append":
        lancedb.connect("pool").open_table("pool").add(rows)
    else:
        lancedb.connect("pool").create_table("pool", rows, mode="overwrite")


def test_ids_are_those_of_the_version_that_was_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.pool = [0, 1]
    world.write(Path())
    expected = run(world.range, "other", "other_out")
    run_skeleton_stage(Settings(cache_root="cache", output_root="out"), world.range,
                       progress=Meanwhile(lambda: put_pool([2, 3, 4, 5], mode="append")))  # fmt: skip
    assert left("out") == expected[0]
    assert run(world.range, "cache", "out") == run(world.range, "cold", "cold_out") != expected


def test_a_pool_that_is_replaced_while_it_is_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.pool = [0, 1]
    world.write(Path())

    def replace() -> None:
        shutil.rmtree("pool")
        put_pool([2, 3, 4, 5], mode="overwrite")

    with pytest.raises(DaedalusError, match="changed while it was being read"):
        run_skeleton_stage(Settings(cache_root="cache", output_root="out"), world.range, progress=Meanwhile(replace))
    assert run(world.range, "cache", "out") == run(world.range, "cold", "cold_out")


@pytest.mark.parametrize("path", ["catalog/Items/a.parquet", "feed/dt=2026-02-01/a.parquet"])
def test_a_file_that_is_replaced_while_it_is_read_is_told(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.write(Path())

    def replace() -> None:
        pq.write_table(pq.ParquetFile(path).read().slice(1), path)

    settings, progress = Settings(cache_root="cache", output_root="out"), Meanwhile(replace)
    if path.startswith("feed"):
        report = run_skeleton_stage(settings, world.range, allow_empty=True, progress=progress)
        assert [f for f in report.failures if "changed while it was being read" in f.error]
    else:
        with pytest.raises(DaedalusError, match="changed while it was being read"):
            run_skeleton_stage(settings, world.range, allow_empty=True, progress=progress)
    assert run(world.range, "cache", "out") == run(world.range, "cold", "cold_out")


def test_a_file_that_was_young_is_read_again(tmp_path):
    """Two writes in one tick of the clock leave one stamp."""
    path = tmp_path / "file"
    path.write_bytes(b"second")
    files, stamp, first = LocalFiles(None, None), Stamp.of(path), digest.of_bytes(b"first!")
    assert not files.is_still(str(path), first, stamp, stamp.mtime_ns + 1)
    assert files.is_still(str(path), digest.of_bytes(b"second"), stamp, stamp.mtime_ns + 1)
    assert files.is_still(str(path), first, stamp, stamp.mtime_ns + 10**10)  # that old, the stamp would tell


def test_a_qid_map_that_is_replaced_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(0)
    world.write(Path())
    run(world.range, "cache", "out")
    shutil.copy("out/qid_map.parquet", "older.parquet")
    world.feed[f"dt={day(1)}/more.parquet"] = feed_table(world.rng, 1, sessions=True)
    world.write(Path())

    def replace() -> None:
        table = pq.read_table("older.parquet")
        pq.write_table(table.slice(1), "out/qid_map.parquet")

    report = run_skeleton_stage(Settings(cache_root="cache", output_root="out"), world.range,
                                progress=Meanwhile(replace))  # fmt: skip
    assert {failure.step for failure in report.failures} == {"qids"}
    assert "the qid map was replaced during the run" in report.failures[0].error


ENVIRONMENTS = {
    "zone, locale, hashes": {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"},
    "plain C, no asserts": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONOPTIMIZE": "2", "PYTHONHASHSEED": "0"},
    "numba, allocators, threads": {"NUMBA_DISABLE_JIT": "1", "ARROW_DEFAULT_MEMORY_POOL": "system",
                                   "OMP_NUM_THREADS": "5", "NUMBA_NUM_THREADS": "1", "ARROW_USER_SIMD_LEVEL": "NONE"},
}  # fmt: skip


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment_is_no_input(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    world = anything(0)
    world.write(Path())
    expected = run(world.range, "cache", "out")
    command = [sys.executable, "-m", "daedalus", "skeleton", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **ENVIRONMENTS[name]}
    if "PYTHONOPTIMIZE" in environment:  # else both runs compile all that they import
        environment = {**environment, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")}
    steps = []
    for roots in (
        ["--cache-root", "cold", "--output-root", "cold_out"],
        ["--cache-root", "cache", "--output-root", "out"],
    ):
        old = os.umask(0o077)
        try:
            done = subprocess.run([*command, *roots], env=environment, capture_output=True, text=True)
        finally:
            os.umask(old)
        assert done.returncode == 0, done.stderr
        steps.append(json.loads(done.stdout)["steps"])
    assert left("cold_out") == expected[0]
    assert steps[1]["computed"] == steps[1]["unchanged"] == 0


def test_the_order_of_a_folder_is_no_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.feed[f"dt={day(0)}/b.parquet"] = feed_table(world.rng, 0, sessions=False)
    world.write(Path())
    expected = run(world.range, "cache", "out")
    listdir, scandir = os.listdir, os.scandir
    monkeypatch.setattr(os, "listdir", lambda *path: listdir(*path)[::-1])
    monkeypatch.setattr(os, "scandir", lambda *path: contextlib.nullcontext(list(scandir(*path))[::-1]))
    assert run(world.range, "cold", "cold_out") == expected


def test_a_mapping_to_another_column_of_the_same_type_is_no_hit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    for path, table in world.feed.items():
        for name in ("other", "third"):
            values = pa.array([world.rng.randrange(6) for _ in range(table.num_rows)], pa.int64())
            table = table.append_column(name, values)
        numbers = table["event_timestamp"].cast(pa.int64())
        world.feed[path] = table.append_column("ts", numbers)
    seen = set()
    for feed in ({}, {"columns": {"artwork_id": "other"}}, {"columns": {"artwork_id": "third"}},
                 {"columns": {"artwork_id": "other", "user_id": "third"}}, {"columns": {"artwork_id": "artwork_id"}},
                 {"columns": {"event_timestamp": "ts"}, "timestamp_unit": "us"}):  # fmt: skip
        world.catalog["feed"] = {"path": "feed", **feed}
        compare_with_cold(world, feed)
        seen.add(str(sorted(left("out").items())))
    assert len(seen) == 4  # the first, said again, and with times as numbers
