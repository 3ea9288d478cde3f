"""A model of the skeleton on a cluster, out of what `scripts/bench link --json` measured.

  .venv/bin/python scripts/scale.py MEASURED.json [--rows 1_000_000_000] [--days 365] [--workers 100]
                                    [--link-gbit 10] [--latency-ms 20] [--json]

First it predicts the held runs in that file out of its other parts, and shows beside that what they took. Then it tells
how long a range of larger days takes on more workers, each with a core and a link of its own. What it takes to be true:

  - what a step costs grows in proportion to the rows of a feed day, and so does what it reads and makes;
  - a run takes what is before its first step, what is after its last one, and in between as long as what takes longest
    alone of all that may saturate (`between`); that does not wait for the rest, but for what must come first (`head`);
  - all that the coordinator does by rows is to number sessions (`Coordinator`); each feed row is one of a session.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from statistics import linear_regression
from typing import Any

# The longest chain of actions from a feed day to its own partition.
CHAIN = ("spine", "coverage", "sessions", "content", "rolling", "qids", "chunk")
LAST = "chunk"
_AHEAD = 64  # tasks that the coordinator gives out in one go
_TURNS = 4  # times that what `qids` of the first day waits for stands in line: coverage, sessions, attributes, content
_REQUESTS_A_PUT = 2  # the artifact and its trace
_HEADERS = 1514 / 1448  # bytes on a wire by byte of TCP; a link that holds nothing back is passed in larger packets
_CORES = "workers' cores", "machine's cores"
GIB = 2**30
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is done: target days, and feed days, which are those and the days before them; of so many rows each."""

    rows: float
    days: int
    feed_days: int

    @property
    def shipped(self) -> float:
        """Rows of the target days."""
        return self.rows * self.days


@dataclass(frozen=True)
class Machines:
    """Workers of one thread each. `cores` are those that they share with coordinator, scheduler and store; None:
    everything has a core of its own.

    `link` is the coordinator's, in bytes a second, `links` that of each worker, and `inputs` how fast the coordinator
    reads the inputs, of which it must know the digests before anything else.
    """

    workers: int
    cores: int | None = None
    link: float = inf
    links: float = inf
    inputs: float = inf
    latency: float = 0.0


@dataclass(frozen=True)
class Line:
    """cost = fixed + slope × rows of a feed day; never negative."""

    fixed: float
    slope: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Line:
        """Through (rows, cost) of two sizes; through that of one, and nothing."""
        (rows, cost), (more, higher) = points[0], points[-1]
        slope = max((higher - cost) / (more - rows), 0.0) if more > rows else cost / max(rows, 1)
        return cls(max(cost - slope * rows, 0.0), slope)

    def at(self, rows: float) -> float:
        return self.fixed + self.slope * rows


@dataclass(frozen=True)
class Law:
    """cost = fixed + action × actions + amount × an amount, such as rows; never negative."""

    fixed: float
    action: float
    amount: float

    @classmethod
    def through(cls, few: Sequence[float], many: Sequence[float], large: Sequence[float]) -> Law:
        """Through three (actions, amount, cost); the first two differ in actions and are of next to no amount."""
        action = max((many[2] - few[2]) / (many[0] - few[0]), 0.0)
        fixed = few[2] - action * few[0]
        return cls(fixed, action, max((large[2] - fixed - action * large[0]) / large[1], 0.0))

    def at(self, actions: float, amount: float) -> float:
        return max(self.fixed + self.action * actions + self.amount * amount, 0.0)


@dataclass(frozen=True)
class Step:
    """A kind of action and what one of them costs. There is one `each` "feed" day or "target" day, or "once"."""

    name: str
    each: str
    seconds: Line
    fetched: Line
    made: Line
    reads: float

    def count(self, size: Size) -> int:
        return {"feed": size.feed_days, "target": size.days, "once": 1}[self.each]


def steps(local: Sequence[Json]) -> Iterator[Step]:
    """From runs of two sizes, the smaller one first."""
    sizes = {"once": 1, "target": local[-1]["days"], "feed": local[-1]["feed_days"]}
    by_name: dict[str, list[tuple[float, Json]]] = {}
    for run in local:
        for step in run["steps"]:
            by_name.setdefault(step["step"], []).append((run["rows"], step))
    for name, seen in by_name.items():
        last = seen[-1][1]
        each = next(each for each, count in sizes.items() if count == last["count"])
        lines = (Line.through([(rows, step[cost] / step["count"]) for rows, step in seen])
                 for cost in ("seconds", "fetched", "made"))  # fmt: skip
        yield Step(name, each, *lines, last["reads"] / last["count"])


