"""The live display of a run on a terminal: days as a calendar, running steps, time saved, time left.

It only watches a walk (see stagecache/walk/progress.py). A thread of its own draws it a few times a second, so
that a walk never waits for a terminal.
"""

from __future__ import annotations

import resource
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.text import Text

from daedalus.base.terminal_text import printable, silence
from daedalus.stagecache.walk.forecast import Forecast
from daedalus.stagecache.walk.outcome import BLOCKED, COMPUTED, FAILED, HIT, UNCHANGED, Outcome, rows_out
from daedalus.stagecache.walk.progress import Progress
from daedalus.watch.failure import failure_lines
from daedalus.watch.tallies import Tallies
from daedalus.watch.time_left import TimeLeft, spoken

_FRAMES_A_SECOND, _FRAMES_OF_A_WIDE_ONE = 4, 3  # a wide picture costs twice as much
_WAITING, _RUNNING, _EMPTY, _BEFORE = "waiting", "running", "empty", "done before"
# Each state has its own sign, for people and terminals without colour.
_SIGNS = {
    HIT: ("-", "green"), COMPUTED: ("#", "bold blue"), UNCHANGED: ("=", "cyan"), FAILED: ("x", "bold red"),
    BLOCKED: ("!", "yellow"), _BEFORE: ("+", "green"), _RUNNING: ("*", "bold magenta"), _EMPTY: ("o", "dim"),
    _WAITING: (".", "dim"),
}  # fmt: skip
_WIDEST = 110  # columns of a step's line: numbers far from their names are hard to read
_NARROW = 60  # columns below which a step's rows are left out
_WIDE, _BESIDE = 120, 72  # columns from which there is a panel beside the calendar, and its least width
_MOST_STEPS = 20  # lines of steps, running and just done
_SHORT = 0.05  # seconds below which a step that is done is not shown: it would read 0.0
_WORST = (FAILED, BLOCKED, COMPUTED, UNCHANGED, HIT)  # a day has the first of these states that one of its steps has


@contextmanager
def one_line(out: TextIO) -> Iterator[Callable[[str], None]]:
    """Gives a function that shows a line in place of the last one."""
    with _Screen(file=out, highlight=False).status("") as status:
        yield lambda line: status.update(Text(printable(line)))


