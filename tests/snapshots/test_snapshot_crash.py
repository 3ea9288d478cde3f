"""Snapshots under kills and faults: there is all of one or none of it, and runs end in the bytes of ever."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from crashes import Crash, Faults
from enrich_tiny import TinyWorld
from small import PROJECT, answered, edit
from snapshot_world import data_of, files_of, left_over, names_in, published, said

from daedalus.base.errors import DaedalusError
from daedalus.snapshots.commands import create_snapshot, remove_snapshot
from daedalus.stagecache.records.traces import Traces
from daedalus.workspace.settings import Settings

KILLS = int(os.environ.get("DAEDA_KILLS", "3"))
STRIDE = int(os.environ.get("DAEDA_FAULT_STRIDE", "8"))  # 1 tries every boundary


class MoreFaults(Faults):
    """Also at links, modes and times of files, and at what is taken down of them."""

    def __init__(self, monkeypatch, at: int, mode: str) -> None:
        super().__init__(monkeypatch, at, mode)
        for owner, name in ((os, "link"), (os, "chmod"), (os, "utime"), (os, "mkdir"), (Traces, "remember_files")):
            monkeypatch.setattr(owner, name, self.wrap(name, getattr(owner, name)))


def died(monkeypatch, at: int, mode: str, action) -> MoreFaults:
    """Has an action die at the n-th boundary; without one it ends."""
    with monkeypatch.context() as patch:
        faults = MoreFaults(patch, at, mode)
        with contextlib.suppress(Crash):
            action()
    return faults


def whole_or_none(world, before: dict[str, bytes]) -> bool:
    """Whether there is the snapshot: then with every byte. What it left beside it, the next process sweeps."""
    there = names_in(world.output) == ["v"]
    assert not there or data_of(world.output, "v") == before
    assert [one["name"] for one in said("list")["snapshots"]] == ["v"] * there
    assert published(world.output) == before
    done = answered("cache", "verify")
    assert done.returncode == 0, done.stdout
    report = world.run()
    assert not report.failures and published(world.output) == before and not left_over(world.output)
    return there


def dies_everywhere(monkeypatch, least: int, action, again) -> None:
    """Dies before and after the boundaries of an action, or some of them; it has at least so many, and more or fewer
    where files are too young for what is known of them to be taken down."""
    action()  # the first one of a partition does more than those after it
    again()
    with monkeypatch.context() as patch:
        faults = MoreFaults(patch, 0, "count")
        action()
    again()
    assert faults.calls >= least
    for mode in ("before", "after"):
        some = range(1 + random.randrange(min(STRIDE, faults.calls)), faults.calls + 1, STRIDE)
        for at in sorted({1 + random.randrange(least), *some}):
            ended = died(monkeypatch, at, mode, action)
            assert ended.dead or (least < at and ended.calls < at)
            again()


def test_creating_dies_at_any_boundary(tiny_enriched, monkeypatch):
    tiny_enriched.run()
    before = published(tiny_enriched.output)

    def again() -> None:
        if whole_or_none(tiny_enriched, before):
            remove_snapshot(Settings(), "v")

    def create() -> None:
        create_snapshot(Settings(), "v")

    dies_everywhere(monkeypatch, 15, create, again)


def test_removing_dies_at_any_boundary(tiny_enriched, monkeypatch):
    tiny_enriched.run()
    before = published(tiny_enriched.output)
    create_snapshot(Settings(), "v")

    def again() -> None:
        if not whole_or_none(tiny_enriched, before):
            create_snapshot(Settings(), "v")

    def remove() -> None:
        with contextlib.suppress(DaedalusError):
            remove_snapshot(Settings(), "v")

    dies_everywhere(monkeypatch, 4, remove, again)


def test_a_run_that_dies_leaves_a_snapshot_as_it_was(tiny_enriched_template, tmp_path, monkeypatch):
    """Runs that replace every partition, also with --force, at some boundaries."""
    template = tmp_path / "template"
    shutil.copytree(tiny_enriched_template, template)
    for at in range(2 + random.randrange(STRIDE), 80, max(STRIDE * 4, 4)):
        root = tmp_path / f"at-{at}"
        shutil.copytree(template, root)
        monkeypatch.chdir(root)
        world = TinyWorld(root)
        create_snapshot(Settings(), "v")
        create_snapshot(Settings(), "e", stage="enrich")
        before = files_of(world.output, "v"), files_of(world.enriched, "e")
        edit(world.runtime, entity_spine_chunk_rows=5)
        died(monkeypatch, at, "after", partial(world.run, resume=True))
        assert (files_of(world.output, "v"), files_of(world.enriched, "e")) == before
        assert not world.run(resume=True).failures
        assert answered("cache", "gc", "--max-bytes", "0").returncode == 0
        assert (files_of(world.output, "v"), files_of(world.enriched, "e")) == before
        assert answered("cache", "verify").returncode == 0


def started(root, *arguments: str) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "daedalus", "snapshot", *arguments]
    return subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("kind", ["create", "remove"])
def test_kill_9(tiny_enriched, kind):
    tiny_enriched.run()
    before = published(tiny_enriched.output)
    for _ in range(KILLS):
        if (kind == "remove") != bool(names_in(tiny_enriched.output)):
            (create_snapshot if kind == "remove" else remove_snapshot)(Settings(), "v")
        process = started(tiny_enriched.root, kind, "v")
        deadline = time.monotonic() + 5
        while not left_over(tiny_enriched.output) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(random.random() * 0.06)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        whole_or_none(tiny_enriched, before)


def test_two_at_once_make_one(tiny_enriched):
    tiny_enriched.run()
    both = [started(tiny_enriched.root, "create", "v") for _ in range(2)]
    told = [process.communicate()[1].decode() for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], told
    assert "there is a snapshot of that name" in "".join(told)
    assert data_of(tiny_enriched.output, "v") == published(tiny_enriched.output)
    assert not left_over(tiny_enriched.output)
