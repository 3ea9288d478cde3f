"""What a command imports that computes nothing: importing is most of the time that it takes."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import DAYS, RANGE, edit

from daedalus.base.remembered import recall, remember
from daedalus.base.user_cache import private_folder
from daedalus.cli.main import main
from daedalus.cli.parse import parsed, remembered
from daedalus.config import load_config
from daedalus.stagecache import fingerprint

ENGINES = {"duckdb", "lance", "numba", "numpy", "obstore", "polars", "pyarrow", "starlette", "uvicorn"}
SLOW = {"asyncio", "difflib", "html", "http", "logging", "markdown_it", "multiprocessing", "pygments", "subprocess"}
PRINTING = {"docstring_parser", "random", "rich", "shutil", "tempfile"}
CONFIG = {"msgspec", "sqlite3", "yaml", "daedalus.config"}
COMPUTING = {
    *(
        "daedalus.workspace.graph",
        "daedalus.sql.duck",
        "daedalus.inputs.footers",
        "daedalus.skeleton.stage",
        "daedalus.output.qid_map",
    ),
    *("daedalus.stagecache.action", "daedalus.stagecache.walk.plan"),
}
COMMANDS = {
    "--help": ENGINES | SLOW | CONFIG,
    "--version": ENGINES | SLOW | CONFIG,
    "skeleton --help": ENGINES | CONFIG,
    f"skeleton --range {RANGE} --progress none": ENGINES | SLOW | PRINTING | COMPUTING,
    "cache status": ENGINES | SLOW | PRINTING | COMPUTING,
    f"explain day {DAYS[5]}": ENGINES | SLOW | PRINTING | COMPUTING,
}
PARSERS = {"attr", "cyclopts", "yaml"}
SCRIPT = """
import os, sys
import daedalus.cli.main as command_line
def end(code):
    assert not code
    print(*sys.modules, flush=True)
    os._exit(0)
command_line._end = end
command_line.main()
"""
COUNTING = """
import sys
from importlib.machinery import SourceFileLoader
compiled, made = [], SourceFileLoader.source_to_code
def counting(self, data, path, **more):
    compiled.append(path)
    return made(self, data, path, **more)
SourceFileLoader.source_to_code = counting
from daedalus.cli.main import main
try:
    main(["--version"])
finally:
    print(len([path for path in compiled if path.startswith(sys.argv[1])]))
