"""A wrong range or a wrong folder: refused with the command that was meant, and nothing is made, changed or removed."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import pytest
from small import RANGE, edit

from daedalus import load
from daedalus.base.days import DayRange, parse_range
from daedalus.base.errors import DaedalusError, EmptyRange
from daedalus.cli.main import _run
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.empty_range import nearest
from daedalus.workspace.settings import Settings

EMPTY = "2025-02-01..2025-02-14"
FEED = "2026-01-22..2026-02-14"
NEAREST = "2026-01-22..2026-02-04"  # as many days


def everything(world) -> dict[str, int]:
    """All paths, and of files of input and output their times."""
    paths = sorted(world.root.rglob("*"))
    return {str(path): path.stat().st_mtime_ns if "/data/" in str(path) else 0 for path in paths}


@pytest.mark.parametrize("more", [[], ["--plan"], ["--force"], ["--resume"]])
def test_a_range_without_feed_rows_is_refused(warm, more, capsys):
    warm.cli("cache", "status")
    before = everything(warm)
    assert _run(["skeleton", "--range", EMPTY, *more, "--progress", "none", "--json"]) == 2
    out, err = capsys.readouterr()
    rest = " ".join([*more, "--progress none --json"])
    told = json.loads(out)["error"]
    assert told == {
        "what": "no day of the range has feed rows", "where": "--range", "found": EMPTY,
        "expected": f"days that the feed has: {FEED.replace('..', ' to ')}",
        "hint": f"daeda skeleton --range {NEAREST} {rest}; to remove the partitions of these days instead: "
                f"daeda skeleton --range {EMPTY} {rest} --allow-empty",
    }  # fmt: skip
    assert told["hint"] in err and everything(warm) == before


@pytest.mark.parametrize("option", ["--output-root", "--cache-root"])
def test_an_address_of_another_kind_is_no_local_folder(cold, option, capsys):
    before = everything(cold)
    assert _run(["skeleton", option, "s3a://bucket/out", "--progress", "none", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert (told["where"], told["hint"]) == (option, "did you mean s3://bucket/out?")
    assert everything(cold) == before
    if option == "--output-root":
        with pytest.raises(DaedalusError, match="an address that is not understood"):
            load(output_root="s3a://bucket/out")


def test_who_means_it_has_the_partitions_removed(warm, capsys):
    for day in warm.root.glob("data/feed/dt=2026-02-1*"):
        shutil.rmtree(day)
    span = "2026-02-10..2026-02-14"
    with pytest.raises(EmptyRange, match=r"range='2026-02-05\.\.2026-02-09'; or allow_empty=True"):
        run_skeleton_stage(Settings(), span)
    assert len(list(warm.output.glob("dt=2026-02-1*"))) == 5
    report = run_skeleton_stage(Settings(), span, allow_empty=True, plan=True)
    assert [row["state"] for row in report.plan] == ["remove"] * 5
    assert _run(["skeleton", "--range", span, "--allow-empty", "--progress", "none"]) == 0
    assert not list(warm.output.glob("dt=2026-02-1*")) and "removed     dt=2026-02-10" in capsys.readouterr().out


def test_the_range_of_the_config_and_a_target_date_are_refused_by_their_names(warm, capsys):
    train = ["pipeline", "train", "dssm", "--skeleton-only"]
    assert _run([*train, "--target-date=2026-03-01"]) == 2
    err = capsys.readouterr().err
    assert (
        "where:    --target-date\n" in err
        and "daeda pipeline train dssm --skeleton-only --target-date 2026-02-14;" in err
    )
    assert _run([*train, "--target-date", "2026-03-01", "--allow-empty", "--progress", "none"]) == 0
    edit(warm.runtime, feed_start="202603", feed_end="202604")
    capsys.readouterr()
    assert _run(["skeleton"]) == 2
    err = capsys.readouterr().err
    assert "runtime.yaml: feed_start, feed_end" in err and f"hint:     daeda skeleton --range {FEED}; to remove" in err


def test_the_nearest_range():
    feed = [dt.date(2026, 2, day) for day in (3, 4, 5, 20, 21)]
    for asked, expected in {
        "2026-01-01": "2026-02-03", "2025-02-01..2025-02-03": "2026-02-03..2026-02-05",
        "2026-03": "2026-02-03..2026-02-21", "2026-02-07..2026-02-08": "2026-02-04..2026-02-05",
        "2026-02-18": "2026-02-20", "2026-02-12..2026-02-19": "2026-02-20..2026-02-21",
        "2020-01-01..2025-12-31": "2026-02-03..2026-02-21",
    }.items():  # fmt: skip
        assert nearest(parse_range(asked), feed) == parse_range(expected), asked
    assert isinstance(nearest(parse_range("2026-01-01"), feed), DayRange)


COMMANDS = {
    "config check": ["config", "check"],
    "status": ["cache", "status"],
    "verify": ["cache", "verify"],
    "gc": ["cache", "gc"],
    "explain day": ["explain", "day", "2026-02-03"],
    "explain step": ["explain", "step", "2026-02-03", "chunk"],
    "explain row": ["explain", "row", "2026-02-03", "--user", "1", "--artwork", "1"],
    "runs": ["runs"],
    "diff": ["diff", "2026-02-03"],
    "plan": ["skeleton", "--plan"],
    "run": ["skeleton", "--range", RANGE],
    "resumed": ["skeleton", "--resume"],
    "train": ["pipeline", "train", "dssm", "--skeleton-only"],
    "report": ["report", "--range", RANGE],
    "audit": ["audit"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", ["empty", "no feed", "no view", "no pool"])
def test_a_wrong_folder_is_left_as_it_is(cold, command, wrong, monkeypatch, capsys):
    if wrong == "empty":
        (cold.root.parent / "elsewhere").mkdir()  # not in the project, which would be found
        monkeypatch.chdir(cold.root.parent / "elsewhere")
    else:
        gone = {"no feed": "feed", "no view": "views", "no pool": "pool"}[wrong]
        found = [path for path in (cold.root / "data").iterdir() if gone in path.name]
        for path in found or (cold.root / "data").iterdir():
            shutil.rmtree(path)
    before = everything(cold)
    assert _run(COMMANDS[command]) == 2
    assert "error: " in capsys.readouterr().err and everything(cold) == before


@pytest.mark.parametrize("config", [["--config", "../config"], ["--config", "../config", "--cache-root", "a/b"]])
def test_the_config_of_another_folder_makes_no_cache_here(cold, config, monkeypatch, capsys):
    """Its paths are relative to the working directory."""
    (cold.root / "elsewhere").mkdir()
    monkeypatch.chdir(cold.root / "elsewhere")
    assert _run(["config", "check", *config]) == _run(["skeleton", "--plan", *config]) == 2
    assert "data/feed, in " in capsys.readouterr().err and not list((cold.root / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "given", [["skeleton", "--range", EMPTY], ["report", "--range", "nonsense"], ["explain", "day", "2026-02-30"]]
)
def test_what_is_refused_before_the_first_run_makes_no_cache(cold, given, capsys):
    before = everything(cold)
    assert _run(given) == 2 and everything(cold) == before


def test_python_makes_nothing_either(cold):
    before = everything(cold)
    with pytest.raises(DaedalusError, match="no day of the range"):
        run_skeleton_stage(Settings(), EMPTY, resume=True)
    assert everything(cold) == before
