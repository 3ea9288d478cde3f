"""The runs that are going on now, as far as others can see them.

A run holds the cache's lock while it works, and records its beginning, the days that it finished and, many at a time,
the steps that it made. Nothing is asked of it, and no lock is tried: the system's list of locks is read.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from daedalus.base.days import parse_range
from daedalus.base.errors import bare
from daedalus.config.reach import Reach
from daedalus.inputs.listing import FeedFolder
from daedalus.inputs.local_files import LocalNames
from daedalus.objectstore.object_store import is_uri
from daedalus.stagecache.action_name import day_of
from daedalus.stagecache.records.traces import RunRecord
from daedalus.workspace.reading import stamp_of
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

_LOCKS, _PROCESSES = Path("/proc/locks"), Path("/proc")
_LATEST = 5  # steps that are named


class Made(TypedDict):
    """A step that a run has made."""

    name: str
    seconds: float
    ago: float


class LiveRun(TypedDict):
    """A run that is going on. `days` are those of its range by what is known of them: done, begun or waiting.

    `own` says whether it writes into the output of our configuration.
    """

    id: str
    started: str
    seconds: float
    process: int
    range: str
    own: bool
    output: str
    stages: list[str]
    days: dict[str, str]
    made: int
    latest: list[Made]


class Live(TypedDict):
    """`busy` is how many steps are being computed or written down now; `waiting` are processes without a run so far."""

    stamp: str
    runs: list[LiveRun]
    waiting: list[int]
    busy: int


def live(settings: Settings) -> Live:
    """What is going on in the cache of a configuration."""
    with opened(settings) as workspace:
        return live_in(workspace)


def live_in(workspace: Workspace) -> Live:
    held = _holders(workspace.cache_root / "in-use", "FLOCK")
    holders = sorted({(_began(process), process) for process in held if process > 0}, reverse=True)
    unfinished = [run for run in workspace.traces.run_records() if run.state == "unfinished"] if holders else []
    found, waiting = [], []
    for began, process in holders:  # the newest process has the newest run; a killed one's record has no process
        run = next((run for run in unfinished if run.started >= began - 1), None)
        if run is None:
            waiting.append(process)
            continue
        unfinished.remove(run)
        found.append(_live_run(workspace, run, process))
    stamp = stamp_of(workspace.cache_root / "traces.db")
    busy = len(_holders(workspace.cache_root / "key-locks", "OFDLCK"))
    return {"stamp": str(hash(stamp)), "runs": found, "waiting": waiting, "busy": busy}


def _live_run(workspace: Workspace, run: RunRecord, process: int) -> LiveRun:
    traces, now, output = workspace.traces, time.time(), run.request.get("output", workspace.output_root)
    rows = traces.rows(
        "select name, seconds, made from traces where made >= ? order by made desc, key", [run.started]
    )  # fmt: skip
    done = traces.names_of_finished_days(run.id)
    begun = {day_of(name) for name, _, _ in rows}
    days = {day: "done" if day in done else "begun" if day in begun else "waiting" for day in _days(workspace, run)}
    latest: list[Made] = [
        {"name": name, "seconds": round(seconds, 3), "ago": round(max(now - made, 0), 1)}
        for name, seconds, made in rows[:_LATEST]
    ]
    return {
        "id": run.id,
        "started": dt.datetime.fromtimestamp(run.started, dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "seconds": round(max(now - run.started, 0), 1),
        "process": process,
        "range": run.request["range"],
        "own": output == workspace.output_root,
        "output": bare(output),
        "stages": run.request.get("stages", ["skeleton"]),
        "days": days,
        "made": len(rows),
        "latest": latest,
    }


def _days(workspace: Workspace, run: RunRecord) -> list[str]:
    """The days of a run's range; those with feed rows, where the feed is on this machine and so quickly listed."""
    span = list(parse_range(run.request["range"]))
    if not is_uri(workspace.config.catalog.feed.path):
        span = Reach.of(workspace.config).with_rows(span, FeedFolder(workspace.config, LocalNames()).days)
    return [str(day) for day in span]


def _holders(path: Path, kind: str) -> list[int]:
    """The processes that hold locks of a kind on a file, once a lock; -1 where the system does not say who."""
    try:
        inode, lines = os.stat(path).st_ino, _LOCKS.read_text().splitlines()
    except OSError:  # no cache yet, or no such list on this system
        return []
    return list(_of_inode(lines, kind, inode))


def _of_inode(lines: Iterable[str], kind: str, inode: int) -> Iterable[int]:
    """Of lines such as `3: FLOCK  ADVISORY  READ 4711 08:02:1311768 0 EOF`; those with an arrow wait for a lock."""
    for line in lines:
        words = line.split()
        if len(words) >= 6 and words[1] == kind and words[5].rpartition(":")[2] == str(inode):
            yield int(words[4])


def _began(process: int) -> float:
    """When a process began, in seconds since 1970; 0 when that is not known."""
    try:
        words = (_PROCESSES / str(process) / "stat").read_text().rpartition(")")[2].split()
        up = float((_PROCESSES / "uptime").read_text().split()[0])
        return time.time() - up + int(words[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
