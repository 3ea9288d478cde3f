"""The picture of a run: right at any size, without colour, and gone without a trace."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from daedalus.stagecache.walk.forecast import Expected, Forecast
from daedalus.stagecache.walk.outcome import COMPUTED, FAILED, HIT, MAYBE, Outcome
from daedalus.watch.terminal import Tui

DAYS = [f"2026-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]


def drawn(tui: Tui, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False, no_color=True)
    console.print(tui)
    return console.file.getvalue().splitlines()


def walked(tui: Tui) -> Tui:
    """Some way into a run of a year of days."""
    steps = {f"chunk@{day}": Expected(MAYBE, 2.0) for day in DAYS}
    tui.begin(DAYS, len(steps), Forecast(steps, 2))
    for day, state in zip(DAYS, [HIT, COMPUTED, FAILED], strict=False):
        tui.started(f"chunk@{day}")
        outcome = Outcome(f"chunk@{day}", "chunk", day, state, counts={"rows_in": 100}, seconds=2.0)
        tui.finished(outcome)
        tui.day_done(day, [outcome])
    tui.started(f"chunk@{DAYS[3]}")
    return tui


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (40, 10)])
def test_the_picture_fits(width, height):
    tui = walked(Tui(io.StringIO()))
    lines = drawn(tui, width, height)
    tui.end()
    assert len(lines) <= height and max(map(len, lines)) <= width
    assert "3 of 336 steps" in lines[0]
    assert any(line.startswith("2026-01 -#x*....") for line in lines)
    assert any("1 hit" in line and "1 computed" in line and "1 failed" in line for line in lines) or width < 80
    at_work = next(line for line in lines if line.startswith("* ") and " running " not in line)
    assert at_work.startswith(f"* chunk@{DAYS[3]}") or width < 80


def test_no_terminal_is_too_narrow():
    """Below 39 columns a name had less than no room, and the run failed for its picture."""
    tui = walked(Tui(io.StringIO()))
    for width in range(4, 120):
        assert max(map(len, drawn(tui, width, 24))) <= width
    tui.end()


def test_what_is_left_on_the_screen_has_every_day_and_no_cursor_games(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    tui = walked(Tui(out))
    tui.say("a sentence [with brackets]")
    tui.end()
    tui.end()
    left = out.getvalue()
    assert "a sentence [with brackets]" in left
    assert all(f"2026-{month:02} " in left for month in range(1, 13))
    assert "\x1b[?25l" not in left or left.rindex("\x1b[?25h") > left.rindex("\x1b[?25l")


def test_steps_just_done_have_rows_and_rate_and_the_picture_keeps_its_height():
    tui = walked(Tui(io.StringIO()))
    before = drawn(tui, 80, 24)
    tui.started("spine@2026-01-05")
    tui.finished(Outcome("spine@2026-01-05", "spine", "2026-01-05", COMPUTED, counts={"rows": 30_000}, seconds=2.0))
    after = drawn(tui, 80, 24)
    tui.end()
    done = next(line for line in after if "spine@2026-01-05" in line)
    assert done.startswith("# ") and "30,000 rows" in done and "15k/s" in done and done.endswith("2.0 s")
    assert len(after) == len(before)


def test_a_failure_and_what_spills_are_on_the_screen():
    out = io.StringIO()
    tui = walked(Tui(out))
    tui.spilled = lambda: 3 << 30
    assert any("spilled 3.0 GiB" in line for line in drawn(tui, 100, 24))
    tui.end()
    assert f"failed  {DAYS[2]} chunk" in out.getvalue()
