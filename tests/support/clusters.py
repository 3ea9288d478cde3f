"""Dask clusters for tests, all on 127.0.0.1: one of this process, or a scheduler and workers of their own."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from distributed import Client, LocalCluster, WorkerPlugin
from distributed.core import Status
from small import PROJECT

from daedalus.cluster.connect import PATIENT, replace_lost

PLENTY = 1 << 40  # bytes of MEMORY: more than any config of the tests asks for
_HOST = ["--host", "127.0.0.1"]


@contextmanager
def local_cluster(workers: int, **options) -> Iterator[LocalCluster]:
    import dask.config

    anywhere = "127.0.0.1:0"
    options = {"resources": {"MEMORY": PLENTY}, "processes": True, **options}
    with dask.config.set(PATIENT), LocalCluster(
        n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=anywhere,
        worker_dashboard_address=anywhere, memory_limit=None, **options,
    ) as cluster:  # fmt: skip
        yield cluster


class Processes:
    """A scheduler and workers as a person would start them, each a process; all are killed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.all = folder, []
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", folder / "s")
        while not (folder / "s").exists() or not (folder / "s").read_text().endswith("}"):
            assert self.scheduler.poll() is None
            time.sleep(0.05)

    @property
    def address(self) -> str:
        import json

        return json.loads((self._folder / "s").read_text())["address"]

    def worker(
        self, package: Path = PROJECT, resources: str = f"MEMORY={PLENTY}", **variables: str
    ) -> subprocess.Popen:  # fmt: skip
        """A worker without a nanny, with `package` as its code, and with variables of its own."""
        more = ["--resources", resources] if resources else []
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *more,
                           package=package, **variables)  # fmt: skip

    def _start(self, kind: str, *arguments: object, package: Path = PROJECT, **variables: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", kind, *_HOST, *map(str, arguments)]
        environment = {**os.environ, **variables, "PYTHONPATH": f"{package}:{PROJECT / 'tests/support'}"}
        log = (self._folder / f"{kind}-{len(self.all)}.log").open("w")
        self.all.append(subprocess.Popen(command, cwd=self._folder, env=environment, stdout=log, stderr=log))
        log.close()
        return self.all[-1]

    def close(self) -> None:
        for process in self.all:
            process.send_signal(signal.SIGKILL)
            process.wait()


class Deadly(WorkerPlugin):
    """Kills the worker's process, as a segmentation fault would, when it comes to an action of this name.

    Not at once: a nanny gives up a worker that dies before it has reported, so `let_die` has the say.
    """

    name = "deadly"

    def __init__(self, action: str, folder: Path) -> None:
        self._action, self._folder = action, folder

    def transition(self, key, start, finish, **more) -> None:
        if finish == "executing" and f"{key[0]}@{key[1]}" == self._action:
            mark = self._folder / str(os.getpid())
            mark.touch()
            while mark.exists():
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def let_die(cluster: LocalCluster, folder: Path) -> Iterator[None]:
    """Meanwhile lets workers that want to die do so once their nannies know them, and has others in their place."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            replace_lost(cluster)
            known = {str(nanny.pid) for nanny in list(cluster.workers.values()) if is_up(nanny)}
            for mark in folder.iterdir():
                if mark.name in known:
                    mark.unlink()

    def is_up(nanny) -> bool:
        return nanny.status == Status.running and nanny.process is not None and nanny.process.status == Status.running

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


@dataclass(frozen=True)
class FolderCarrier:
    """Carries artifacts through a folder, as an object store would; a ticket is the size."""

    folder: Path

    def send(self, artifact, path):
        shutil.copy(path, self.folder / f"{artifact}.parquet")
        return path.stat().st_size

    def fetch(self, artifact, ticket, path):
        shutil.copy(self.folder / f"{artifact}.parquet", path)
        return path.stat().st_size == ticket


def forget_plugins(dask_scheduler) -> None:
    """To be run on a scheduler: workers that come later get no plugins."""
    dask_scheduler.worker_plugins.clear()


class AtStep(WorkerPlugin):
    """Sends signals to workers that come to an action of this name: the first one to the first worker, and so on."""

    name = "at-step"

    def __init__(self, action: str, folder: Path, *signals: int, state: str = "executing") -> None:
        self._action, self._folder, self._signals, self._state = action, folder, signals, state
        folder.mkdir(exist_ok=True)

    def transition(self, key, start, finish, **more) -> None:
        if finish == self._state and f"{key[0]}@{key[1]}" == self._action:
            for number, one in enumerate(self._signals):
                with suppress(FileExistsError):
                    (self._folder / f"signal-{number}").touch(exist_ok=False)
                    os.kill(os.getpid(), one)
                    return


class Held(WorkerPlugin):
    """Has the first worker that makes an action of this name wait, once it has written it, for `release` to exist."""

    name = "held"

    def __init__(self, action: str, folder: Path) -> None:
        self._action, self._folder = action, folder
        self.release = folder / "release"

    def setup(self, worker) -> None:
        from daedalus.cluster import worker as module

        self._perform = module.perform
        module.perform = self._held

    def _held(self, task):
        if task.action.name != self._action:
            return self._perform(task)
        try:
            (self._folder / "held").touch(exist_ok=False)
        except FileExistsError:
            return self._perform(task)
        try:
            return self._perform(replace(task, action=replace(task.action, run=self._waiting(task.action.run))))
        finally:
            (self._folder / "over").touch()

    def _waiting(self, run):
        def waits(upstream, out):
            counts = run(upstream, out)
            while not self.release.exists():
                time.sleep(0.02)
            return counts

        return waits


class Counting(WorkerPlugin):
    """Writes down which actions each worker begins and has made, by process: also while it ends, so it stays set up."""

    name = "counting"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def setup(self, worker) -> None:
        from daedalus.cluster import worker as module

        self._perform = module.perform
        module.perform = self._counted

    def _counted(self, task):
        self._note("began", task)
        made = self._perform(task)
        self._note("made", task)
        return made

    def _note(self, state: str, task) -> None:
        with (self._folder / str(os.getpid())).open("a") as lines:
            lines.write(f"{state} {task.action.name}\n")


def times_computed(folder: Path, gone: set[int]) -> Counter[str]:
    """How often each action was computed, by `Counting`. What a worker of `gone` began and had not made was not."""
    found: Counter[str] = Counter()
    for log in folder.iterdir():
        lines = [line.split() for line in log.read_text().splitlines()]
        found.update(name for state, name in lines if state == ("made" if int(log.name) in gone else "began"))
    return found


class Churn:
    """Does so many things to the workers of `Processes`, at random: kills, ends, retires, slows or adds one.

    Up to `apart` actions are computed in between, by `Counting` in `folder`.
    """

    def __init__(
        self, processes: Processes, client: Client, seed: int, folder: Path, *, times: int, apart: int
    ) -> None:  # fmt: skip
        self._folder, self._times, self._apart = folder, times, apart
        self._processes, self._client, self._chance = processes, client, random.Random(seed)
        self._over, self.done, self.gone = threading.Event(), [], set()
        self._working = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Churn:
        self._working.start()
        return self

    def __exit__(self, *of: object) -> None:
        self._over.set()
        self._working.join()
        for worker in self.alive():
            worker.send_signal(signal.SIGCONT)

    def alive(self) -> list[subprocess.Popen]:
        return [one for one in self._processes.all[1:] if one.poll() is None and one.pid not in self.gone]

    def _work(self) -> None:
        acts = [self._kill, self._end, self._retire, self._add, self._slow, self._slow]
        while len(self.done) < self._times and self._goes_on():
            act = self._chance.choice(acts)
            if alive := self.alive():
                self.done.append(act.__name__)
                act(self._chance.choice(alive))
            if not self.alive():
                self._over.wait(self._chance.uniform(0.0, 2.0))
                self._processes.worker()

    def _goes_on(self) -> bool:
        """Waits until some more actions are computed, but not for long: whoever was to compute them may be gone."""
        until = time.monotonic() + 10
        enough = self._computed() + self._chance.randint(1, self._apart)
        while not self._over.wait(0.02):
            if self._computed() >= enough or time.monotonic() > until:
                return True
        return False

    def _computed(self) -> int:
        return sum(log.read_text().count("made ") for log in self._folder.iterdir())

    def _kill(self, worker: subprocess.Popen) -> None:
        self.gone.add(worker.pid)
        worker.kill()

    def _end(self, worker: subprocess.Popen) -> None:
        """As a spot machine is told to go."""
        self.gone.add(worker.pid)
        worker.terminate()

    def _retire(self, worker: subprocess.Popen) -> None:
        """Does not wait for it: Dask may not let the last one go before another comes."""
        pids = self._client.run(os.getpid, on_error="ignore")
        if address := next((address for address, pid in pids.items() if pid == worker.pid), None):
            self.gone.add(worker.pid)
            threading.Thread(target=self._retired, args=[address], daemon=True).start()

    def _retired(self, address: str) -> None:
        with suppress(Exception):  # the client is closed meanwhile
            self._client.retire_workers([address], close_workers=True)

    def _add(self, worker: subprocess.Popen) -> None:
        if len(self.alive()) < 3:
            self._processes.worker()

    def _slow(self, worker: subprocess.Popen) -> None:
        worker.send_signal(signal.SIGSTOP)
        self._over.wait(self._chance.uniform(0.5, 2.0))
        worker.send_signal(signal.SIGCONT)
