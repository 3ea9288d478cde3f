"""Runs of which only the coordinator is on this side of a link: workers, Dask's scheduler and the object store are in a
network namespace, and tc holds the link between to so many bytes a second, each way.

Inputs are in a folder that all see. Artifacts, partitions, qid map and traces are in the bucket, so that what the
coordinator reads and writes of them passes the link, as do Dask's messages. All processes share this machine's cores.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring.cluster import cpu_of, make_bucket, reached, scheduler, store, worker
from measuring.process import measure
from measuring.worlds import BenchWorld

_DAEDA = Path(__file__).with_name("in_steps.py")
_HERE, _THERE = "10.98.1.1", "10.98.1.2"
_SCHEDULER, _STORE = 8786, 5000
_LOOK_SECONDS = 0.05
_BURST = 4_000  # bytes
_QUEUE = "50ms"  # that a byte waits at most before it is dropped

Phases = tuple[float, float, float]


@dataclass(frozen=True)
class Ran:
    """A run of `days` target days of `rows` rows, of `feed_days` feed days in all.

    `held` are the bytes a second that the link was held to, 0 for not at all. Of what happens before the first step,
    from there to the end of the last, and after it, `seconds` are those on the clock, `received` and `sent` the bytes
    that the coordinator got and gave over the link. `cpu` are processor seconds by kind of process; `in_steps` those of
    the coordinator's that are of steps which it runs itself.
    """

    rows: int
    days: int
    feed_days: int
    workers: int
    held: float
    seconds: Phases
    received: Phases
    sent: Phases
    cpu: dict[str, float]
    in_steps: float
    actions: int


def missing() -> str:
    """Why there can be no held link here, or ""."""
    if sys.platform != "linux" or os.geteuid():
        return "network namespaces need Linux and root"
    if lacking := [name for name in ("ip", "tc") if not shutil.which(name)]:
        return f"{' and '.join(lacking)} of iproute2 not installed"
    try:
        with _Link():
            return ""
    except subprocess.CalledProcessError as error:
        return f"`{' '.join(error.cmd)}` is refused: {error.stderr.strip()}"


class _Link:
    """A network namespace and a link to it. A context."""

    def __init__(self) -> None:
        name = f"daeda-link-{os.getpid()}"
        self.inside = ("ip", "netns", "exec", name)
        self._name, self._near = name, f"d{os.getpid()}"

    def __enter__(self) -> _Link:
        try:
            _run("ip", "netns", "add", self._name)
            _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", "wire", "netns", self._name)
            _run("ip", "addr", "add", f"{_HERE}/24", "dev", self._near)
            _run("ip", "link", "set", self._near, "up")
            for command in (
                ("addr", "add", f"{_THERE}/24", "dev", "wire"),
                ("link", "set", "wire", "up"),
                ("link", "set", "lo", "up"),
                ("route", "add", "default", "dev", "wire"),  # Dask asks which address leads out
            ):
                _run("ip", "-n", self._name, *command)
        except subprocess.CalledProcessError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for what in (("link", "del", self._near), ("netns", "del", self._name)):
            subprocess.run(["ip", *what], capture_output=True)

    def hold(self, rate: float) -> None:
        """Holds both directions to `rate` bytes a second; 0 lets them go."""
        for inside, device in (((), self._near), (self.inside, "wire")):
            subprocess.run([*inside, "tc", "qdisc", "del", "dev", device, "root"], capture_output=True)
            if rate:  # large packets are cut to the burst
                limits = ("rate", f"{rate * 8:.0f}bit", "burst", str(max(_BURST, round(rate / 250))), "latency", _QUEUE)
                _run(*inside, "tc", "qdisc", "add", "dev", device, "root", "tbf", *limits)

    def passed(self) -> tuple[int, int]:
        """Bytes received and sent on this side so far."""
        folder = Path(f"/sys/class/net/{self._near}/statistics")
        received, sent = (int((folder / name).read_text()) for name in ("rx_bytes", "tx_bytes"))
        return received, sent


class _Passed:
    """Looks at what has passed a link again and again. A context."""

    def __init__(self, link: _Link) -> None:
        self._link, self._over = link, threading.Event()
        self._seen: list[tuple[float, int, int]] = []
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> _Passed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        over = False
        while not over:
            self._seen.append((time.time(), *self._link.passed()))
            over = self._over.wait(_LOOK_SECONDS)
        self._seen.append((time.time(), *self._link.passed()))

    def by_phase(self, first: float, last: float) -> tuple[Phases, Phases, Phases]:
        """Seconds, bytes received and bytes sent: before the first step, until the last one ended, after it."""
        at = [self._seen[0], *(next(one for one in self._seen if one[0] >= when or one is self._seen[-1])
                               for when in (first, last)), self._seen[-1]]  # fmt: skip
        found = []
        for one in range(3):
            phases = [round(then[one] - now[one], 2) for now, then in itertools.pairwise(at)]
            found.append((phases[0], phases[1], phases[2]))
        return found[0], found[1], found[2]


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


class Held:
    """A cluster beyond a link."""

    def __init__(self, link: _Link, workers: int, processes: dict[str, list[int]]) -> None:
        self._link, self._workers, self._processes = link, workers, processes

    def run(self, world: BenchWorld, rate: float = 0) -> Ran:
        """A cold run of the skeleton, with the link held to `rate` bytes a second."""
        self._prepare(world)
        self._link.hold(rate)
        before = self._cpu()
        with _Passed(self._link) as passed:
            command = ["skeleton", "--json", "--progress", "none", *world.range(), "--executor", "dask"]
            address = f"tcp://{_THERE}:{_SCHEDULER}"
            own = measure(sys.executable, str(_DAEDA), *command, "--scheduler", address, cwd=world.root)
        after = self._cpu()
        self._link.hold(0)
        first, last, feed_days = _steps(world)
        cpu = {name: round(after[name] - before[name], 2) for name in after}
        seconds, received, sent = passed.by_phase(first, last)
        actions, in_steps = json.loads(own.out)["steps"]["computed"], float(own.errors.splitlines()[-1])
        return Ran(world.rows, world.days, feed_days, self._workers, rate, seconds, received, sent,
                   {"coordinator": round(own.cpu, 2), **cpu}, in_steps, actions)  # fmt: skip

    def _prepare(self, world: BenchWorld) -> None:
        endpoint = f"http://{_THERE}:{_STORE}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
        make_bucket(f"{endpoint}/held")
        world.forget()
        world.reset_config()
        world.edit(output_root="s3://held/skeleton", cache_remote="s3://held/cache", object_store=reached(endpoint))

    def _cpu(self) -> dict[str, float]:
        return {name: sum(map(cpu_of, processes)) for name, processes in self._processes.items()}


def _steps(world: BenchWorld) -> tuple[float, float, int]:
    """(when the first step began, when the last one ended, how many feed days there were)."""
    with sqlite3.connect(world.root / "cache/traces.db") as db:
        first, last = db.execute("select min(made - seconds), max(made) from traces").fetchone()
        (feed_days,) = db.execute("select count(distinct name) from traces where name like 'spine@%'").fetchone()
    return first, last, feed_days


@contextmanager
def held(folder: Path, workers: int) -> Iterator[Held]:
    """A cluster with so many workers of one thread each, and an object store, beyond a link; SIGTERM ends it, too."""
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with ExitStack() as stack:
        link = stack.enter_context(_Link())
        at = {"folder": folder, "host": _THERE, "inside": link.inside}
        processes = {
            "store": [stack.enter_context(store(**at, port=_STORE))],
            "scheduler": [stack.enter_context(scheduler(**at, port=_SCHEDULER))],
            "workers": [stack.enter_context(worker(**at, scheduler=f"tcp://{_THERE}:{_SCHEDULER}"))
                        for _ in range(workers)],
        }  # fmt: skip
        make_bucket(f"http://{_THERE}:{_STORE}/held")
        yield Held(link, workers, {name: [one.pid for one in each] for name, each in processes.items()})
