"""Dask clusters for tests, all on 127.0.0.1: one of this process, or a scheduler and workers of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed import LocalCluster, WorkerPlugin
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
