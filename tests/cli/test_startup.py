"""What a command imports that computes nothing: importing is most of the time that it takes."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
from small import DAYS, RANGE, edit

from daedalus.cli.main import main
from daedalus.config import load_config

ENGINES = {"duckdb", "lancedb", "numba", "numpy", "obstore", "polars", "pyarrow"}
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
SCRIPT = """
import sys
from daedalus.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code
print(*sys.modules)
"""


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1].split())


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_does_not_import(warm, command):
    warm.run()  # the copy's files have been looked at
    assert COMMANDS[command] & imported(*command.split()) == set()


def test_commands_of_other_groups_are_not_imported():
    homes = {f"daedalus.cli.{home}" for home in ("cache", "config", "explain", "pipeline")}
    assert homes & imported("config", "schema", "runtime") == {"daedalus.cli.config"}


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