@dataclass(frozen=True)
class Coordinator:
    """All that the coordinator does, as counted: by run, by action, and by row of a target day.

    What grows with actions (keys, traces, messages, publishing) goes on beside the steps. What grows with rows is to
    number the sessions of each day in turn: it fetches their names, then numbers them, and its link rests meanwhile.
    """

    cpu: Law
    in_steps: Law  # of cpu; by rows it is too little to be seen there
    by_row: float  # processor seconds
    received: Law
    sent: Law
    before: tuple[Law, Law]  # the first step: seconds, and bytes of the direction that has more
    after: tuple[Law, Law]  # the last one

    @classmethod
    def counted(cls, law: Callable[[Callable[[Json], float]], Law], by_row: float) -> Coordinator:
        """`law(cost)` is that of a cost of a run."""

        def phase(of: int) -> tuple[Law, Law]:
            seconds = replace(law(lambda ran: ran["seconds"][of]), amount=0.0)  # tenths of one
            return seconds, law(lambda ran: max(ran["received"][of], ran["sent"][of]))

        return cls(law(lambda ran: ran["cpu"]["coordinator"]), law(lambda ran: ran["in_steps"]), by_row,
                   law(lambda ran: ran["received"][1]),
                   law(lambda ran: ran["sent"][1]), phase(0), phase(2))  # fmt: skip

    def numbering(self, size: Size) -> float:
        """Processor seconds."""
        return self.by_row * size.shipped

    @property
    def loading(self) -> float:
        """Processor seconds in which what numbers is loaded."""
        return max(self.in_steps.fixed, 0.0)

    def first(self, size: Size) -> float:
        """Processor seconds of the first day's."""
        return self.loading + self.numbering(size) / size.days

    def beside(self, actions: float) -> float:
        """Processor seconds of what goes on beside the steps. What is fixed comes before or after them."""
        return self.cpu.action * actions


