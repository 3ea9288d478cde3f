"""What the model of scripts/scale.py is made of, and the runs that it must predict.

`local` are runs in one process of one thread, of two sizes: what each step costs, by rows. `numbered` are days whose
sessions are numbered, of two sizes: what that costs the coordinator. `counted` are clusters
beyond a link that holds nothing back, on worlds smaller than that of the runs: what coordinator, workers and store do
beside the steps, by actions, by rows, and by how many workers there are. `runs` are 1, 2 and 4 workers on one world,
with the link held to nothing and to each of some rates.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measuring.held_link import Ran, held
from measuring.process import Measured
from measuring.qids import numbered
from measuring.worlds import BenchWorld

WORKERS = (1, 2, 4)
_COUNTED = 2  # workers of the small runs
_SMALL = 2_000  # rows a day
_NUMBERED = 300_000, 1_500_000  # rows of days that are numbered, of which the coordinator notices little
_ABOVE = "upstream:"  # how a trace's manifest names what a step read
Say = Callable[[str], None]
MakeWorld = Callable[[int, int], BenchWorld]  # of so many rows and target days


def link(make: MakeWorld, rows: int, days: int, rates: Sequence[float], folder: Path, say: Say) -> dict[str, Any]:
    """`rates` are in bytes a second."""
    fewer, half = rows * 3 // 4, max(days // 2, 2)
    found: dict[str, Any] = {"cores": os.cpu_count(), "local": [], "counted": [], "runs": []}
    found["numbered"] = [{"rows": size, **numbered(folder, size)} for size in _NUMBERED]
    say("  steps, in one process of one thread")
    for size in (_SMALL, fewer):
        found["local"].append(_locally(make(size, half), say))
    say(_HEADER)
    for workers in WORKERS:
        with held(folder, workers) as cluster:
            cluster.run(make(fewer, half))  # in which workers import and compile what steps need
            for size, count in ((_SMALL, 2), (_SMALL, days), (fewer, half), (fewer, half)):  # the lesser one counts
                if size != _SMALL or workers == _COUNTED:
                    found["counted"].append(_told(cluster.run(make(size, count)), say))
            for rate in (0.0, *rates):
                found["runs"].append(_told(cluster.run(make(rows, days), rate), say))
    return found


_COLUMNS = {"rows": 9, "days": 5, "workers": 8, "MB/s": 6, "seconds": 8, "before": 8, "after": 7, "coord c": 8,
            "workers c": 10, "store c": 8, "sched c": 8, "MB in": 7, "MB out": 7, "actions": 8}  # fmt: skip
_HEADER = "".join(f"{name:>{width}}" for name, width in _COLUMNS.items())


def _told(ran: Ran, say: Say) -> dict[str, Any]:
    cpu, seconds = ran.cpu, ran.seconds
    held = f"{ran.held / 1e6:g}" if ran.held else ""
    spent = (cpu[name] for name in ("coordinator", "workers", "store", "scheduler"))
    values = (f"{ran.rows:,}", ran.days, ran.workers, held, sum(seconds), seconds[0], seconds[2], *spent,
              sum(ran.received) / 1e6, sum(ran.sent) / 1e6, ran.actions)  # fmt: skip
    shown = (f"{value:.2f}" if isinstance(value, float) else value for value in values)
    say("".join(f"{value:>{width}}" for value, width in zip(shown, _COLUMNS.values(), strict=True)))
    return asdict(ran)


def _locally(world: BenchWorld, say: Say) -> dict[str, Any]:
    """The steps of a cold run by one thread."""
    for _ in range(2):  # the first compiles
        run = _by_one_thread(world)
    steps = _steps(world.root / "cache")
    feed = [path.stat().st_size for path in (world.root / "data/feed").rglob("*") if path.is_file()]
    feed_days = next(step["count"] for step in steps if step["step"] == "spine")
    spent = sum(step["seconds"] for step in steps)
    say(f"  {world.rows:>8,} rows a day, {world.days} of {feed_days:.0f} feed days: {run.seconds:.2f} s, "
        f"{run.cpu:.2f} CPU s, steps {spent:.2f} s")  # fmt: skip
    return {"rows": world.rows, "days": world.days, "feed_days": feed_days, "feed_bytes": sum(feed) / len(feed),
            "cpu": round(run.cpu, 3), "steps": steps}  # fmt: skip


def _by_one_thread(world: BenchWorld) -> Measured:
    world.reset_config()
    compute = {"engine": "duckdb", "duckdb_config": {"threads": 1, "memory_limit": world.memory_limit}}
    world.edit(compute=compute)
    world.forget()
    return world.run()


def _steps(cache: Path) -> list[dict[str, Any]]:
    """Of each kind of step, over all actions: their number, seconds, bytes read from other steps and made, and requests
    for the former."""
    with sqlite3.connect(f"file:{cache / 'traces.db'}?mode=ro", uri=True) as db:
        traces = db.execute("""select t.name, t.seconds, t.bytes, t.manifest, t.artifact
                               from latest l join traces t on t.key = l.key""").fetchall()  # fmt: skip
    sizes = {artifact: size for _, _, size, _, artifact in traces}
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, seconds, size, manifest, _ in traces:
        read = [artifact for label, artifact in json.loads(manifest).items() if label.startswith(_ABOVE)]
        step = found[name.partition("@")[0]]
        costs = {"count": 1, "seconds": seconds, "made": size, "reads": len(read),
                 "fetched": sum(sizes.get(artifact, 0) for artifact in read)}  # fmt: skip
        for cost, value in costs.items():
            step[cost] += value
    return [{"step": name, **costs} for name, costs in sorted(found.items())]
