"""Other people's files: what is not ours is never deleted, overwritten or written through."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from pathlib import Path

import pytest
from small import DAYS

from daedalus.base import digest, durable
from daedalus.base.errors import DaedalusError, DayError
from daedalus.objectstore.copies import Copies
from daedalus.output.local_map import LocalMap
from daedalus.output.partitions import Partitions
from daedalus.report.page import check_out
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.key_locks import KeyLocks
from daedalus.stagecache.records.traces import Traces
from daedalus.upkeep.gc import cache_gc
from daedalus.watch.perfetto import TraceFile
from daedalus.workspace.settings import Settings


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def make(folder: Path, *files: str, content: str = "") -> None:
    """Files that are an hour old, in folders that are."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    for path in [*folder.rglob("*")]:
        os.utime(path, (time.time() - 3600,) * 2)


def sweep(folder: Path, prefix: str) -> None:
    scratch = Scratch(folder, prefix)
    _ = scratch.folder
    scratch.close()


@pytest.mark.parametrize("prefix", ["run-", "spill-", ".daeda-"])
def test_a_sweep_leaves_what_is_not_ours(tmp_path, prefix):
    theirs = ["2026/important", "12-0123abcd/important", "of_mine", "13-0123abcd/lock", "13-0123abcd/notes.txt",
              "14-0123ABCD/lock", "abc-01234567/lock"]  # fmt: skip
    theirs = [prefix + name for name in theirs]
    make(tmp_path, *theirs)
    make(tmp_path / f"{prefix}15-0123abcd", "lock", "notes", content="a lock of theirs")
    make(tmp_path / "elsewhere", "lock")
    (tmp_path / f"{prefix}16-0123abcd").symlink_to(tmp_path / "elsewhere")
    before = everything(tmp_path)
    sweep(tmp_path, prefix)
    assert everything(tmp_path) == before


def test_a_sweep_takes_what_dead_processes_left(tmp_path):
    """Also what version 0.2 left, whose locks say nothing, and a folder that was only just made when its maker died."""
    half = digest.of_text("half")
    dead = Scratch(tmp_path)
    (dead.folder / "of any name").write_text("half")
    make(tmp_path, "run-1-0123abcd/lock", f"run-1-0123abcd/{half}.parquet", f"run-1-0123abcd/{half}.columns/1")
    (tmp_path / "run-2-0123abcd").mkdir()
    os.utime(tmp_path / "run-2-0123abcd", (0, 0))
    os.close(dead._lock)
    living = Scratch(tmp_path)
    _ = living.folder
    sweep(tmp_path, "run-")
    assert list(tmp_path.iterdir()) == [living.folder]
    living.close()


def test_a_place_in_which_nothing_stays_ends_in_a_message(tmp_path, monkeypatch):
    """It was tried for ever."""
    with pytest.raises(DaedalusError, match="cannot be written"):
        _ = Scratch(Path("/proc/daeda")).folder
    monkeypatch.setattr(Path, "exists", lambda self: False)
    with pytest.raises(DaedalusError, match="disappear"):
        _ = Scratch(tmp_path).folder


@pytest.fixture
def store(tmp_path):
    traces, scratch = Traces(tmp_path / "traces.db"), Scratch(tmp_path / "tmp")
    yield ArtifactStore(tmp_path, scratch, FileDigests(traces))
    scratch.close()
    traces.close()


def test_only_files_of_our_names_are_artifacts(store, tmp_path):
    one, other = digest.of_text("one"), digest.of_text("other")
    make(
        tmp_path / "artifacts",
        f"{one[:2]}/{one}.parquet",
        f"{other[:2]}/{one}.parquet",
        "ab/abc.parquet",
        "x/y.parquet",
    )
    make(tmp_path / "damaged", f"{one}.parquet", "mine.parquet")
    assert [name for name, _ in store.artifacts()] == [one] == list(store.sizes())
    assert [path.stem for path in store.damaged()] == [one]


def test_gc_deletes_nothing_of_anybody_else(warm):
    theirs = ["artifacts/ab/abc.parquet", "damaged/mine.parquet", "notes.txt", "artifacts/ab/deep/x.parquet"]
    make(warm.root / "cache", *theirs)
    cache_gc(Settings())
    assert all((warm.root / "cache" / name).exists() for name in theirs)


