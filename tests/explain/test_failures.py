"""What failed, and what that blocks, is one story on every screen, in --json and in the report."""

from __future__ import annotations

import json

import pytest
from small import DAYS, RANGE, Small, damage_pages, edit, interrupted, rewrite

from daedalus.explain.day import day_lines, explain_day
from daedalus.explain.run_history import last_runs
from daedalus.report.collect import collect
from daedalus.upkeep.status import cache_status, status_lines
from daedalus.workspace.day_results import last_results, results_of
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

BROKEN = str(DAYS[9])


@pytest.fixture
def broken(warm: Small) -> Small:
    """The world after a run over a feed day whose file is cut off."""
    path = warm.feed_file(BROKEN)
    path.write_bytes(path.read_bytes()[:100])
    return warm


def states(days: dict[str, int]) -> tuple[int, int]:
    return days.get("failed", 0), days.get("blocked", 0)


def test_every_screen_tells_the_same_days_and_the_same_error(broken):
    report = broken.run()
    failed = [day for day, result in report.results.items() if result.state == "failed"]
    blocked = [day for day, result in report.results.items() if result.state == "blocked"]
    assert failed == [BROKEN] and blocked == [str(day) for day in DAYS[10:]]
    assert states(report.days) == (1, 4) and report.exit_code == 1
    assert report.days["done"] + 5 == report.days["total"] == 14

    found = cache_status(Settings())
    last = {row["day"]: row["last"] for row in found["days"] if row["last"]}
    assert {day: one["state"] for day, one in last.items()} == {day: one.state for day, one in report.results.items()}
    page = collect(Settings(), RANGE)
    assert dict(zip(page["days"], page["day_states"], strict=True)) | {d: r.state for d, r in report.results.items()} \
        == dict(zip(page["days"], page["day_states"], strict=True))  # fmt: skip
    assert states(page["totals"]["days"]) == (1, 4)
    with opened(Settings()) as workspace:
        run = last_runs(workspace.traces)[0]
    assert states(run) == (1, 4) and run["state"] == "failed" and run["changed"] == []
    error = report.failures[0].error
    assert str(broken.feed_file(BROKEN).relative_to(broken.root)) in error
    assert all(any(failure["error"] == error for failure in one["failures"]) for one in last.values())
    assert run["failures"][0]["error"] == error
    assert error in page["notes"][0]


@pytest.mark.parametrize("shards", ["auto", 3])
def test_a_feed_file_whose_pages_are_damaged_fails_its_day_by_name(warm, shards):
    """It was the library's own error, which names no file."""
    edit(warm.runtime, day_shards=shards)
    damage_pages(warm.feed_file(DAYS[9]))
    report = warm.run()
    assert report.exit_code == 1 and states(report.days) == (1, 4)
    assert "a parquet file cannot be read" in report.failures[0].error
    assert str(warm.feed_file(DAYS[9]).relative_to(warm.root)) in report.failures[0].error


def test_a_view_whose_pages_are_damaged_ends_the_run_by_name(warm):
    view = next((warm.root / "data/catalog/artwork_properties").glob("*.parquet"))
    damage_pages(view)
    done = warm.cli("skeleton", "--range", RANGE, "--json")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 2 and error["what"] == "a parquet file cannot be read"
    assert error["where"].endswith(view.name) and error["hint"]


def test_the_run_names_failures_first_then_why_other_days_did_not_run(broken):
    lines = broken.run().lines()
    assert lines[0].startswith(f"{RANGE}: 9 of 14 days done, 1 failed, 4 blocked, in ")
    assert lines[1].startswith(f"failed      {BROKEN} spine")
    what = lines.index("            a parquet file cannot be read")
    assert lines[what + 1].strip().startswith("where:    data/feed/") and "hint: " in lines[what + 4]
    text = " ".join(line.strip() for line in lines)
    assert f"blocked     4 days from {DAYS[10]} to {DAYS[13]} need {BROKEN} " in "\n".join(lines)
    assert "through like_artwork_ids, " in text and f"daeda explain day {BROKEN}" in text
    assert " 0 " not in text


def test_explain_day_shows_the_error_of_a_failed_day_and_what_blocks_another(broken):
    broken.run()
    found = explain_day(Settings(), BROKEN)
    assert (
        found["last"]["state"] == "failed" and found["last"]["failures"][0]["what"] == "a parquet file cannot be read"
    )
    shown = day_lines(found)
    assert shown[0].startswith(f"{BROKEN}: failed in run ") and "    a parquet file cannot be read" in shown
    assert any("    + cannot be read (" in line for line in shown)
    found = explain_day(Settings(), str(DAYS[10]))
    assert found["last"]["state"] == "blocked" and "like_artwork_ids" in found["last"]["through"]
    assert "chunk" not in found["last"]["through"]
    assert f"{BROKEN} spine" in " ".join(day_lines(found)[:4])


def test_a_repaired_day_has_no_past(broken):
    whole = broken.feed_file(BROKEN).read_bytes()
    broken.run()
    rewrite(broken.feed_file(DAYS[8]), lambda table: table.slice(1))  # so that a day is not fresh
    broken.feed_file(BROKEN).write_bytes(whole)
    broken.feed_file(BROKEN).unlink()  # the other file of the day stays
    assert broken.run().exit_code == 0
    assert not any(row["last"] for row in cache_status(Settings())["days"])
    with opened(Settings()) as workspace:
        assert workspace.day_results.all() == {}


