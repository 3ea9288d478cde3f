"""A model of the stage on many machines, out of what runs on this one recorded.

  .venv/bin/python scripts/scale.py CACHE [CACHE ...] [--rows 1_000_000_000] [--days 365] [--workers 100]
                                    [--link-gbit 10] [--latency-ms 20] [--threads 1] [--json]

Each CACHE is a cache root; those of runs with few and with many rows a day together tell fixed costs from
costs a row. For each kind of step a line is fitted through (rows of a feed day, seconds) and (rows, bytes),
and drawn out to the size that is asked about. What the model takes to be true:

  - an action runs on one core and is not split: its day cannot be faster than its longest chain of actions;
  - every action fetches all that it reads and uploads what it makes (no worker has anything already);
  - `qids` run on the coordinator, one day after the other; workers write the partitions, of which it reads nothing;
  - rows shipped, users and artworks grow with the rows of the feed.

It prints seconds, bytes and requests by step, and for each thing that may saturate how long it alone would
take. The longest of those is the answer; the sum is not, for they overlap.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ON_COORDINATOR = "qids"
# The longest chain of actions from a feed day to its own partition.
CHAIN = ("spine", "coverage", "sessions", "content", "rolling", "qids", "chunk")
_REQUESTS_A_PUT = 2  # the artifact and its trace
GIB = 2**30


@dataclass(frozen=True)
class Observed:
    """One execution: what it cost, and the rows of a feed day in the run that it belongs to."""

    step: str
    rows: float
    seconds: float
    fetched: int
    made: int
    reads: int


def observed(cache: Path) -> list[Observed]:
    """All executions whose traces are the latest of their actions."""
    db = sqlite3.connect(f"file:{cache / 'traces.db'}?mode=ro", uri=True)
    sql = """select t.name, t.seconds, t.bytes, t.counts, t.manifest, t.artifact
             from latest l join traces t on t.key = l.key"""
    rows = db.execute(sql).fetchall()
    sizes = {artifact: size for _, _, size, _, _, artifact in rows}
    read = [json.loads(counts).get("read", 0) for name, _, _, counts, _, _ in rows if name.startswith("spine@")]
    a_day = sum(read) / max(len(read), 1)
    found = []
    for name, seconds, size, _, manifest, _ in rows:
        upstream = [value for label, value in json.loads(manifest).items() if label.startswith("upstream:")]
        fetched = sum(sizes.get(artifact, 0) for artifact in upstream)
        found.append(Observed(name.partition("@")[0], a_day, seconds, fetched, size, len(upstream)))
    return found


@dataclass(frozen=True)
class Line:
    """cost = fixed + slope × rows of a feed day; never negative."""

    fixed: float
    slope: float

    @classmethod
    def through(cls, rows: list[float], costs: list[float]) -> Line:
        """By the mean cost at each size; through nothing when there is one size alone."""
        sizes = sorted(set(rows))
        means = [float(np.mean([c for r, c in zip(rows, costs, strict=True) if r == size])) for size in sizes]
        if len(sizes) == 1:
            return cls(0.0, means[0] / max(sizes[0], 1))
        slope, fixed = np.polyfit(sizes, means, 1)
        return cls(max(float(fixed), 0.0), max(float(slope), 0.0))

    def at(self, rows: float) -> float:
        return self.fixed + self.slope * rows


@dataclass(frozen=True)
class Step:
    """A kind of action, with what one of them costs at the rows asked about."""

    name: str
    a_day: float  # how many there are for a target day
    seconds: float
    fetched: float
    made: float
    reads: float

    @property
    def here(self) -> bool:
        """Whether it runs on the coordinator."""
        return self.name == ON_COORDINATOR


def steps(caches: list[Path], rows: float) -> list[Step]:
    by_step: dict[str, list[Observed]] = defaultdict(list)
    targets = 0
    for cache in caches:
        found = observed(cache)
        targets += sum(one.step == "chunk" for one in found)
        for one in found:
            by_step[one.step].append(one)
    made = []
    for name, all_of_it in sorted(by_step.items()):
        sizes = [one.rows for one in all_of_it]

        def cost(part: str, of: list[Observed] = all_of_it, sizes: list[float] = sizes) -> float:
            return Line.through(sizes, [getattr(one, part) for one in of]).at(rows)

        reads = sum(one.reads for one in all_of_it) / len(all_of_it)
        made.append(Step(name, len(all_of_it) / targets, cost("seconds"), cost("fetched"), cost("made"), reads))
    return made


def bounds(found: list[Step], a: argparse.Namespace) -> dict[str, float]:
    """For each thing that may saturate, the seconds that the whole range would take if nothing else did."""
    link = a.link_gbit * 1e9 / 8
    workers = [step for step in found if not step.here]
    here = [step for step in found if step.here]
    moved = sum(step.a_day * (step.fetched + step.made) for step in workers)
    own = sum(step.a_day * (step.fetched + step.made) for step in here)
    requests = sum(step.a_day * (step.reads + _REQUESTS_A_PUT) for step in found)
    in_chain = [max((s.seconds for s in found if s.name.partition(":")[0] == name), default=0.0) for name in CHAIN]
    return {
        "cores of the workers": a.days * sum(s.a_day * s.seconds for s in workers) / (a.workers * a.threads),
        "links of the workers": a.days * moved / (a.workers * link),
        "waiting for requests": a.days * requests * a.latency_ms / 1000 / (a.workers * a.threads),
        "the coordinator's work": a.days * sum(s.a_day * s.seconds for s in here),
        "the coordinator's link": a.days * own / link,
        "one day's longest chain": sum(in_chain),
    }


def as_json(found: list[Step], a: argparse.Namespace) -> dict:
    rows = [{"step": s.name, "a_day": round(s.a_day, 2), "seconds": round(s.seconds, 3),
             "fetched": round(s.fetched), "made": round(s.made), "requests": round(s.reads + _REQUESTS_A_PUT, 1)}
            for s in found]  # fmt: skip
    limits = bounds(found, a)
    return {"rows": a.rows, "days": a.days, "workers": a.workers, "steps": rows, "bounds": limits,
            "first": max(limits, key=lambda name: limits[name]),
            "moved": a.days * sum(s.a_day * (s.fetched + s.made) for s in found),
            "requests": a.days * sum(s.a_day * (s.reads + _REQUESTS_A_PUT) for s in found)}  # fmt: skip


def lines(found: dict) -> list[str]:
    told = [f"{found['rows']:,.0f} feed rows a day, {found['days']} days, {found['workers']} workers", "",
            f"{'step':<46}{'a day':>6}{'core s':>9}{'fetched':>9}{'made':>9}"]  # fmt: skip
    for step in found["steps"]:
        fetched, made = (f"{step[part] / GIB:.2f} G" for part in ("fetched", "made"))
        told.append(f"{step['step'][:45]:<46}{step['a_day']:>6.1f}{step['seconds']:>9.1f}{fetched:>9}{made:>9}")
    told += ["", f"moved in all {found['moved'] / GIB:,.0f} GiB in {found['requests']:,.0f} requests", ""]
    told += [f"{name:<28}{seconds:>14,.1f} s{seconds / 3600:>9.2f} h" for name, seconds in found["bounds"].items()]
    return [*told, "", f"what saturates first: {found['first']}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("caches", nargs="+", type=Path)
    parser.add_argument("--rows", type=float, default=1e9)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--link-gbit", type=float, default=10)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    found = as_json(steps(a.caches, a.rows), a)
    print(json.dumps(found) if a.json else "\n".join(lines(found)))


if __name__ == "__main__":
    main()
