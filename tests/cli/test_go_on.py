"""What a command says when it stops half-way: the whole command that goes on, as it was typed."""

from __future__ import annotations

import errno
import json
import os
import shlex
from pathlib import Path

import pytest
from small import RANGE, edit

from daedalus.base.errors import DaedalusError, Interrupted, RunStopped
from daedalus.cli import go_on
from daedalus.cli.main import _run
from daedalus.pipelines import training
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.stagecache.records.artifact_store import ArtifactStore
from daedalus.stagecache.walk import full_disk
from daedalus.stagecache.walk.full_disk import OutOfSpace
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.settings import Settings

GIVEN = {
    "skeleton": "skeleton --resume",
    "skeleton --force --range 202602": "skeleton --range 202602 --resume",
    "skeleton --resume --force=true --config 'my config' --json": "skeleton --resume --config 'my config' --json",
    "skeleton --cache-root=$x --output-root out --day-workers 2 --executor dask --scheduler tcp://a:1":
        "skeleton '--cache-root=$x' --output-root out --day-workers 2 --executor dask --scheduler tcp://a:1 --resume",
    "skeleton --resume=false": "skeleton --resume",
    "pipeline train dssm --skeleton-only --target-date 2026-02-03":
        "pipeline train dssm --skeleton-only --target-date 2026-02-03 --resume",
    "pipeline train --skeleton-only -- dssm": "pipeline train --skeleton-only --resume -- dssm",
}  # fmt: skip


@pytest.mark.parametrize("given", GIVEN)
def test_the_command_that_goes_on(given):
    tokens = shlex.split(given)
    assert shlex.split(go_on.resuming(tokens)) == ["daeda", *shlex.split(GIVEN[given])]
    stopped = RunStopped("it stopped", first="mend it")
    assert "resume=True" in stopped.hint
    assert go_on.guided(stopped, tokens).hint == f"mend it, then: {go_on.resuming(tokens)}"


def test_a_command_that_is_no_run_names_no_run(capsys, monkeypatch):
    given = ["audit", "--rows", "5", "--json"]

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("daedalus.audit.audit.audit", interrupted)
    assert _run(given) == 130
    out, err = capsys.readouterr()
    assert err == "interrupted; no file is half-written. Start again with: daeda audit --rows 5 --json\n"
    assert json.loads(out)["error"]["hint"] == "daeda audit --rows 5 --json"


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_no_unfinished_run_is_not_resumed(warm, when, capsys, monkeypatch):
    """Before a run is recorded and after it ended, another run may be the last unfinished one."""
    if when == "before":
        monkeypatch.setattr(training, "execute", stop)
    else:
        monkeypatch.setattr("daedalus.cli.skeleton.print_lines", stop)
    assert _run(["skeleton", "--force", "--range", "2026-02-03", "--progress", "none"]) == 130
    again = "daeda skeleton --force --range 2026-02-03 --progress none\n"
    assert capsys.readouterr().err == f"interrupted; finished steps are kept. Run again with: {again}"


def stop(*_):
    raise KeyboardInterrupt


TRAIN = ["pipeline", "train", "dssm", "--skeleton-only", "--target-date", "2026-02-03"]


@pytest.mark.parametrize("command", [["skeleton", "--range", RANGE, "--force"], TRAIN])
def test_the_command_that_is_named_does_go_on(warm, command, capsys, monkeypatch):
    """After the walk too; and --force, which is not in it, is taken up."""
    expected = warm.bytes()
    edit(warm.runtime, recent_published__max_items=3)
    with monkeypatch.context() as patched:
        patched.setattr("daedalus.pipelines.run._summary", stop)
        assert _run([*command, "--progress", "plain"]) == 130
    shown = capsys.readouterr().err.splitlines()[-1]
    assert "Continue with: daeda " in shown and "--force" not in shown
    assert _run(shlex.split(shown.partition("daeda ")[2])) == 0
    err = capsys.readouterr().err
    assert "resuming " in err and ("so this one does too" in err) == ("--force" in command)
    changed = {name for name, content in warm.bytes().items() if content != expected.get(name)}
    assert changed and warm.json("runs")["runs"][0]["model"] == ("dssm" if "train" in command else None)


class Stops(Progress):
    def started(self, name):
        raise KeyboardInterrupt


def test_python_says_how_to_go_on(cold):
    with pytest.raises(Interrupted, match="resume=True"):
        run_skeleton_stage(Settings(), RANGE, progress=Stops())
    assert run_skeleton_stage(Settings(), "2026-02-03", resume=True).exit_code == 0


# A full disk


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "cache/tmp/run-1/x.parquet"), "cache/tmp/run-1/x.parquet"),
        (OSError(errno.EDQUOT, "Quota exceeded", "a", None, "out/.daeda-1/a.parquet"), "out/.daeda-1/a.parquet"),
        (Exception('IO Error: Could not write file "cache/tmp/s/x.tmp": No space left on device'), "cache/tmp/s/x.tmp"),
        (DaedalusError("records", where="cache/traces.db", found="database or disk is full"), "cache/traces.db"),
        (OSError(errno.ENOSPC, "Error writing bytes to file"), ""),
    ],
)  # fmt: skip
def test_a_full_disk_says_which(error, named, monkeypatch):
    assert full_disk.is_out_of_space(error)
    full = OutOfSpace("spine@2026-02-01", error)
    assert full.path == named and "in the step spine@2026-02-01" in full.found
    monkeypatch.setattr(full_disk, "_free", {"cache": 0, "out": 1 << 40}.__getitem__)
    full.look_in({"output_root": "out", "cache_root": "cache"})
    assert full.where == ("output_root: out" if named.startswith("out") else "cache_root: cache")


def test_a_quota_that_no_disk_shows_leaves_all_folders_in_question(tmp_path):
    full = OutOfSpace("spine@2026-02-01", OSError(errno.EDQUOT, "Quota exceeded"))
    if full_disk._free(str(tmp_path)) < 1 << 30:
        pytest.skip("the disk of these tests is full")
    full.look_in({"output_root": str(tmp_path), "cache_root": str(tmp_path / "gone")})
    assert full.where == f"output_root: {tmp_path} or cache_root: {tmp_path / 'gone'}"


@pytest.mark.parametrize("moment", ["an action writes", "many are made durable"])
def test_the_folder_of_a_run_that_a_full_disk_stopped_is_named(cold, capsys, monkeypatch, moment):
    def full(*arguments):
        last = arguments[-1]
        if isinstance(last, Path) or "my cache/artifacts" in os.readlink(
            f"/proc/self/fd/{last}"
        ):  # fsync knows no name
            raise OSError(errno.ENOSPC, "No space left on device", *[str(last)] * isinstance(last, Path))

    places = {"an action writes": (ArtifactStore, "take"), "many are made durable": (os, "fsync")}
    monkeypatch.setattr(*places[moment], full)
    given = ["skeleton", "--range", "2026-02-03", "--progress", "none", "--cache-root", "my cache", "--json"]
    assert _run(given) == 1
    out, err = capsys.readouterr()
    assert "a disk is full\n  where:    cache_root: my cache\n  found:    no space left to write " in err
    assert "my cache/" in err.partition("to write")[2]
    again = "daeda skeleton --range 2026-02-03 --progress none --cache-root 'my cache' --json --resume"
    assert f"hint:     make room, then: {again}\n" in err
    assert json.loads(out)["error"]["hint"] == f"make room, then: {again}"