class Model:
    """What everything costs, from a file of measurements."""

    def __init__(self, measured: Json) -> None:
        self.steps = list(steps(measured["local"]))
        self.feed_bytes = Line.through([(run["rows"], run["feed_bytes"]) for run in measured["local"]]).slope
        counted = measured["counted"]
        fewest = min(ran["rows"] for ran in counted)
        small = sorted((ran for ran in counted if ran["rows"] == fewest), key=lambda ran: ran["days"])
        large = {ran["workers"]: ran for ran in sorted(counted, key=_of_workers, reverse=True) if ran["rows"] > fewest}
        three = (*small, large[small[0]["workers"]])

        def law(cost: Callable[[Json], float], amount: Callable[[Size], float] = lambda size: size.shipped) -> Law:
            return Law.through(*((self.actions(size_of(ran)), amount(size_of(ran)), cost(ran)) for ran in three))

        by_row = Line.through([(day["rows"], day["cpu"]) for day in measured["numbered"]]).slope
        self.coordinator = Coordinator.counted(law, by_row)
        self.store = law(lambda ran: ran["cpu"]["store"], self.moved)
        self.scheduler = law(lambda ran: ran["cpu"]["scheduler"], self.moved)
        self._task = law(self._beyond, self.moved).action
        rest = [(_of_others(workers), self._rest(ran)) for workers, ran in large.items()]
        self._by_byte_of_others, self._by_byte = linear_regression(*zip(*rest, strict=True))
        self._waits: dict[int, float] = {}
        self._waits = {workers: self._waiting(ran, measured["cores"]) for workers, ran in large.items()}

    def _beyond(self, ran: Json) -> float:
        """Processor seconds of workers beyond their steps."""
        return float(ran["cpu"]["workers"] - self.work(size_of(ran)))

    def _rest(self, ran: Json) -> float:
        """Processor seconds of workers beyond steps and tasks, by byte moved: what others made must be fetched and
        decoded, and the more workers there are the more of it is others'."""
        size = size_of(ran)
        return max((self._beyond(ran) - self._task * self.actions(size)) / self.moved(size), 0.0)

    def _waiting(self, ran: Json, cores: int) -> float:
        """How many times as long as cores are busy a run takes on a machine that all share: now and then a core has
        nothing to do while a worker waits for a process that waits for the other core."""
        alone = self.between(size_of(ran), Machines(ran["workers"], cores))
        return max(ran["seconds"][1] / max(alone[name] for name in _CORES), 1.0)

    def _sum(self, size: Size, cost: Callable[[Step], float]) -> float:
        return sum(step.count(size) * cost(step) for step in self.steps)

    def actions(self, size: Size) -> float:
        return sum(step.count(size) for step in self.steps)

    def work(self, size: Size) -> float:
        """Seconds of all steps. Workers run them, but for the turns of `qids`, which are little of it."""
        return self._sum(size, lambda step: step.seconds.at(size.rows))

    def moved(self, size: Size) -> float:
        """Bytes that workers read of other steps and make."""
        return self._sum(size, lambda step: step.fetched.at(size.rows) + step.made.at(size.rows))

    def requests(self, size: Size) -> float:
        return sum(step.count(size) * (step.reads + _REQUESTS_A_PUT) for step in self.steps)

    def one(self, names: Sequence[str], rows: float) -> float:
        """Seconds of some steps one after the other, of those with several kinds the longest."""
        return sum(max((s.seconds.at(rows) for s in self.steps if s.name.partition(":")[0] == name), default=0.0)
                   for name in names)  # fmt: skip

    def workers(self, size: Size, workers: int) -> float:
        """Processor seconds of all workers."""
        by_byte = self._by_byte + self._by_byte_of_others * _of_others(workers)
        return self.work(size) + self._task * self.actions(size) + by_byte * self.moved(size)

    def between(self, size: Size, on: Machines) -> dict[str, float]:
        """For each thing that may saturate between the first step and the last, the seconds that it alone takes."""
        does, actions, moved = self.coordinator, self.actions(size), self.moved(size)
        workers, store, link = self.workers(size, on.workers), self.store.at(actions, moved), on.link / _HEADERS
        numbering, tail = does.numbering(size), self.one([LAST], size.rows)
        found = {
            "workers' cores": workers / on.workers,
            "workers' links": moved / (on.workers * on.links),
            "waiting for requests": self.requests(size) * on.latency / on.workers,
            "longest chain": self.one(CHAIN, size.rows),
        }
        if on.cores:  # then the store's work takes as long as workers wait for it
            found["workers' cores"] += store / on.workers
            spent = (
                workers + store + self.scheduler.at(actions, moved) + does.beside(actions) + does.loading + numbering
            )
            found["machine's cores"] = spent / on.cores + tail * (1 - 1 / on.cores)  # beside which nothing goes on
        last = sum(step.count(size) for step in self.steps if step.name == LAST)
        share = min(_AHEAD * _TURNS / (actions - last), 1.0) * (1 - last * tail / workers)
        head = share * max(*found.values(), does.sent.at(actions, 0) / link)
        for name in found.keys() & set(_CORES) if on.cores else ():  # a worker that waits has done all else by then
            found[name] *= self._waits.get(on.workers, 1.0)
        received = does.received.at(actions, size.shipped) / link
        found["coordinator's work"] = does.beside(actions) + numbering
        found["coordinator's link"] = head + does.first(size) + received + numbering + tail
        return found

    def predict(self, size: Size, on: Machines) -> dict[str, Any]:
        at = self.actions(size), size.shipped
        before, after = (seconds.at(*at) + passed.at(*at) * _HEADERS / on.link for seconds, passed in
                         (self.coordinator.before, self.coordinator.after))  # fmt: skip
        before += self.feed_bytes * size.rows * size.feed_days / on.inputs
        between = self.between(size, on)
        first = max(between, key=lambda name: between[name])
        return {"seconds": before + between[first] + after, "before": before, "after": after, "between": between,
                "saturates": first}  # fmt: skip


def size_of(ran: Json) -> Size:
    return Size(ran["rows"], ran["days"], ran["feed_days"])


def _of_workers(ran: Json) -> float:
    return float(ran["cpu"]["workers"])


def _of_others(workers: int) -> float:
    """What share of what a worker reads others made, if all make as much."""
    return 1 - 1 / workers


