"""The trace of a run has each step that ran once, lanes that never overlap, and is whole whatever happens."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from itertools import pairwise

import pytest
from small import RANGE, edit


def steps(path) -> list[dict]:
    return [event for event in json.loads(path.read_text())["traceEvents"] if event["ph"] == "X"]


def test_every_step_that_ran_is_in_the_trace_once(warm):
    edit(warm.runtime, session_filter__drop_single_like=True)
    done = warm.cli("skeleton", "--range", RANGE, "--trace", "run.json", "--json", "--progress", "none")
    report, found = json.loads(done.stdout), steps(warm.root / "run.json")
    ran = report["steps"]["computed"] + report["steps"]["unchanged"]
    assert len(found) == ran > 0
    assert len({(event["name"], event["args"]["day"]) for event in found}) == ran
    lanes = defaultdict(list)
    for event in found:
        assert event["args"]["state"] in ("computed", "unchanged") and event["args"]["why"]
        lanes[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for spans in lanes.values():
        spans.sort()
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
    days = [event["name"] for event in json.loads((warm.root / "run.json").read_text())["traceEvents"]
            if event["ph"] == "b"]  # fmt: skip
    assert sorted(days) == sorted({event["args"]["day"] for event in found if event["name"] == "chunk"})


def test_nothing_to_run_leaves_a_valid_trace(warm):
    assert warm.cli("skeleton", "--range", RANGE, "--trace", "run.json").returncode == 0
    assert steps(warm.root / "run.json") == []


def test_a_failed_day_is_in_the_trace(cold):
    cold.feed_file("2026-02-05").write_bytes(b"no parquet")
    assert cold.cli("skeleton", "--range", RANGE, "--trace", "run.json").returncode == 1
    assert steps(cold.root / "run.json")


def test_a_trace_that_cannot_be_written_is_refused(warm):
    done = warm.cli("skeleton", "--range", RANGE, "--trace", "nowhere/run.json")
    assert done.returncode == 2 and "--trace nowhere/run.json" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(warm, shell):
    script = warm.cli("completion", shell)
    assert script.returncode == 0 and "skeleton" in script.stdout and "day-workers" in script.stdout


def test_bash_completes_commands_and_options(warm):
    (warm.root / "complete").write_text(warm.cli("completion", "bash").stdout)
    ask = (
        "source ./complete; COMP_WORDS=(daeda {words}); COMP_CWORD={at}; "
        "$(complete -p daeda | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); echo ${{COMPREPLY[@]}}"
    )
    for words, expected in (("ca", "cache"), ("cache st", "status"), ("skeleton --resu", "--resume")):
        command = ask.format(words=words, at=len(words.split()))
        done = subprocess.run(["bash", "-c", command], cwd=warm.root, capture_output=True, text=True, check=True)
        assert expected in done.stdout.split(), (words, done.stdout, done.stderr)
