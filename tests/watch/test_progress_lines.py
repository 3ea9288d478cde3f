"""What a run says from its first moment on: what it looks at, what is done already, what failed; on any output."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from msgspec import structs
from rich.console import Console
from small import DAYS, RANGE, edit, interrupted

from daedalus.base import counted_off as counting
from daedalus.pipelines.forecast import forecast
from daedalus.pipelines.resume import last_unfinished
from daedalus.stagecache.action import Cause
from daedalus.stagecache.walk.forecast import Expected, Forecast
from daedalus.stagecache.walk.outcome import COMPUTED, FAILED, HIT, MAYBE, UNCHANGED, Outcome
from daedalus.watch.failure import failure_lines
from daedalus.watch.late_terminal import LateTui
from daedalus.watch.plain import PlainProgress
from daedalus.watch.terminal import Tui
from daedalus.workspace.graph import build_graph
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

FIRST = f"{RANGE} into data/training_output: looking at the inputs"


@pytest.mark.parametrize("kind", ["plain", "tui"])
def test_the_first_line_names_the_range_and_the_output(warm, kind):
    done = warm.cli("skeleton", "--range", RANGE, "--progress", kind)
    assert done.stderr.splitlines()[0] == FIRST
    assert warm.cli("skeleton", "--range", RANGE, "--progress", "none").stderr == ""


def test_the_first_line_needs_neither_the_picture_nor_an_engine(cold):
    """They take 0.1 s and more to import."""
    script = (
        "import sys\nfrom daedalus.cli.main import main\nfrom daedalus.watch import late_terminal\n"
        "tell = late_terminal.tell\n"
        "def first(line, out):\n    tell(line, out)\n    print(*sys.modules)\n    raise SystemExit\n"
        "late_terminal.tell = first\nmain(['skeleton', '--progress', 'tui'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "looking at the inputs" in done.stderr
    assert {"rich.live", "duckdb", "pyarrow", "numba", "numpy"}.isdisjoint(done.stdout.split())


def test_a_long_look_says_how_far_it_is(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr(counting.time, "monotonic", lambda: now[0])
    line = "looked at {done:,} of {total:,} feed files"
    for _ in counting.counted_off(range(10_000), 10_000, said.append, line):
        now[0] += 0.001
    assert said[0] == "looked at 1,000 of 10,000 feed files" and 4 <= len(said) <= 6
    assert list(counting.counted_off([1, 2], 2, said.append, line)) == [1, 2]


def test_on_a_terminal_how_far_a_look_is_changes_in_place():
    out = io.StringIO()
    screen = LateTui(out)
    screen.looking("first")
    screen.looking("looked at 1")
    screen.looking("looked at 2\x1b[31m")
    screen.say("a note")
    lines = out.getvalue().split("\n")
    assert lines[0] == "first" and lines[1].endswith("\r\x1b[2Ka note") and "\x1b[31m" not in out.getvalue()


def test_days_finished_before_a_resume_count_as_done(cold):
    assert len(interrupted(5, RANGE)) == 5
    assert last_unfinished(Settings())
    done = cold.cli("skeleton", "--resume", "--progress", "plain")
    days = [line for line in done.stderr.splitlines() if "/14]" in line]
    assert " done before" in done.stderr and days[-1].split()[1] == "[14/14]"
    assert days[0].split()[1] == "[6/14]" and len(days) == 9


def test_fresh_days_count_as_done(cold):
    assert cold.cli("skeleton", "--range", f"{DAYS[0]}..{DAYS[6]}", "--progress", "none").returncode == 0
    done = cold.cli("skeleton", "--range", RANGE, "--progress", "plain")
    assert "7 days, " in done.stderr and "; 7 days done before" in done.stderr and "[8/14]" in done.stderr


def picture(tui: Tui, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, no_color=True)
    console.print(tui)
    return console.file.getvalue().splitlines()


def test_days_done_before_are_drawn_as_such():
    tui = Tui(io.StringIO())
    tui.done_before({"2026-02-01": False, "2026-02-02": True})
    tui.expect(["2026-02-03"], 1, Forecast())
    lines = picture(tui, 80, 24)
    assert any(line.startswith("2026-02 +o.") for line in lines)
    assert any("+ 1 done before" in line and "o 1 empty" in line for line in lines)


def halfway(out: io.StringIO) -> Tui:
    """A run for a filter and for nothing before, of which some steps are cached."""
    days = [f"2026-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    tui = Tui(out)
    tui.expect(days, 9, Forecast({f"chunk@{day}": Expected(MAYBE, 1.0) for day in days}, 2))
    edited = (Cause("config", "session_filter.drop_single_like", "false", "true"), Cause("code", "sql", "a", "b"))
    tui.finished(Outcome("spine@2026-01-01", "spine", "2026-01-01", HIT, seconds=61.0))
    for day, seconds in (("2026-01-01", 2.5), ("2026-01-02", 0.001)):
        tui.finished(Outcome(f"sessions@{day}", "sessions", day, COMPUTED, seconds=seconds, why=edited))
    follows = (Cause("upstream", "sessions@2026-01-01", "a", "b"),)
    tui.finished(Outcome("qids@2026-01-01", "qids", "2026-01-01", UNCHANGED, seconds=1.0, why=follows))
    return tui


@pytest.mark.parametrize(("width", "height"), [(120, 40), (200, 60), (120, 12), (150, 24)])
def test_a_wide_screen_says_what_is_slow_and_why(width, height):
    lines = picture(halfway(io.StringIO()), width, height)
    assert len(lines) <= height and max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert max(map(text.count, ("most seconds by step", "slowest days", "x qids"))) <= 1
    assert "from the cache  1 of 4 (25%)" in text and "which saved 1:01" in text
    if height >= 40:
        assert "2 x config session_filter.drop_single_like" in text and "code sql" not in text
        assert "why it runs (1 step downstream)" in text
        assert "2.5 s       2 x sessions" in text and "3.5 s  2026-01-01" in text and " 0.0 s" not in text


def test_a_narrow_screen_has_no_panel_and_no_steps_of_no_time():
    lines = picture(halfway(io.StringIO()), 80, 24)
    assert len(lines) <= 24 and not any("from the cache" in line for line in lines)
    assert any("sessions@2026-01-01" in line for line in lines)
    assert not any("sessions@2026-01-02" in line for line in lines)


WRONG = {"what": "a file cannot be read", "where": "data/a; b.parquet", "found": "4 bytes", "hint": "restore it"}
FAILURE = Outcome("spine@2026-05-15", "spine", "2026-05-15", FAILED, problem=WRONG)


def test_a_failure_has_a_line_for_each_part_of_its_error():
    assert failure_lines(FAILURE) == [
        "failed  2026-05-15 spine",
        "        a file cannot be read",
        "          where:    data/a; b.parquet",
        "          found:    4 bytes",
        "          hint:     restore it",
    ]


def test_failures_are_said_above_the_picture_and_in_lines():
    for kind in (Tui, PlainProgress):
        out = io.StringIO()
        kind(out).finished(FAILURE)
        assert [line.rstrip() for line in out.getvalue().splitlines()] == failure_lines(FAILURE)


def test_failed_and_blocked_are_counted_apart():
    tui = halfway(io.StringIO())
    tui.finished(FAILURE)
    tui.finished(Outcome("chunk@2026-05-15", "chunk", "2026-05-15", "blocked"))
    assert any("3 ran, 1 failed, 1 blocked, 1 cached" in line for line in picture(tui, 80, 24))


def test_a_partition_of_other_rows_is_expected_to_cost_what_cutting_it_whole_did(cold):
    """Its last run took most columns over from the one before, and says nothing of a filter."""
    cold.run()
    with opened(Settings()) as workspace:
        name = f"chunk@{DAYS[9]}"
        trace = workspace.traces.latest(name)
        workspace.traces.record(structs.replace(trace, key="0" * 32, seconds=60.0))  # an earlier run of it
        workspace.traces.write()
        workspace.traces.point(name, trace.key)
    for what, edited in (("filter", {"session_filter__drop_single_like": True}),
                         ("columns", {"output_columns": ["user_id", "event"]})):  # fmt: skip
        edit(cold.runtime, **edited)
        with opened(Settings()) as workspace:
            graph = build_graph(workspace, list(workspace.config.range(RANGE)), reconcile=True)
            step = forecast(workspace, graph, force=False, here=True).steps[name]
        assert step.state != HIT and (step.seconds == 60.0) == (what == "filter"), (what, step)
        cold.run()
