"""`daeda demo`: the commands that it prints are those that it ran, and it goes on wherever it was stopped."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small import PROJECT, answered

from daedalus.demo.folder import MARK, prepared

SIZE = ("--days", "2", "--rows", "60")
DAYS = ("2026-02-01", "2026-02-02")
RUNTIME = "config/training/runtime.yaml"


def typed(said: str) -> list[list[str]]:
    """The commands that were printed."""
    return [shlex.split(line[2:]) for line in said.splitlines() if line.startswith("$ ")]


def partitions(folder: Path) -> dict[str, bytes]:
    files = (folder / "data").glob("training_*/dt=*/part-*.parquet")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A demo that ran to its end, and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "one of two"
    done = answered("demo", str(folder), *SIZE)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_it_prints_what_it_runs(shown):
    folder, said = shown
    commands = typed(said)
    assert commands[0] == ["cd", str(folder)]
    ran = [words[1:] for words in commands if words[0] == "daeda"]
    assert [words[0] for words in ran] == ["run", "plan", "explain", "run", "report"]
    assert ran[2] == ["explain", "day", DAYS[1]]
    assert "session_filter.drop_single_like" in said
    assert {path.split("/")[-2] for path in partitions(folder)} == {f"dt={day}" for day in DAYS}
    assert len(partitions(folder)) == 4 and (folder / "daeda-report.html").stat().st_size > 10_000


def test_the_edit_that_it_prints_is_the_one_that_it_made(shown, tmp_path):
    folder, said = shown
    shutil.copytree(PROJECT / "config", tmp_path / "config")
    before = (tmp_path / RUNTIME).read_text()
    sed = next(words for words in typed(said) if words[0] == "sed")
    subprocess.run(sed, cwd=tmp_path, check=True)
    assert (tmp_path / RUNTIME).read_text() == (folder / RUNTIME).read_text() != before
    for file in (PROJECT / "config").rglob("*"):
        own = folder / "config" / file.relative_to(PROJECT / "config")
        assert file.is_dir() or own.name == "runtime.yaml" or own.read_bytes() == file.read_bytes()


def test_again_it_computes_nothing(shown):
    folder, _ = shown
    before = partitions(folder)
    done = answered("demo", str(folder))
    assert done.returncode == 0 and not re.search(r"\d computed", done.stdout) and "hit" in done.stdout
    assert [words[:2] for words in typed(done.stdout)][1:3] == [["daeda", "plan"], ["daeda", "explain"]]
    assert partitions(folder) == before


@pytest.mark.parametrize("group", [True, False], ids=["Ctrl-C", "SIGTERM to it alone"])
def test_interrupted_it_goes_on(shown, tmp_path, group):
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "daedalus", "demo", str(folder), *SIZE]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in process.stderr:  # a step of the first run has ended
        if "looking at the inputs" in line:
            break
    os.killpg(process.pid, signal.SIGINT) if group else process.send_signal(signal.SIGTERM)
    errors = process.communicate()[1]
    assert process.returncode == 130 and "Traceback" not in errors
    assert errors.splitlines()[-1].endswith(f"Start again with: daeda demo {folder} {' '.join(SIZE)}")
    shutil.rmtree(folder / "data/catalog")  # as if it had been stopped while the world was made
    (folder / "data").rename(folder / ".making")
    done = answered("demo", str(folder))
    assert done.returncode == 0, done.stderr
    assert partitions(folder) == partitions(shown[0]) and not (folder / ".making").exists()


@pytest.mark.parametrize(
    ("there", "options", "said"),
    [
        ({"mine.txt": ""}, (), "not a folder of daeda demo"),
        ({MARK: "{"}, (), "not a folder of daeda demo"),
        ({MARK: '{"days": 2, "rows": "many"}'}, (), "rows"),
        ({MARK: '{"days": 2, "rows": 60}'}, ("--days", "3"), "has another size"),
        ({}, ("--days", "0"), "--days"),
        ({}, ("--days", "121"), "at most 120"),
        ({}, ("--rows", "1"), "--rows"),
    ],
)
def test_it_refuses_what_is_not_its_own(tmp_path, there, options, said):
    for name, text in there.items():
        (tmp_path / name).write_text(text)
    done = answered("demo", str(tmp_path), *options)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("error:") == 1
    assert done.stdout == "" and {path.name: path.read_text() for path in tmp_path.iterdir()} == there


def test_a_command_that_fails_ends_it(tmp_path):
    prepared(tmp_path, 1, 50, lambda line: None)
    assert json.loads((tmp_path / MARK).read_text()) == {"days": 1, "rows": 50}
    (tmp_path / RUNTIME).write_text("feed_start: {}\n")
    done = answered("demo", str(tmp_path))
    assert done.returncode == 2 and done.stderr.count("error:") == 1
    assert done.stdout.splitlines()[-1] == f"# stopped; to continue: daeda demo {tmp_path}"
