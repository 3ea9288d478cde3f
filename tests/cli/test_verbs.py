"""The command line as people guess it: verbs, short names, the project above, DAEDA_CONFIG, and what a slip meant."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import redirect_stdout
from io import StringIO

import pytest
from small import EMBEDDINGS, RANGE, edit

from daedalus.cli.app import app
from daedalus.cli.go_on import SHORT, spelled_out
from daedalus.cli.main import main
from daedalus.cli.parse import _MEANT, parsed, remembered

DAY = "2026-02-05"


def test_run_is_the_stages_that_the_config_has(warm):
    before = warm.bytes()
    first = warm.json("run", "-r", DAY)
    assert "stages" not in first and first["partitions"] == {"written": 0, "kept": 1}
    edit(warm.runtime, session_filter__drop_single_like=True)
    assert warm.json("run", "-fr", DAY)["days"]["done"] == 1 and warm.bytes() != before
    skeleton = warm.bytes()
    assert warm.json("skeleton", "--force", "--range", DAY)["days"]["done"] == 1 and warm.bytes() == skeleton
    edit(warm.runtime, embeddings={"columns": EMBEDDINGS})
    assert "enriched" in {row["step"] for row in warm.json("plan", "-r", DAY)["plan"]}


@pytest.mark.parametrize("embeddings", [None, {"columns": EMBEDDINGS}])
def test_plan_is_run_with_plan(warm, embeddings):
    edit(warm.runtime, session_filter__drop_single_like=True, embeddings=embeddings)
    stamps = warm.stamps()
    stage = "enrich" if embeddings else "skeleton"
    lines = [["plan"], ["run", "--plan"], ["run", "-n"], [stage, "--plan"], [stage, "-n"]]
    texts = {warm.cli(*line, "--range", RANGE).stdout for line in lines}
    assert len(texts) == 1 and "would run" in texts.pop() and warm.stamps() == stamps


def test_run_and_plan_take_an_output_root_where_there_is_one(warm):
    away = str(warm.root / "away")
    assert warm.json("plan", "-r", DAY, "--output-root", away)["plan"]
    assert warm.json("run", "-r", DAY, "--output-root", away)["partitions"] == {"written": 1, "kept": 0}
    assert os.listdir(f"{away}/dt={DAY}") == os.listdir(warm.output / f"dt={DAY}")
    edit(warm.runtime, embeddings={"columns": EMBEDDINGS})
    for line in (["plan"], ["run"], ["pipeline", "train", "ranker"]):
        done = warm.cli(*line, "--output-root", away)
        assert done.returncode == 2 and "embeddings.output_root in runtime.yaml" in done.stderr, line


NAMES = {"--config": "-c", "--force": "-f", "--json": "-j", "--plan": "-n", "--dry-run": "-n", "--out": "-o",
         "--range": "-r"}  # fmt: skip


def options(group=app) -> list[tuple[str, ...]]:
    """The names of each option of each command."""
    found = []
    for name in (name for name in group if not name.startswith("-")):
        if group[name].default_command is None:
            found += options(group[name])
        else:
            found += [argument.names for argument in group[name].assemble_argument_collection()]
    return found


def test_a_short_name_is_one_thing_and_is_had_in_all_commands():
    for names in options():
        long = next(name for name in names if name.startswith("--"))
        assert [name for name in names if not name.startswith("--")] == [NAMES[long] for _ in range(long in NAMES)], (
            names
        )
    assert set(NAMES) < {name for names in options() for name in names}
    assert all(name == "-n" or NAMES[name] == f"-{letter}" for letter, name in SHORT.items())


SPELLED = {
    "skeleton -fj -r 2026-02": "skeleton --force --json --range 2026-02",
    "run -r2026-02 -cmine": "run --range=2026-02 --config=mine",
    "run -r=2026-02 -fr 2026-02-01": "run --range=2026-02 --force --range 2026-02-01",
    "run -nj -f=true --trace=-f": "run -n --json --force=true --trace=-f",
    "compile -o x -ojc": "compile -o x -ojc",
    "explain row -5 -- -f": "explain row -5 -- -f",
}


@pytest.mark.parametrize("given", SPELLED)
def test_short_names_spelled_out(given):
    assert spelled_out(given.split()) == SPELLED[given].split()


@pytest.mark.parametrize("given", ["run -fnj -r 2026-02 -cmine", "run -r=2026-02 -nf", "skeleton -fr2026-02 -j"])
def test_a_line_and_what_it_is_spelled_out_to_are_one_call(given):
    short, long = parsed(given.split()), parsed(spelled_out(given.split()))
    assert (short.func, short.keywords) == (long.func, long.keywords)
    again = remembered(given.split())
    assert again is not None and again.keywords == short.keywords


def test_errors_and_hints_know_short_names(warm):
    told = warm.cli("run", "-j", "-r", "2025-02-01")
    hint = json.loads(told.stdout)["error"]["hint"]
    assert told.returncode == 2 and hint.startswith("daeda run --json --range 2026-01-22;") and hint in told.stderr


def test_the_project_above_is_worked_in(warm, monkeypatch, capsys):
    inner = warm.root / "notebooks/mine"
    inner.mkdir(parents=True)
    here = warm.json("runs")
    monkeypatch.chdir(inner)
    assert exit_code("runs", "-j") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == here
    assert err == f"note: working in {warm.root}, the project that this folder is in\n"
    assert os.getcwd() == str(inner) and not list(inner.iterdir())


@pytest.fixture
def inner(warm, monkeypatch):
    """A folder in the project, as the working directory."""
    folder = warm.root / "inner"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([*arguments])
    return stop.value.code or 0


def test_a_config_that_is_named_or_here_comes_first(warm, inner, monkeypatch, capsys):
    assert exit_code("runs", "--config", "config") == exit_code("runs", "-c", "config") == 2
    monkeypatch.setenv("DAEDA_CONFIG", "nowhere")
    assert exit_code("runs") == 2 and "nowhere, in " in capsys.readouterr().err
    assert exit_code("runs", "-c", "../config") == 2, "its paths are relative to this folder"
    monkeypatch.setenv("DAEDA_CONFIG", "")
    assert exit_code("runs") == 0 and "note: working in" in capsys.readouterr().err
    (inner / "config").mkdir()
    assert exit_code("runs") == 2 and "config/catalog.yaml" in capsys.readouterr().err


def test_the_variable_is_the_option(warm, monkeypatch, capsys):
    shutil.move(warm.root / "config", warm.root / "mine")
    monkeypatch.setenv("DAEDA_CONFIG", "mine")
    assert exit_code("plan", "-r", DAY) == 0
    assert exit_code("explain", "day", "2026-02-05") == 0 and "working in" not in capsys.readouterr().err


def test_a_folder_that_everybody_may_write_in_is_no_project(warm, inner, capsys):
    warm.root.chmod(0o1777)
    assert exit_code("runs") == 2 and "there is no config folder" in capsys.readouterr().err


def test_init_writes_its_config_here(warm, inner):
    line = ["init", "--feed", str(warm.root / "data/feed"), "--catalog", str(warm.root / "data/catalog")]
    assert exit_code(*line) == 0 and (inner / "config/catalog.yaml").exists()


MEANT = {
    "train -r 202602": "run -r 202602", "sttaus": "cache status", "status -j": "cache status -j", "pln": "plan",
    "why 2026-05-15": "explain day 2026-05-15", "check": "config check", "cache check": "config check",
    "explain dya 2026-05-15": "explain day 2026-05-15", "pipeline run dssm": "pipeline train dssm", "Run": "run",
    "skelton --range 2026-02": "skeleton --range 2026-02", "clean": "cache gc --dry-run",
    "config verify": "cache verify", "help": "--help", "xyzzy": "--help", "explain xyzzy": "explain --help",
    "resume": "run --resume",
}  # fmt: skip


@pytest.mark.parametrize("given", MEANT)
def test_a_slip_is_answered_with_the_command_that_was_meant(given, capsys):
    assert exit_code(*given.split()) == 2
    told = capsys.readouterr().err
    assert "there is no such command" in told and told.splitlines()[-1] == f"  hint:     daeda {MEANT[given]}"


def test_whatever_is_suggested_exists():
    for command in set(_MEANT.values()):
        group = app
        for word in command.split():
            group = group[word] if not word.startswith("-") else group
    assert not set(_MEANT) & set(app), "a command is not another's nickname"


def offered(*words: str) -> list[str]:
    """What the shell is offered for the last word."""
    with redirect_stdout(out := StringIO()):
        assert exit_code("__complete", *words) == 0
    return [line.split("\t")[0] for line in out.getvalue().splitlines()]


def test_days_and_steps_are_completed(warm, inner):
    days = offered("explain", "day", "")
    assert "2026-01-22" in days and "2026-02-14" in days
    assert "2026-02-14" in offered("run", "-r", "")
    steps = offered("explain", "step", "2026-02-14", "")
    assert {"spine", "rolling:like_artwork_ids", "view:user_profile", "chunk"} <= set(steps)
    for step in ("rolling:like_artwork_ids", "view:user_profile", "chunk"):
        assert exit_code("explain", "step", "2026-02-14", step) == 0
    assert not [day for day in offered("explain", "day", "--config", "nowhere", "") if "2026" in day]
