"""The command line by topic: JSON shapes, explain, status, verify, gc, plan, resume, interrupts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import DAYS, FIRST, LAST, PROJECT, RANGE, damage_pages, edit, nothing_ran, rewrite

from daedalus.base import digest
from daedalus.cli.main import _worded
from daedalus.cli.output import refuse
from daedalus.config import load_config
from daedalus.workspace.open_output import index_folder


def test_skeleton_json(warm):
    found = warm.json("skeleton", "--range", RANGE)
    assert found["range"] == [str(FIRST), str(LAST)]
    assert found["days"] == {"total": 14, "done": 14, "empty": 0, "failed": 0}
    assert set(found["steps"]) == {"hit", "computed", "unchanged", "failed", "blocked"}
    assert found["steps"]["hit"] > 300
    assert found["partitions"] == {"written": 0, "kept": 14}
    assert set(found["rows"]) == {"read", "null_keys", "duplicates", "strays", "written"}
    assert found["rows"]["null_keys"] > 0 and found["rows"]["strays"] > 0 and found["rows"]["duplicates"] > 0
    assert found["failures"] == [] and found["seconds"] > 0


def test_progress_goes_to_stderr(warm):
    done = warm.cli("skeleton", "--range", RANGE, "--json", "--progress", "plain")
    json.loads(done.stdout)
    assert done.stderr.splitlines()[-1] == "14 days: nothing to run"
    edit(warm.runtime, session_filter__drop_single_like=True)
    done = warm.cli("skeleton", "--range", RANGE, "--json", "--progress", "plain")
    assert sum(f"/{len(DAYS)}]  " in line for line in done.stderr.splitlines()) == 14 and "[14/14]" in done.stderr


def test_pipeline_train_runs_one_day(warm):
    found = warm.json("pipeline", "train", "dssm_ranking", "--skeleton-only", "--target-date", str(DAYS[3]))
    assert found["days"]["total"] == 1 and found["steps"]["computed"] == 0


def test_explain_day(warm):
    found = warm.json("explain", "day", str(DAYS[5]))
    assert found["day"] == str(DAYS[5])
    assert {step["state"] for step in found["steps"]} == {"hit"}
    assert set(found["steps"][0]) == {"step", "state", "key", "rows_in", "rows_out", "seconds", "bytes", "why"}
    funnel = [row["rows"] for row in found["funnel"]]
    assert [row["step"] for row in found["funnel"]] == ["spine", "coverage", "sessions", "content", "chunk"]
    assert funnel == sorted(funnel, reverse=True) and funnel[0] > funnel[-1] > 0
    assert "rolling:like_artwork_ids" in {step["step"] for step in found["steps"]}


def test_explain_names_the_config_leaf_with_old_and_new(warm):
    edit(warm.runtime, session_filter__drop_single_like=True)
    steps = {step["step"]: step for step in warm.json("explain", "day", str(DAYS[5]))["steps"]}
    cause = next(c for c in steps["sessions"]["why"] if c["kind"] == "config")
    assert cause == {"kind": "config", "what": "session_filter.drop_single_like", "old": "false", "new": "true"}
    assert steps["sessions"]["why"] == [cause]  # the statement differs only because of it
    assert steps["chunk"]["state"] == "maybe"
    shown = warm.screen("explain", "day", str(DAYS[5]))
    assert "session_filter.drop_single_like" in shown and max(map(len, shown.splitlines())) <= 80


def test_explain_names_the_input_file(warm):
    rewrite(warm.feed_file(DAYS[2]), lambda table: table.slice(1))
    steps = warm.json("explain", "day", str(DAYS[5]))["steps"]
    spine = next(step for step in steps if step["step"] == f"spine@{DAYS[2]}")
    assert [(cause["kind"], cause["what"]) for cause in spine["why"]] == [("input", f"dt={DAYS[2]}/part-1.parquet")]


def test_plan_runs_nothing_and_says_why(warm):
    edit(warm.runtime, content_filter__drop={"model_type": ["FLUX_MODEL"]})
    before = warm.stamps()
    found = warm.json("skeleton", "--range", RANGE, "--plan")
    assert warm.stamps() == before
    assert set(found["plan"][0]) >= {"day", "step", "why", "expected_seconds"}
    assert {row["step"] for row in found["plan"] if row["why"][0]["kind"] != "upstream"} == {"content"}
    assert all(row["expected_seconds"] > 0 for row in found["plan"])
    shown = warm.cli("skeleton", "--range", RANGE, "--plan").stdout
    assert "content_filter.drop.model_type" in shown


def test_cache_status(warm):
    edit(warm.runtime, feed_start="202601")
    found = warm.json("cache", "status")
    states = {row["day"]: row["state"] for row in found["days"]}
    assert states["2026-01-05"] == "empty" and states["2026-01-25"] == "missing"
    assert all(states[str(day)] == "fresh" for day in DAYS)
    assert states["2026-02-20"] == "empty"
    assert found["artifacts"] > 300 and found["bytes"] > 0 and found["reclaimable_bytes"] >= 0
    rewrite(warm.feed_file(DAYS[12]), lambda table: table.slice(3))
    states = {row["day"]: row["state"] for row in warm.json("cache", "status")["days"]}
    assert [states[str(day)] for day in DAYS[11:]] == ["fresh", "stale", "stale"]
    assert max(map(len, warm.cli("cache", "status").stdout.splitlines())) <= 80


def test_the_status_of_a_range_shows_its_days_and_what_gc_would_free_whatever_they_are(warm):
    edit(warm.runtime, feed_end=str(DAYS[3]))
    found = warm.json("cache", "status", "--range", f"{DAYS[2]}..{DAYS[5]}")
    assert {row["day"]: row["state"] for row in found["days"]} == {str(day): "fresh" for day in DAYS[2:6]}
    edit(warm.runtime, session_filter__drop_single_like=True)
    warm.run(str(DAYS[0]))  # now the last complete run, which needs nothing of the other days
    free = warm.json("cache", "gc", "--dry-run")["freed_bytes"]
    assert free > 0
    for range in (str(DAYS[0]), f"{DAYS[0]}..{DAYS[3]}", str(DAYS[12])):
        assert warm.json("cache", "status", "-r", range)["reclaimable_bytes"] == free
    assert warm.json("cache", "status")["reclaimable_bytes"] == free


def test_the_status_of_a_range_names_it_in_what_to_run_next(warm):
    warm.feed_file(DAYS[12]).write_bytes(b"PAR1")
    assert warm.cli("run", "--range", RANGE).returncode == 1
    lines = warm.cli("cache", "status", "--range", str(DAYS[12])).stdout.splitlines()
    assert f"daeda skeleton --range {DAYS[12]}" in map(str.strip, lines)
    assert warm.cli("cache", "status", "--range", "soon").returncode == 2


def test_verify_names_what_is_damaged_and_the_next_run_makes_it_again(warm):
    artifacts = sorted(warm.root.glob("cache/artifacts/*/*.parquet"))
    victim = max(artifacts, key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    stat = victim.stat()
    victim.write_bytes(content)
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    found = warm.json("cache", "verify")
    assert found["checked"] == len(artifacts)
    assert [os.path.basename(path) for path in found["corrupt"]] == [victim.name]
    report = warm.run()
    assert report.steps["computed"] == 0 and report.steps["unchanged"] >= 1
    assert warm.json("cache", "verify")["corrupt"] == []


def test_gc_frees_what_the_config_does_not_need(warm):
    assert warm.json("cache", "gc")["removed"] == 0
    edit(warm.runtime, session_filter__drop_single_like=True)
    warm.run()
    found = warm.json("cache", "gc")
    assert found["removed"] > 0 and found["freed_bytes"] > 0 and found["kept"] > 300
    assert nothing_ran(warm.run())


def test_gc_frees_the_index_of_another_outputs_sessions(warm):
    ours = index_folder(load_config("config"))
    other, mine = ours.with_name(digest.of_text("elsewhere")), ours.with_name("mine")
    for folder in (ours, other, mine):
        folder.mkdir(parents=True)
        (folder / "1.entries").write_bytes(bytes(500))
    assert warm.json("cache", "gc", "--dry-run")["freed_bytes"] == 500 and other.exists()
    assert warm.json("cache", "gc", "--older-than", "1")["freed_bytes"] == 0 and other.exists()
    assert warm.json("cache", "gc", "--max-bytes", str(1 << 40))["freed_bytes"] == 0 and other.exists()
    assert warm.json("cache", "gc")["freed_bytes"] == 500
    assert ours.exists() and mine.exists() and not other.exists()


def test_a_stdout_that_takes_nothing(warm):
    command = [sys.executable, "-m", "daedalus", "cache", "status"]
    for words in [command, [*command, "--json"], [*command[:3], "--help"]]:
        with open("/dev/full", "w") as full:
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, env=environment())
        assert done.returncode == 2 and "the result cannot be written" in done.stderr
        assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 3
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=environment())
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")  # `daeda … | head` is no error


def test_an_error_of_a_library_that_names_no_file_is_told_by_its_text(tmp_path, capsys):
    """That of pyarrow about damaged pages was told as a standard output that takes nothing."""
    file = tmp_path / "damaged.parquet"
    pq.write_table(pa.table({"text": ["a", "b" * 500]}), file, use_dictionary=False)
    damage_pages(file)
    with pytest.raises(OSError) as raised:
        pq.ParquetFile(file).read()
    assert raised.value.filename is None
    assert refuse(_worded(raised.value), ["--json"]) == 2
    out, err = capsys.readouterr()
    told = json.loads(out)["error"]
    assert (
        told["found"] == " ".join(str(raised.value).split()) and told["what"] == "something cannot be read or written"
    )
    assert "standard output" not in out + err


def test_resume_trusts_finished_days_and_goes_on(warm):
    expected = warm.bytes()
    shutil.rmtree(warm.root / "cache")
    shutil.rmtree(warm.output)
    command = [sys.executable, "-m", "daedalus", "skeleton", "--range", RANGE, "--progress", "plain"]
    process = subprocess.Popen(command, cwd=warm.root, stderr=subprocess.PIPE, text=True, env=environment())
    for line in process.stderr:
        if "[4/14]" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.stderr.close()
    process.wait()
    done = warm.cli("skeleton", "--resume", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["range"] == [str(FIRST), str(LAST)]
    assert found["days"]["done"] == 14 and found["steps"]["hit"] > 50
    assert warm.bytes() == expected
    assert not list(warm.root.rglob(".daeda-*")) and not list(warm.root.glob("cache/tmp/run-*"))
    assert nothing_ran(warm.run())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_what_is_done(cold, sent):
    command = [sys.executable, "-m", "daedalus", "skeleton", "--range", RANGE, "--progress", "plain", "--json"]
    process = subprocess.Popen(
        command, cwd=cold.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    shown = ""
    for line in process.stderr:
        shown += line
        if "[2/14]" in line:
            process.send_signal(sent)
            began = time.monotonic()
    assert process.wait() == 130
    assert time.monotonic() - began < 10
    again = f"daeda skeleton --range {RANGE} --progress plain --json --resume"
    assert f"interrupted; finished steps are kept. Continue with: {again}\n" in shown and "Traceback" not in shown
    assert json.loads(process.stdout.read())["error"]["hint"] == again
    assert len(list(cold.output.glob("dt=*"))) >= 2
    assert not list(cold.root.rglob(".daeda-*"))
    found = cold.json("skeleton", "--resume")
    assert found["days"]["done"] == 14


def test_nothing_to_resume_is_a_plain_run(warm):
    done = warm.cli("skeleton", "--range", RANGE, "--resume")
    first = f"nothing to resume: a plain run of {RANGE} into data/training_output"
    assert done.returncode == 0 and done.stderr.splitlines()[0] == first
    done = warm.cli("skeleton", "--resume", "--output-root", "elsewhere", "--plan")
    assert done.stderr.splitlines()[0] == "nothing to resume: a plain run of 2026-02-01..2026-02-28 into elsewhere"


def test_version_and_help():
    for arguments, expected in ((["--version"], "0."), (["--help"], "skeleton"), (["skeleton", "--help"], "--resume")):
        done = subprocess.run(
            [sys.executable, "-m", "daedalus", *arguments], capture_output=True, text=True, cwd=PROJECT
        )
        assert done.returncode == 0 and expected in done.stdout


def test_the_last_runs_are_listed_with_what_they_changed(warm):
    edit(warm.runtime, recent_published__max_items=1)
    warm.run()
    found = warm.json("runs")["runs"]
    assert [run["range"] for run in found] == [RANGE, RANGE] and {run["state"] for run in found} == {"done"}
    assert len(found[0]["changed"]) == 14 and found[0]["days"] == 14
    shown = warm.screen("runs", "--last", "1")
    assert found[0]["id"][:8] in shown and found[1]["id"][:8] not in shown
    assert "14 partitions changed: 2026-02-01 to 2026-02-14" in shown
    assert "config recent_published.max_items: 100 -> 1" in shown
    assert max(map(len, shown.splitlines())) <= 80
    diff = warm.json("diff", str(DAYS[5]), "--against", found[1]["id"])
    assert diff["started"] == found[1]["started"][:16]


def test_a_range_without_feed_says_which_days_there_are(warm):
    told = f"it has 2026-01-22 to {LAST}"
    for command in (["skeleton", "--range", "203001", "--allow-empty"], ["explain", "day", "2030-01-01"],
                    ["skeleton", "--range", "203001", "--allow-empty", "--plan"]):  # fmt: skip
        done = warm.cli(*command)
        assert done.returncode == 0 and told in done.stdout, command
    assert warm.json("explain", "day", "2030-01-01")["feed"] == ["2026-01-22", str(LAST)]
    assert "no run is recorded" in warm.cli("runs", "--cache-root", "empty").stdout


def test_explain_day_tells_what_became_of_the_days_feed_rows(warm):
    import pyarrow.parquet as pq

    found = warm.json("explain", "day", str(DAYS[5]))
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in warm.root.glob(f"data/feed/dt={DAYS[5]}/*"))
    counts = found["feed_rows"]
    assert counts["read"] == rows
    assert rows - counts["null_keys"] - counts["duplicates"] - counts["strays"] == found["funnel"][0]["rows"]
    assert f"feed rows: {rows:,} read; left out: " in warm.cli("explain", "day", str(DAYS[5])).stdout
    rewrite(warm.feed_file(DAYS[5]), lambda table: table.slice(1))
    assert "feed_rows" in warm.json("explain", "day", str(DAYS[5]))  # also of a day that is stale


def test_gc_says_when_it_cannot_get_there(warm):
    done = warm.cli("cache", "gc", "--max-bytes", "1000", "--dry-run")
    assert "more than --max-bytes" in done.stdout