class _Screen(Console):
    """A terminal; if it goes away, the run continues without output."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        silence(self.file)  # type: ignore[arg-type]


class Tui(Progress):
    """Draws a run on a terminal."""

    estimates = True

    def __init__(self, out: TextIO) -> None:
        self._console = _Screen(file=out, highlight=False)
        self._live: Live | None = None
        self._days: dict[str, str] = {}
        self._states: dict[str, Counter[str]] = {}  # of each day's steps
        self._steps: Counter[str] = Counter()
        self._at_work: dict[str, float] = {}
        self._just_done: deque[Outcome] = deque(maxlen=_MOST_STEPS)
        self._total, self._began = 0, time.monotonic()
        self._time, self._tallies = TimeLeft(Forecast()), Tallies()
        self._rows = 0

    # What a walk calls

    def done_before(self, days: Mapping[str, bool]) -> None:
        self._days = {day: _EMPTY if empty else _BEFORE for day, empty in days.items()}

    def begin(self, days: list[str], actions: int, forecast: Forecast) -> None:
        self.expect(days, actions, forecast)
        frames = _FRAMES_OF_A_WIDE_ONE if self._console.width >= _WIDE else _FRAMES_A_SECOND
        self._live = Live(self, console=self._console, refresh_per_second=frames, transient=True)
        self._live.start()

    def expect(self, days: list[str], actions: int, forecast: Forecast) -> None:
        """Sets what the display is about, without starting to draw it."""
        self._days = dict(sorted({**self._days, **dict.fromkeys(days, _WAITING)}.items()))
        self._total, self._time, self._began = actions, TimeLeft(forecast), time.monotonic()

    def started(self, name: str) -> None:
        self._at_work[name] = time.monotonic()
        self._time.started(name)
        day = name.rpartition("@")[2]
        if self._days.get(day) == _WAITING:
            self._days[day] = _RUNNING

    def finished(self, outcome: Outcome) -> None:
        self._at_work.pop(outcome.name, None)
        self._steps[outcome.state] += 1
        self._time.finished(outcome)
        self._tallies.add(outcome)
        if outcome.state == FAILED:
            self._print(failure_lines(outcome), style="red")
        if outcome.ran:
            self._rows += rows_out(outcome.counts)
            if outcome.seconds >= _SHORT:
                self._just_done.appendleft(outcome)
        if outcome.day in self._days:
            self._states.setdefault(outcome.day, Counter())[outcome.state] += 1

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        states = self._states.get(day, Counter())
        empty = any(outcome.counts.get("empty") for outcome in outcomes)
        self._days[day] = _EMPTY if empty else next((state for state in _WORST if states[state]), HIT)

    def say(self, line: str) -> None:
        self._print([line])

    def _print(self, lines: Sequence[str], style: str = "") -> None:
        """Prints lines above the display."""
        console = self._live.console if self._live else self._console
        console.print(*(Text(printable(line), style=style) for line in lines), sep="\n")

    def end(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None
            self._console.print(Group(*self._calendar(self._console.width, 1000), self._legend()))

    # The display

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width - 2, console.height  # a terminal echoes ^C, and must not wrap then
        head, work = self._head(width), self._work(width, min(max(height // 3, 3), _MOST_STEPS))
        room = max(height - len(head) - len(work) - 2, 2)
        yield Group(*head, *(self._wide(width, room) if width >= _WIDE - 2 else self._narrow(width, room)), *work)

    def _narrow(self, width: int, room: int) -> list[Text]:
        return [*self._calendar(width, room), self._legend()]

    def _wide(self, width: int, room: int) -> list[Text]:
        """The calendar, and beside it what is slow, why the run runs, and the share of the cache."""
        left = (width - _BESIDE) // 41 * 41
        days, panel = self._calendar(left, room), self._tallies.panel(width - left, room)
        days += [Text() for _ in panel[len(days) :]]
        for line, beside in zip(days, panel, strict=False):
            line.append(" " * (left - len(line))).append_text(beside)
        return [*days, self._legend()]

    def _head(self, width: int) -> list[Text]:
        done, seconds = sum(self._steps.values()), time.monotonic() - self._began
        share = done / max(self._total, 1)
        bar = max(width - 34, 10)
        filled = int(share * bar)
        lines = [Text(f"{'█' * filled}{'░' * (bar - filled)} {done:>7,} of {self._total:,} steps", style="bold")]
        ran = self._steps[COMPUTED] + self._steps[UNCHANGED]
        pace = f"{self._rows / max(seconds, 1):,.0f} rows/s written"
        memory = f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"
        facts = [f"{_clock(seconds)} elapsed", spoken(self._time.left()), pace, memory, *self._spilled()]
        lines.append(Text(" · ".join(filter(None, facts))))
        bad = "".join(f", {self._steps[state]:,} {state}" for state in (FAILED, BLOCKED) if self._steps[state])
        hits = f", {self._steps[HIT]:,} cached, which saved {_clock(self._tallies.saved)}" if self._steps[HIT] else ""
        lines.append(Text(f"{ran:,} ran{bad}{hits}"))
        return [_cut(line, width) for line in lines]

    def _spilled(self) -> list[str]:
        """How much the memory limit sent to disk, from 0.05 GiB on."""
        gib = self.spilled() / 2**30
        return [f"spilled {gib:.1f} GiB"] if gib >= 0.05 else []

    def _calendar(self, width: int, height: int) -> list[Text]:
        """A month per cell of 41 columns; the months in progress when there is no room for all."""
        months: dict[str, Text] = {}
        for day, state in self._days.items():
            text = months.setdefault(day[:7], Text(f"{day[:7]} "))
            text.append(" " * (int(day[8:]) - 1 - (len(text) - 8)))
            text.append(*_SIGNS[state])
        columns = max(width // 41, 1)
        for text in months.values():
            text.append(" " * (41 - len(text)))
        names = list(months)
        room = height * columns
        if len(names) > room:
            open_months = {day[:7] for day, state in self._days.items() if state in (_WAITING, _RUNNING)}
            busy = next((i for i, month in enumerate(names) if month in open_months), 0)
            first = min(max(busy - columns, 0), len(names) - room)
            names = names[first : first + room]
        return [
            Text.assemble(*(months[name] for name in names[i : i + columns])) for i in range(0, len(names), columns)
        ]

    def _legend(self) -> Text:
        tally = Counter(self._days.values())
        legend = Text()
        for state, (sign, style) in _SIGNS.items():
            if tally[state]:
                legend.append(f"{sign}", style=style).append(f" {tally[state]:,} {state}  ")
        return legend

    def _work(self, width: int, height: int) -> list[Text]:
        """The running steps and, below them, those just done with their rows; always `height` lines."""
        now = time.monotonic()
        at_work = sorted(self._at_work.copy().items(), key=lambda item: item[1])
        lines = [_step(_RUNNING, name, "", now - began, width) for name, began in at_work]
        for outcome in list(self._just_done):
            rows = rows_out(outcome.counts)
            rate = f"{rows:,} rows  {_short(rows / outcome.seconds) if outcome.seconds else '':>6}/s" if rows else ""
            lines.append(_step(outcome.state, outcome.name, rate, outcome.seconds, width))
        return [*lines, *[Text()] * height][:height]


def _step(state: str, name: str, rows: str, seconds: float, width: int) -> Text:
    """The line of a step: name, rows, rows a second, seconds. A name that is too long loses its end, not its day."""
    sign, style = _SIGNS[state]
    facts = f"{rows:>25}{seconds:>8.1f} s" if width >= _NARROW else f"{seconds:>8.1f} s"
    name, room = printable(name), max(min(width, _WIDEST) - len(facts) - 2, 0)
    if len(name) > room:
        kind, _, day = name.rpartition("@")
        name = f"{kind[: max(room - len(day) - 2, 0)]}…@{day}"
    return _cut(Text.assemble((sign, style), f" {name:<{room}}", facts), width)


def _short(number: float) -> str:
    """Such as 950, 12k or 3.4M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.{0 if number >= 10 * size else 1}f}{unit}"
    return f"{number:.0f}"


def _cut(text: Text, width: int) -> Text:
    text.truncate(width)
    return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