"""
PACKAGE = Path(main.__code__.co_filename).parent.parent


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_does_not_import(warm, command):
    warm.run()  # the copy's files have been looked at
    assert COMMANDS[command] & imported(*command.split()) == set()


def test_what_libraries_would_like_to_use_is_not_imported(cold):
    found = imported("skeleton", "--range", f"{DAYS[0]}..{DAYS[1]}", "--progress", "none")
    assert {"numba", "pyarrow"} <= found and not {"pandas", "scipy"} & found
    assert list(cold.output.glob("dt=*"))


def test_commands_of_other_groups_are_not_imported():
    homes = {f"daedalus.cli.{home}" for home in ("upkeep", "explain", "pipeline", "snapshot")}
    assert homes & imported("config", "schema", "runtime") == {"daedalus.cli.upkeep"}


def test_who_calls_main_keeps_the_garbage_collector_as_it_was(capsys):
    before = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(SystemExit):
        main(["--version"])
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_a_config_that_is_parsed_once_is_seen_when_it_changes(warm):
    """Also to the same length and within one tick of the clock: what counts is the text."""
    warm.run()
    for drop in (True, False, True):
        edit(warm.runtime, session_filter__drop_single_like=drop)
        assert load_config("config").runtime.session_filter.drop_single_like is drop


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("-")][1:])
def test_a_command_line_and_a_config_seen_before_are_not_parsed(warm, command):
    warm.run()
    imported(*command.split())
    assert PARSERS & imported(*command.split()) == set()


@pytest.mark.parametrize(
    "given",
    [
        "skeleton --range 2026-03-01 --plan",
        "explain day 2026-03-01 --json",
        "cache gc --max-bytes 7 --also-config a --also-config=b --older-than 0.5",
    ],
)
def test_what_is_remembered_of_a_command_line_is_what_was_parsed(given):
    line = given.split()
    call, again = parsed(line), remembered(line)
    assert again is not None and (again.func, again.keywords) == (call.func, {**again.keywords, **call.keywords})
    assert remembered([*line, "--json"]) is None


def test_help_errors_and_addresses_are_not_remembered():
    for line in (["--help"], ["skeleton", "--help"], ["runs", "--output-root", "s3://bucket?key=secret"]):
        parsed(line)
        assert remembered(line) is None
    assert "secret" not in "".join(path.read_text() for path in Path(private_folder("command-lines")).iterdir())


def test_an_answer_is_kept_only_as_it_is_and_the_oldest_go():
    for answer in ({1: 2}, (1, 2), float("nan"), {"when": object()}):
        remember("test", "odd", answer)
        assert recall("test", "odd") is None
    for i in range(120):
        remember("test", f"a{i}", [i])
    assert recall("test", "a119") == [119] and recall("test", "a3") is None
    assert len(os.listdir(private_folder("test"))) == 100


def test_code_that_another_cache_has_met_is_not_parsed_again(tiny_enriched, tmp_path, monkeypatch):
    """All of it, also what reaches object stores, and so has addresses in its text."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of-the-user"))

    def cold() -> dict[str, bytes]:
        for folder in (tiny_enriched.root / "cache", tiny_enriched.output, tiny_enriched.enriched):
            shutil.rmtree(folder)
        tiny_enriched.ran()
        return tiny_enriched.bytes()

    once = cold()
    for name in ("of_python", "of_packages"):
        monkeypatch.setattr(fingerprint, name, lambda *asked: pytest.fail(f"{asked} parsed again"))
    assert cold() == once


def test_a_folder_that_others_may_write_in_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = private_folder("kind")
    assert folder == f"{tmp_path}/cache/daeda/kind" and os.stat(folder).st_mode & 0o777 == 0o700
    for above in (folder, tmp_path / "cache/daeda", tmp_path / "cache"):
        os.chmod(above, 0o770)
        assert private_folder("kind") is None
        os.chmod(above, 0o700)
    os.rename(folder, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", folder)
    assert private_folder("kind") is None
    for home in ("relative", "/dev/null", "/proc/daeda"):
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        assert private_folder("kind") is None


def compiled(package: Path, **environment: str) -> int:
    """How many modules of a copy of the package `--version` compiles."""
    env = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "", **environment}
    command = [sys.executable, "-c", COUNTING, str(package)]
    done = subprocess.run(command, cwd=package.parent, env=env, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def test_the_package_is_compiled_once_also_where_no_bytecode_may_be_beside_it(tmp_path):
    package = tmp_path / "daedalus"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    first = compiled(package, PYTHONDONTWRITEBYTECODE="1")
    again = compiled(package, PYTHONDONTWRITEBYTECODE="1")
    before_the_hook = 4  # daedalus, base, and the two modules that find the folder
    assert first > 10 and again == before_the_hook
    assert not list(package.rglob("*.pyc"))
    (package / "cli/app.py").write_text((package / "cli/app.py").read_text() + "\n")
    assert compiled(package, PYTHONDONTWRITEBYTECODE="1") == before_the_hook + 1
    assert compiled(package) > 10 and compiled(package) == 0, "Python's own, beside the code"
    assert compiled(package, PYTHONDONTWRITEBYTECODE="1", XDG_CACHE_HOME="/dev/null") == 0


ENDING = """
import atexit, sys, threading, time
import numpy
from daedalus.cli import main as command_line
class Left:
    def __del__(self):
        print("torn down")
left = Left()
def run(given, call):
    atexit.register(print, "registered last")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("run", end=" ")
    return 3
command_line._run = run
sys.argv = ["daeda", "--version"]
command_line.main()
"""


def test_the_end_waits_for_threads_and_does_what_is_registered_and_no_more():
    """To take the interpreter apart takes up to half a second after vectors were computed."""
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "run thread\nregistered last\n", "")
