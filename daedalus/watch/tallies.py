"""What a wide display says beside the days: slow steps and days, what the run runs for, and the share of the cache."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from daedalus.base.terminal_text import counted, printable
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.walk.outcome import HIT, Outcome

_CAUSES, _KINDS, _DAYS = 4, 6, 4  # lines of each section
_LEAST = 0.05  # seconds of a line, so that none reads 0.0


class Tallies:
    """Sums over the steps that ended so far."""

    def __init__(self) -> None:
        self.saved = 0.0  # seconds that hits took when they ran
        self._ended = self._hits = self._followed = 0
        self._kinds: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}
        self._days: dict[str, float] = {}
        self._causes: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        self._ended += 1
        if outcome.state == HIT:
            self._hits += 1
            self.saved += outcome.seconds
        if not outcome.ran:
            return
        kind = kind_of(outcome.name)
        self._kinds[kind] += 1
        self._seconds[kind] = self._seconds.get(kind, 0.0) + outcome.seconds
        if outcome.day:
            self._days[outcome.day] = self._days.get(outcome.day, 0.0) + outcome.seconds
        causes = _own_causes(outcome)
        self._causes.update(causes)
        self._followed += not causes

    def panel(self, width: int, height: int) -> list[Text]:
        """At most `height` lines; as many as there ever will be, so that what is below stays in its place."""
        ran = f" ({counted(self._followed, 'step')} downstream)" if self._followed else ""
        share = f"{self._hits:,} of {self._ended:,} ({self._hits / max(self._ended, 1):.0%})"
        kinds = sorted(self._seconds.copy().items(), key=lambda item: -item[1])[:_KINDS]
        days = sorted(self._days.copy().items(), key=lambda item: -item[1])[:_DAYS]
        causes = self._causes.copy().most_common(_CAUSES)
        sections = [
            (f"why it runs{ran}", [f"{count:>7,} x {what}" for what, count in causes]),
            ("most seconds by step", [f"{seconds:>9.1f} s  {self._kinds[kind]:>6,} x {kind}" for kind, seconds in kinds
                                      if seconds >= _LEAST]),
            ("slowest days", [f"{seconds:>9.1f} s  {day}" for day, seconds in days if seconds >= _LEAST]),
        ]  # fmt: skip
        lines = [Text(f"from the cache  {share} of the steps that ended")]
        for (title, rows), most in zip(sections, (_CAUSES, _KINDS, _DAYS), strict=True):
            lines.append(Text(title, style="bold"))
            lines += [Text(printable(row)) for row in [*rows, *[""] * (most - len(rows))]]
        for line in lines:
            line.truncate(width)
        return lines[:height]


def _own_causes(outcome: Outcome) -> set[str]:
    """What a step ran for, apart from what it only follows; a statement changes with its config."""
    own = [cause for cause in outcome.why if cause.kind != "upstream"]
    chosen = [cause for cause in own if cause.kind != "code"] or own
    return {cause.what if cause.kind == "missing" else f"{cause.kind} {cause.what}" for cause in chosen}
