"""Folders that others use too: nothing of theirs is deleted, replaced or written through."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

import pytest
from anything import anything, day
from test_stale import run

from daedalus.durable import open_lock, write_whole
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.pipelines.workspace import Settings
from daedalus.skeleton.copies import Copies
from daedalus.stagecache.locks import KeyLocks
from daedalus.stagecache.store import Scratch, Store
from daedalus.watching import TraceFile

OLD = time.time() - 10_000


def strange(folder: Path, *, lock: bytes | None = None) -> Path:
    """A folder of somebody, an hour old, with a file in it; `lock` is what its file of that name says."""
    folder.mkdir(parents=True)
    (folder / "theirs").write_text("precious")
    if lock is not None:
        (folder / "lock").write_bytes(lock)
    os.utime(folder, (OLD, OLD))
    return folder


@pytest.mark.parametrize("prefix", ["spill-", "run-", ".daeda-"])
def test_only_what_dead_processes_of_ours_left_is_swept(tmp_path, prefix):
    ours = Scratch(tmp_path, prefix)
    dead = ours.folder
    (dead / "half.parquet").write_bytes(b"PAR1")
    os.close(ours._lock)  # as when its process dies
    theirs = [
        strange(tmp_path / f"{prefix}of-last-winter"), strange(tmp_path / f"{prefix}12-0123abcd"),
        strange(tmp_path / f"{prefix}13-0123abcd", lock=b""), strange(tmp_path / f"{prefix}14-0123abcd", lock=b"mine"),
        strange(tmp_path / f"{prefix}x-0123abcd", lock=(dead / "lock").read_bytes()),
    ]  # fmt: skip
    elsewhere = strange(tmp_path / "elsewhere", lock=(dead / "lock").read_bytes())
    (tmp_path / f"{prefix}15-0123abcd").symlink_to(elsewhere)
    assert Scratch(tmp_path, prefix).folder.is_dir()
    assert not dead.exists()
    assert all((folder / "theirs").read_text() == "precious" for folder in [*theirs, elsewhere])


def test_what_is_removed_from_a_cache_has_a_name_of_ours(tmp_path):
    locks = tmp_path / "locks"
    for name in ("locks/their.lock", "artifacts/ab/notes.parquet", "fetched/ab/thesis.doc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("precious")
    KeyLocks(locks).release_all()
    store = Store(tmp_path, Scratch(tmp_path / "tmp"), None)
    assert list(store.artifacts()) == [] and store.sizes() == {}
    copies = Copies(tmp_path / "fetched", 0)
    (tmp_path / "new").write_bytes(b"12345")
    copies.keep(tmp_path / "new", "ab" * 16)
    assert [path.name for path in (tmp_path / "fetched").rglob("*") if path.is_file()] == ["thesis.doc"]
    assert (locks / "their.lock").exists()


def test_lock_files_follow_no_link_and_run_nothing(tmp_path):
    target = tmp_path / "target"
    (tmp_path / "planted").symlink_to(target)
    with pytest.raises(OSError):
        open_lock(tmp_path / "planted")
    assert not target.exists()
    os.close(open_lock(tmp_path / "lock"))
    assert not stat.S_IMODE((tmp_path / "lock").stat().st_mode) & 0o111


def test_nothing_that_a_run_makes_is_executable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(0)
    world.write(Path())
    run(world.range, "cache", "out")
    made = [path for root in ("cache", "out") for path in Path(root).rglob("*") if path.is_file()]
    assert made and not [path for path in made if path.stat().st_mode & 0o111]


def test_a_file_is_put_in_place_of_a_link_and_not_through_it(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    (tmp_path / "trace.json").symlink_to(theirs)
    (tmp_path / f".trace.json.{os.getpid()}").symlink_to(theirs)
    TraceFile(tmp_path / "trace.json").end()
    write_whole(tmp_path / "page.html", b"page")
    assert theirs.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.is_symlink()) == [
        "page.html",
        "theirs",
        "trace.json",
    ]


@pytest.fixture
def done(tmp_path, monkeypatch):
    """A world that has been run, and then edited so that all partitions are to be replaced."""
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.write(Path())
    run(world.range, "cache", "out")
    world.runtime["output_columns"].append({"name": "more", "default": 1})
    world.write(Path())
    return world


def partition(number: int) -> Path:
    return Path("out") / f"dt={day(number)}"


@pytest.mark.parametrize("name", ["notes.txt", "_SUCCESS", "other.parquet", "part-0-0.parquet.bak", "folder/x"])
def test_a_partition_with_files_of_others_is_not_replaced(done, name):
    (partition(1) / name).parent.mkdir(exist_ok=True)
    (partition(1) / name).write_text("precious")
    part = (partition(1) / "part-0-0.parquet").read_bytes()
    _, failed, _ = run(done.range, "cache", "out")
    assert [(when, step) for when, step, _ in failed] == [(str(day(1)), "chunk")]
    assert "holds files that are not ours" in failed[0][2] and name.partition("/")[0] in failed[0][2]
    assert (partition(1) / name).read_text() == "precious"
    assert (partition(1) / "part-0-0.parquet").read_bytes() == part
    report = run_skeleton_stage(Settings(cache_root="cache", output_root="out"), done.range, adopt=True)
    assert not report.failures and not (partition(1) / name).exists()


def test_what_a_desktop_leaves_is_in_nobodys_way(done):
    for name in (".DS_Store", "._part-0-0.parquet"):
        (partition(1) / name).write_bytes(b"\0")
    assert run(done.range, "cache", "out")[1:] == ([], "")


def test_an_empty_days_partition_with_files_of_others_stays(done):
    (partition(2) / "notes.txt").write_text("precious")
    for path in [path for path in done.feed if str(day(2)) in path]:
        del done.feed[path]
    done.write(Path())
    _, failed, _ = run(done.range, "cache", "out")
    assert [(when, step) for when, step, _ in failed] == [(str(day(2)), "chunk")]
    assert (partition(2) / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_partition_that_is_no_folder_stays(done, kind):
    elsewhere = shutil.move(partition(1), "elsewhere")
    if kind == "link":
        partition(1).symlink_to(Path(elsewhere).absolute())
    else:
        partition(1).write_text("precious")
    _, failed, _ = run(done.range, "cache", "out")
    assert [when for when, *_ in failed] == [str(day(1))]
    assert partition(1).is_symlink() if kind == "link" else partition(1).read_text() == "precious"
    assert Path(elsewhere).is_dir()
