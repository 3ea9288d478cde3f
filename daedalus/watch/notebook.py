"""The live display of a run in a notebook; its last state stays in the output."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from html import escape
from typing import Any

from rich.console import Console

from daedalus.base.terminal_text import printable
from daedalus.stagecache.walk.forecast import Forecast
from daedalus.stagecache.walk.outcome import FAILED, Outcome
from daedalus.stagecache.walk.progress import Progress
from daedalus.watch.failure import failure_lines
from daedalus.watch.terminal import Tui

_SECONDS = 0.5  # between drawings
_WIDTH, _HEIGHT = 100, 40


def notebook_progress() -> Progress | None:
    """A Notebook if this process is a notebook's kernel, else None. Imports nothing to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return Notebook() if shell is not None and type(shell).__name__ == "ZMQInteractiveShell" else None


class Notebook(Progress):
    """Draws what the terminal would show into one output of a cell."""

    estimates = True

    def __init__(self) -> None:
        self._picture = Tui(io.StringIO())
        self._said: list[str] = []
        self._shown: Any = None
        self._drawn = 0.0

    def done_before(self, days: Mapping[str, bool]) -> None:
        self._picture.done_before(days)

    def begin(self, days: list[str], actions: int, forecast: Forecast) -> None:
        from IPython.display import display

        self._picture.measure(self.spilled)
        self._picture.expect(days, actions, forecast)
        self._shown = display(_Pre(self._text()), display_id=True)

    def started(self, name: str) -> None:
        self._picture.started(name)

    def finished(self, outcome: Outcome) -> None:
        self._picture.finished(outcome)
        if outcome.state == FAILED:
            for line in failure_lines(outcome):
                self.say(line)
        if time.monotonic() - self._drawn > _SECONDS:
            self._draw()

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        self._picture.day_done(day, outcomes)

    def say(self, line: str) -> None:
        self._said.append(printable(line))

    def end(self) -> None:
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._shown is not None:
            self._shown.update(_Pre(self._text()))

    def _text(self) -> str:
        console = Console(file=io.StringIO(), width=_WIDTH, height=_HEIGHT, force_terminal=False, no_color=True,
                          force_jupyter=False)  # fmt: skip
        console.print(self._picture)
        return "\n".join([*self._said, console.file.getvalue()])  # type: ignore[attr-defined]


class _Pre:
    """Preformatted text as a cell's output."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self._text)}</pre>"