# What is printed


def predicted(model: Model, measured: Json) -> Iterator[dict[str, Any]]:
    for ran in measured["runs"]:
        on = Machines(ran["workers"], measured["cores"], link=ran["held"] or inf)
        found = model.predict(size_of(ran), on)
        seen = sum(ran["seconds"])
        yield {"workers": ran["workers"], "held": ran["held"], "measured": round(seen, 2), **rounded(found),
               "off": round(found["seconds"] / seen - 1, 3)}  # fmt: skip


def larger(model: Model, a: argparse.Namespace) -> dict[str, Any]:
    link = a.link_gbit * 1e9 / 8
    size = Size(a.rows, a.days, a.days + a.history)
    on = Machines(a.workers, link=link, links=link, inputs=link, latency=a.latency_ms / 1000)
    does = model.coordinator
    rows = [{"step": step.name, "each": step.each, "seconds": round(step.seconds.at(a.rows), 1),
             "fetched": round(step.fetched.at(a.rows)), "made": round(step.made.at(a.rows))}
            for step in model.steps]  # fmt: skip
    return {
        "rows": a.rows, "days": a.days, "workers": a.workers, "steps": rows, **rounded(model.predict(size, on)),
        "a_day": {"workers_cpu": model.workers(size, a.workers) / a.days, "moved": model.moved(size) / a.days,
                  "requests": model.requests(size) / a.days, "numbering_cpu": does.numbering(size) / a.days,
                  "received": does.received.amount * a.rows, "sent": does.sent.amount * a.rows,
                  "feed": model.feed_bytes * a.rows},
    }  # fmt: skip


def rounded(found: Json) -> dict[str, Any]:
    return {key: {name: round(value, 2) for name, value in each.items()} if isinstance(each, dict)
            else round(each, 2) if isinstance(each, float) else each for key, each in found.items()}  # fmt: skip


def lines(runs: Sequence[Json], large: Json) -> Iterator[str]:
    yield f"{'workers':>8}{'link MB/s':>11}{'predicted':>11}{'measured':>10}{'off':>7}  saturates"
    for ran in runs:
        held = f"{ran['held'] / 1e6:g}" if ran["held"] else "not held"
        yield (f"{ran['workers']:>8}{held:>11}{ran['seconds']:>9.1f} s{ran['measured']:>8.1f} s{ran['off']:>+7.0%}"
               f"  {ran['saturates']}")  # fmt: skip
    yield ""
    yield f"{large['rows']:,.0f} feed rows a day, {large['days']} days, {large['workers']} workers"
    yield f"{'step':<62}{'each':<8}{'core s':>8}{'fetched':>9}{'made':>9}"
    for step in large["steps"]:
        fetched, made = (f"{step[part] / GIB:.2f} G" for part in ("fetched", "made"))
        yield f"{step['step'][:60]:<62}{step['each']:<8}{step['seconds']:>8.1f}{fetched:>9}{made:>9}"
    yield ""
    a_day = large["a_day"]
    gib = {name: f"{a_day[name] / GIB:,.1f} GiB" for name in ("moved", "received", "sent", "feed")}
    yield f"a day: workers {a_day['workers_cpu']:,.0f} CPU s, {gib['moved']} in {a_day['requests']:,.0f} requests"
    yield (f"  coordinator {a_day['numbering_cpu']:,.1f} CPU s, {gib['received']} in, {gib['sent']} out, "
           f"{gib['feed']} of feed for digests")  # fmt: skip
    whole = {"before the first step": large["before"], **large["between"], "after the last step": large["after"]}
    yield from (f"{name:<28}{seconds:>14,.1f} s{seconds / 3600:>9.2f} h" for name, seconds in whole.items())
    yield f"what saturates: {large['saturates']}; in all {large['seconds'] / 3600:.2f} h"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--rows", type=float, default=1e9)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--history", type=int, default=7, help="feed days before the first target day")
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--link-gbit", type=float, default=10)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    measured = json.loads(a.measured.read_text())["link"]
    model = Model(measured)
    runs, large = list(predicted(model, measured)), larger(model, a)
    print(json.dumps({"runs": runs, "larger": large}) if a.json else "\n".join(lines(runs, large)))


if __name__ == "__main__":
    main()