def test_an_older_failure_is_not_shown_once_a_later_run_was_asked_for_the_day(broken):
    path = broken.feed_file(BROKEN)
    damaged = path.read_bytes()
    broken.run()
    path.unlink()
    broken.run(f"{DAYS[9]}..{DAYS[9]}")
    path.write_bytes(damaged)
    row = next(row for row in cache_status(Settings())["days"] if row["day"] == BROKEN)
    assert row["state"] == "stale" and row["last"] is None


def test_json_counts_failed_and_blocked_apart_and_names_what_blocks(broken):
    done = broken.cli("skeleton", "--range", RANGE, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and states(found["days"]) == (1, 4)
    assert {row["day"] for row in found["blocked"]} == {str(day) for day in DAYS[10:]}
    assert all({"day": BROKEN, "step": "spine"} in row["by"] for row in found["blocked"])
    assert found["failures"][0]["where"] in found["failures"][0]["error"]


def test_screens_fit_80_columns_and_name_the_commands_with_their_options(broken):
    (broken.root / "config").rename(broken.root / "mine")
    shown = broken.screen("skeleton", "--config", "mine", "--range", RANGE, "--progress", "none")
    assert f"daeda explain day {BROKEN} --config mine" in shown
    status = "\n".join(status_lines(cache_status(Settings(config="mine")), " --config mine"))
    assert "x 1 failed, ! 4 blocked" in status and f"daeda explain day {BROKEN} --config mine" in status
    assert "1 day failed, 4 days blocked" in broken.cli("runs", "--config", "mine").stdout


def test_the_funnel_is_shown_when_everything_is_cached(warm):
    first, again = warm.run(), warm.run()
    assert again.steps["computed"] == 0 and again.funnel == first.funnel != {}
    assert again.funnel["chunk"] == again.rows["written"]
    assert any(line.startswith("funnel      spine ") for line in again.lines())


def test_nothing_that_is_zero_is_printed(warm):
    text = "\n".join(warm.run().lines())
    assert " 0 failed" not in text and " 0 empty" not in text and "0 written" not in text


def test_results_name_the_failure_behind_a_chain_of_blocked_steps():
    from daedalus.stagecache.action import Cause
    from daedalus.stagecache.walk.outcome import BLOCKED, COMPUTED, FAILED, Outcome

    problem = {"what": "it broke", "where": None, "found": None, "expected": None, "hint": None}

    def blocked(name: str, step: str, day: str, *above: str) -> Outcome:
        return Outcome(name, step, day, BLOCKED, why=tuple(Cause("upstream", one, None, BLOCKED) for one in above))

    outcomes = [
        Outcome("spine@2026-01-01", "spine", "2026-01-01", FAILED, problem=problem),
        blocked("event_values:a@2026-01-01", "event_values", "2026-01-01", "spine@2026-01-01"),
        blocked("rolling:likes@2026-01-02", "rolling", "2026-01-02", "event_values:a@2026-01-01"),
        blocked("chunk@2026-01-02", "chunk", "2026-01-02", "rolling:likes@2026-01-02"),
        Outcome("chunk@2026-01-03", "chunk", "2026-01-03", COMPUTED),
    ]
    found = results_of({one.name: one for one in outcomes}, ["2026-01-02", "2026-01-03", "2026-01-04"])
    assert list(found) == ["2026-01-02"]
    assert (found["2026-01-02"].state, found["2026-01-02"].through) == ("blocked", ("likes",))
    assert [(one.day, one.step, one.error) for one in found["2026-01-02"].failures] == [
        ("2026-01-01", "spine", "it broke")
    ]


def test_an_interrupted_run_leaves_its_days_unfinished(cold):
    done = interrupted(1, RANGE)
    last = {row["day"]: row["last"] for row in cache_status(Settings())["days"]}
    unfinished = {day for day, one in last.items() if one is not None and one["state"] == "unfinished"}
    assert unfinished == {*map(str, DAYS)} - {*done} != set()
    assert any("daeda skeleton --resume" in line for line in status_lines(cache_status(Settings())))


def test_a_run_into_another_output_says_nothing_of_this_one(broken):
    broken.run()
    broken.run(output_root="elsewhere")
    with opened(Settings()) as workspace:
        left = last_results(workspace, [BROKEN])
        assert left[BROKEN].state == "failed" and left[BROKEN].run == last_runs(workspace.traces)[1]["id"]


def test_a_refused_run_is_told_until_another_ran(warm):
    view = next((warm.root / "data/catalog/artwork_tack").glob("*.parquet"))
    whole = view.read_bytes()
    view.write_bytes(whole[:50])
    assert warm.cli("skeleton", "--range", RANGE).returncode == 2
    view.write_bytes(whole)
    refused = cache_status(Settings())["refused"]
    assert str(view.relative_to(warm.root)) in refused["where"]
    shown = warm.cli("runs", "--last", "1").stdout
    assert "refused: " in shown and str(view.relative_to(warm.root)) in shown
    warm.run()
    assert cache_status(Settings())["refused"] is None
