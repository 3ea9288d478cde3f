"""`TraceFile` writes a run's timeline for Perfetto or Chrome; `Several` combines watchers of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.durable import write_file
from daedalus.base.errors import DaedalusError
from daedalus.stagecache.action import Cause
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.walk.outcome import HIT, Outcome, rows_out
from daedalus.stagecache.walk.progress import Progress

if TYPE_CHECKING:
    from daedalus.stagecache.walk.forecast import Forecast

_STEPS, _DAYS = 1, 2  # process ids: what the viewer groups tracks by


class Several(Progress):
    """Passes every call on to several watchers."""

    def __init__(self, *watchers: Progress) -> None:
        self._watchers = watchers
        self.estimates = any(watcher.estimates for watcher in watchers)

    def measure(self, spilled: Callable[[], int]) -> None:
        for watcher in self._watchers:
            watcher.measure(spilled)

    def looking(self, line: str) -> None:
        for watcher in self._watchers:
            watcher.looking(line)

    def done_before(self, days: Mapping[str, bool]) -> None:
        for watcher in self._watchers:
            watcher.done_before(days)

    def begin(self, days: list[str], actions: int, forecast: Forecast) -> None:
        for watcher in self._watchers:
            watcher.begin(days, actions, forecast)

    def started(self, name: str) -> None:
        for watcher in self._watchers:
            watcher.started(name)

    def finished(self, outcome: Outcome) -> None:
        for watcher in self._watchers:
            watcher.finished(outcome)

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        for watcher in self._watchers:
            watcher.day_done(day, outcomes)

    def say(self, line: str) -> None:
        for watcher in self._watchers:
            watcher.say(line)

    def end(self) -> None:
        for watcher in self._watchers:
            watcher.end()


class TraceFile(Progress):
    """Writes a timeline of the steps, a lane per worker, and of each day from its first step to its last.

    The file is in Chrome's trace event format (times in microseconds), which Perfetto opens. It is always
    valid: it has no events until the run ends, in whatever way, and then all of them.
    Raises DaedalusError when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._began = path, time.perf_counter()
        self._events: list[dict] = []
        self._lanes: dict[str, tuple[int, float]] = {}  # running action -> lane, when it started
        self._most, self._hits = 0, 0
        self._days: dict[str, float] = {}
        self._write()

    def started(self, name: str) -> None:
        taken = {lane for lane, _ in self._lanes.values()}
        lane = next(lane for lane in range(len(taken) + 1) if lane not in taken)
        self._lanes[name] = (lane, self._now())
        self._most = max(self._most, lane + 1)
        self._days.setdefault(name.rpartition("@")[2], self._now())

    def finished(self, outcome: Outcome) -> None:
        if outcome.name not in self._lanes:
            self._hits += outcome.state == HIT
            return
        lane, began = self._lanes.pop(outcome.name)
        facts = {"day": outcome.day, "state": outcome.state, "rows": rows_out(outcome.counts), "bytes": outcome.bytes,
                 "why": [_text(cause) for cause in outcome.why], "error": outcome.error}  # fmt: skip
        self._events.append({
            "name": kind_of(outcome.name), "cat": outcome.step, "ph": "X", "pid": _STEPS, "tid": lane,
            "ts": began, "dur": self._now() - began, "args": {key: value for key, value in facts.items() if value},
        })  # fmt: skip
        counter = {"name": "from the cache", "ph": "C", "pid": _STEPS, "ts": self._now(), "args": {"hits": self._hits}}
        self._events.append(counter)

    def day_done(self, day: str, outcomes: list[Outcome]) -> None:
        if day in self._days:
            span = {"name": day, "cat": "day", "id": day, "pid": _DAYS, "tid": 0}
            self._events += [{**span, "ph": "b", "ts": self._days[day]}, {**span, "ph": "e", "ts": self._now()}]

    def end(self) -> None:
        self._write()

    def _now(self) -> float:
        return round((time.perf_counter() - self._began) * 1e6, 1)

    def _write(self) -> None:
        names = [{"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}}
                 for pid, name in ((_STEPS, "steps"), (_DAYS, "days"))]  # fmt: skip
        names += [{"name": "thread_name", "ph": "M", "pid": _STEPS, "tid": lane, "args": {"name": f"worker {lane + 1}"}}
                  for lane in range(self._most)]  # fmt: skip
        written = json.dumps({"traceEvents": [*names, *self._events], "displayTimeUnit": "ms"})
        try:
            write_file(self._path, written.encode())
        except OSError as error:
            raise DaedalusError("the trace cannot be written", where=f"--trace {self._path}", found=error.strerror,
                                expected="a file in a folder that can be written") from None  # fmt: skip


def _text(cause: Cause) -> str:
    return cause.what if cause.kind == "missing" else f"{cause.kind} {cause.what}"