def test_copies_that_are_not_ours_stay(tmp_path):
    make(
        tmp_path / "fetched",
        "mine",
        "ab/mine",
        "ab/cd/mine",
        "new-mine",
        f"ab/{digest.of_text('x')}x",
        content="x" * 99,
    )
    before = everything(tmp_path / "fetched")
    copies = Copies(tmp_path / "fetched", 100)
    for number in range(4):
        made = tmp_path / f"file{number}"
        made.write_text(f"{number}" * 60)
        copies.keep(made, digest.of_file(made))
    there = everything(tmp_path / "fetched")
    assert before <= there and len([name for name in there - before if digest.is_digest(name[3:])]) < 4


def test_locks_are_not_taken_through_a_link(tmp_path):
    (tmp_path / "locks").symlink_to(tmp_path / "new")
    with pytest.raises(DaedalusError, match="lock file"):
        KeyLocks(tmp_path / "locks").acquire(digest.of_text("key"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_lock_is_a_plain_file(tmp_path, kind):
    path = tmp_path / "lock"
    {"link": lambda: path.symlink_to(tmp_path / "new"), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises(DaedalusError, match="a lock file cannot be opened"):
        durable.open_lock(path)
    assert not (tmp_path / "new").exists()


def test_nothing_that_is_written_can_be_executed(warm):
    """Locks were; and a colleague may read what the umask lets him read, by whatever way a file came."""
    before = os.umask(0o022)
    try:
        (warm.root / "data/training_output/.qid_map.lock").unlink(missing_ok=True)
        (warm.root / "cache/in-use").unlink()
        assert warm.run(cache_root="new/cache", output_root="new/output").exit_code == 0
        TraceFile(warm.root / "new/trace.json")
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (warm.root / "new").rglob("*")}
    assert {str(path): oct(mode) for path, mode in modes.items() if mode != (0o755 if path.is_dir() else 0o644)} == {}


def test_a_planted_link_beside_a_trace_is_not_followed(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.write_text("mine")
    (tmp_path / f".trace.json.{os.getpid()}").symlink_to(theirs)
    TraceFile(tmp_path / "trace.json").end()
    assert theirs.read_text() == "mine" and "traceEvents" in json.loads((tmp_path / "trace.json").read_text())


def test_a_file_that_is_written_takes_the_place_of_a_plain_file_alone(tmp_path):
    (tmp_path / "file").write_text("old")
    durable.write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_text() == "new"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    before = everything(tmp_path)
    for name in ("link", "broken", "pipe", "folder"):
        with pytest.raises(OSError, match="plain"):
            durable.write_file(tmp_path / name, b"other")
        with pytest.raises(DaedalusError, match="--trace"):
            TraceFile(tmp_path / name)
        with pytest.raises(DaedalusError, match="--out"):
            check_out(str(tmp_path / name))
    assert everything(tmp_path) == before and (tmp_path / "file").read_text() == "new"


def test_a_write_that_fails_leaves_nothing_beside(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="space"):
        durable.write_file(tmp_path / "file", b"new")
    assert everything(tmp_path) == set()


@pytest.fixture
def partitions(tmp_path):
    traces, staging = Traces(tmp_path / "traces.db"), Scratch(tmp_path / "out", ".daeda-")
    yield Partitions(tmp_path / "out", staging, FileDigests(traces))
    staging.close()
    traces.close()


def put(partitions, text: str, day: str = "2026-01-01") -> None:
    staged = partitions.stage(f"chunk@{day}")
    make(staged, "part-0-0.parquet", content=text)
    partitions.keep(f"chunk@{day}", staged)


def test_parts_of_ours_and_what_systems_leave_are_replaced(partitions):
    put(partitions, "one")
    folder = partitions.path("2026-01-01")
    make(
        folder, "part-7-0.parquet", ".DS_Store", "._part-0-0.parquet", ".nfs0001", ".part-0-0.parquet.crc", "Thumbs.db"
    )
    put(partitions, "two")
    assert everything(folder) == {"part-0-0.parquet"} and (folder / "part-0-0.parquet").read_text() == "two"
    assert partitions.remove("2026-01-01") and not folder.exists()


THEIRS = ["notes.txt", "extra.parquet", "_SUCCESS", ".git/config", "sub/part-0-0.parquet", "part-0-0.parquet.bak",
          "part-0-1.parquet", "._theirs/file"]  # fmt: skip


@pytest.mark.parametrize("theirs", THEIRS)
def test_a_partition_with_files_of_others_is_neither_replaced_nor_removed(partitions, theirs):
    put(partitions, "one")
    folder = partitions.path("2026-01-01")
    make(folder, theirs)
    before = everything(folder)
    for change in (lambda: put(partitions, "two"), lambda: partitions.remove("2026-01-01")):
        with pytest.raises(DayError) as refused:
            change()
        assert theirs.split("/")[0] in str(refused.value.found) and "--adopt" in refused.value.hint
    assert everything(folder) == before and (folder / "part-0-0.parquet").read_text() == "one"
    partitions._adopt = True
    put(partitions, "two")
    assert everything(folder) == {"part-0-0.parquet"} and (folder / "part-0-0.parquet").read_text() == "two"


def test_files_that_come_while_the_day_is_made_are_seen(partitions):
    put(partitions, "one")
    staged = partitions.stage("chunk@2026-01-01")
    make(staged, "part-0-0.parquet", content="two")
    make(partitions.path("2026-01-01"), "notes.txt")
    with pytest.raises(DayError):
        partitions.keep("chunk@2026-01-01", staged)
    assert (partitions.path("2026-01-01") / "notes.txt").exists()


@pytest.mark.parametrize("kind", ["link", "broken link", "link of a part", "file"])
def test_what_is_no_folder_is_not_replaced(partitions, tmp_path, kind):
    folder, away = partitions.path("2026-01-01"), tmp_path / "away"
    make(away, "part-0-0.parquet", content="theirs")
    make(partitions.root, "dt=2026-01-01" if kind == "file" else "other")
    if kind == "link of a part":
        folder.mkdir()
        (folder / "part-0-0.parquet").symlink_to(away / "part-0-0.parquet")
    elif kind != "file":
        folder.symlink_to(away if kind == "link" else tmp_path / "nowhere")
    with pytest.raises(DayError, match="not written by daeda"):
        put(partitions, "two")
    partitions._adopt = True
    put(partitions, "two")
    assert not folder.is_symlink() and (folder / "part-0-0.parquet").read_text() == "two"
    assert (away / "part-0-0.parquet").read_text() == "theirs"


def test_a_folder_of_another_kind_on_a_day_without_rows_is_let_alone(partitions):
    make(partitions.path("2026-01-02"), "notes.txt", "part-00000-abc.snappy.parquet")
    assert not partitions.remove("2026-01-02") and len(everything(partitions.path("2026-01-02"))) == 2


def test_a_day_with_files_of_others_fails_alone_and_adopt_goes_on(warm):
    """A day that is as it was left is a hit, whatever lies beside it; one that would be replaced fails."""
    for day in (DAYS[3], DAYS[4]):
        make(warm.output / f"dt={day}", "notes.txt")
    (warm.output / f"dt={DAYS[4]}/part-0-0.parquet").unlink()
    warm.feed_file(DAYS[-1]).unlink()
    warm.feed_file(DAYS[-1], 0).unlink()
    make(warm.output / f"dt={DAYS[-1]}", "notes.txt")
    done = warm.cli("skeleton", "--range", f"{DAYS[0]}..{DAYS[-1]}", "--progress", "plain")
    assert done.returncode == 1 and "2 failed" in done.stdout and "Traceback" not in done.stderr
    assert done.stdout.count("notes.txt") == 2 and "--adopt" in done.stdout
    assert str(DAYS[4]) in done.stdout and str(DAYS[-1]) in done.stdout
    assert len(list(warm.output.glob("dt=*/notes.txt"))) == 3
    done = warm.cli("skeleton", "--range", f"{DAYS[0]}..{DAYS[-1]}", "--adopt")
    assert done.returncode == 0 and "removed     " in done.stdout, done.stdout
    assert [path.parent.name for path in warm.output.glob("dt=*/notes.txt")] == [f"dt={DAYS[3]}"]
    assert not (warm.output / f"dt={DAYS[-1]}").exists()


def test_a_qid_map_that_is_none_is_set_aside(tmp_path):
    traces = Traces(tmp_path / "traces.db")
    (tmp_path / "qid_map.parquet").write_text("theirs")
    home = LocalMap(tmp_path, FileDigests(traces), traces)
    home.drop()
    home.drop()
    traces.close()
    (aside,) = tmp_path.glob("qid_map.damaged-*")
    assert aside.read_text() == "theirs" and not (tmp_path / "qid_map.parquet").exists()
