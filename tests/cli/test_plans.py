"""A plan says what a run would refuse, shows itself, and is the same as text and as JSON."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from small import DAYS, RANGE, edit

from daedalus.base.errors import DaedalusError
from daedalus.cli.main import _run


def damaged(world) -> None:
    (world.output / "qid_map.parquet").write_bytes(b"no parquet")


def older(world) -> None:
    """A map that does not know what partitions hold."""
    import pyarrow.parquet as pq

    path = world.output / "qid_map.parquet"
    pq.write_table(pq.read_table(path).slice(0, 3), path)


def into(output: str):
    return lambda world: edit(world.runtime, output_root=output)


REFUSED = {
    "a map that is gone": (lambda w: (w.output / "qid_map.parquet").unlink(), "the qid map is missing"),
    "a map that is damaged": (damaged, "the qid map is damaged"),
    "an older map": (older, "the qid map does not know qids that partitions hold"),
    "an output that is a file": (into("config/catalog.yaml"), "a folder cannot be made"),
    "an output below a file": (into("config/catalog.yaml/o"), "a folder cannot be made"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_plan_refuses_what_the_run_refuses(warm, case, capsys):
    edit(warm.runtime, recent_published__max_items=3)
    change, what = REFUSED[case]
    change(warm)
    before = {path: path.read_bytes() for path in warm.output.rglob("*") if path.is_file()}
    told = []
    for more in (["--plan"], []):
        assert _run(["skeleton", "--range", RANGE, "--progress", "none", *more]) == 2
        out, err = capsys.readouterr()
        assert out == "" and f"error: {what}" in err
        told.append(err)
        assert {path: path.read_bytes() for path in warm.output.rglob("*") if path.is_file()} == before
    assert told[0] == told[1]


def test_a_plan_refuses_an_output_that_cannot_be_written(warm, tmp_path, capsys):
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path / "disk")]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        for output, what in (("disk", "a folder cannot be written"), ("disk/out", "a folder cannot be made")):
            for more in (["--plan"], []):
                given = ["skeleton", "--output-root", str(tmp_path / output), "--range", RANGE, "--progress", "none"]
                assert _run([*given, *more]) == 2
                where = f"output_root (--output-root): {tmp_path / output}"
                assert f"error: {what}\n  where:    {where}" in capsys.readouterr().err
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_other_peoples_files_are_named_before_the_run_fails_for_them(warm, capsys):
    edit(warm.runtime, recent_published__max_items=3)
    for day in DAYS[2:4]:
        (warm.output / f"dt={day}/notes.txt").write_text("mine")
    assert _run(["skeleton", "--range", RANGE, "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        f"  in the way  {DAYS[2]}",
        "            something in the partition's place was not written by daeda",
    ]
    assert any(line.strip() == "2 days would fail because of this" for line in lines)
    report = warm.run(plan=True)
    assert [one.day for one in report.failures] == [str(day) for day in DAYS[2:4]] and report.exit_code == 0
    assert _run(["skeleton", "--range", RANGE, "--plan", "--adopt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failures"] == []
    assert {(one.day, one.error) for one in warm.run().failures} == {(one.day, one.error) for one in report.failures}


def test_a_plan_does_not_mind_what_a_run_mends(warm):
    """A map of another machine that knows all that the partitions hold is taken, and only by a run."""
    import pyarrow.parquet as pq

    path = warm.output / "qid_map.parquet"
    table = pq.read_table(path)
    pq.write_table(table, path, compression="gzip")
    edit(warm.runtime, recent_published__max_items=3)
    assert warm.run(plan=True).plan and warm.run(None, plan=True).plan
    assert warm.run().exit_code == 0 and pq.read_table(path) == table


def test_a_plan_has_its_causes_as_json_and_shows_itself(warm, capsys):
    edit(warm.runtime, recent_published__max_items=3)
    found = warm.json("skeleton", "--range", RANGE, "--plan")
    (cause,) = [cause for cause in found["causes"] if cause["kind"] == "config"]
    assert cause["what"] == "recent_published.max_items" and cause["new"] == "3" and cause["steps"]
    assert _run(["skeleton", "--range", RANGE, "--plan"]) == 0
    shown = capsys.readouterr().out
    report = warm.run(plan=True)
    assert f"{report}\n" == shown and "recent_published.max_items" in shown
    assert "recent_published.max_items" in report._repr_html_() and "days done" not in report._repr_html_()
    assert repr(report) == f"<RunReport {RANGE}: a plan of {len(report.plan)} step-days; print() shows it>"
    assert "causes" not in warm.run().as_json()


def test_a_plan_of_nothing(warm):
    report = warm.run(plan=True)
    assert str(report).startswith(f"{RANGE}: nothing would run") and report.as_json()["causes"] == []


def test_python_raises_what_the_run_raises(warm):
    edit(warm.runtime, recent_published__max_items=3)
    (warm.output / "qid_map.parquet").unlink()
    for plan in (True, False):
        with pytest.raises(DaedalusError, match="restore qid_map"):
            warm.run(plan=plan)
