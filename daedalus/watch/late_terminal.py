"""The terminal's display from the first moment: one plain line while inputs are looked at, the picture once steps run.

What draws the picture takes 0.1 s to import, and a run that has nothing to do never needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from daedalus.base.terminal_text import printable, silence, tell
from daedalus.stagecache.walk.progress import Progress

if TYPE_CHECKING:
    from daedalus.stagecache.walk.forecast import Forecast
    from daedalus.stagecache.walk.outcome import Outcome

_TO_ITS_START = "\r\x1b[2K"  # and the line is empty


class LateTui(Progress):
    """Prints lines until the walk begins; from then on it is a `Tui`.

    How far a look is stands in one line that changes, below the first.
    """

    estimates = True

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._picture: Progress = Progress()
        self._said_first = self._open = False
        self._before: Mapping[str, bool] = {}

    def say(self, line: str) -> None:
        self._close_line()
        if type(self._picture) is Progress:
            tell(line, self._out)
        else:
            self._picture.say(line)

    def looking(self, line: str) -> None:
        if not self._said_first:
            self._said_first = True
            self.say(line)
            return
        self._write(f"{_TO_ITS_START}{printable(line)}")
        self._open = True

    def done_before(self, days: Mapping[str, bool]) -> None:
        self._before = days

    def begin(self, days: list[str], actions: int, forecast: Forecast) -> None:
        from daedalus.watch.terminal import Tui

        self._close_line()
        self._picture = Tui(self._out)
        self._picture.measure(self.spilled)
        self._picture.done_before(self._before)
        self._picture.begin(days, actions, forecast)

    def started(self, name: str) -> None:
        self._picture.started(name)

    def finished(self, outcome: Outcome) -> None:
        self._picture.finished(outcome)

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        self._picture.day_done(day, outcomes)

    def end(self) -> None:
        self._picture.end()

    def _close_line(self) -> None:
        """Takes the line that changes away."""
        if self._open:
            self._open = False
            self._write(_TO_ITS_START)

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:
            silence(self._out)
