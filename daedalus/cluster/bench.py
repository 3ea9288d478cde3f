"""A worker's side: the bench that a run sets up on each worker, and the one function that Dask calls.

A bench builds the run's graph when the first task comes. Its unfinished files lie in the coordinator's
scratch folder, so they go when the coordinator does; SQLite and locks stay off the shared folder.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from distributed import WorkerPlugin, get_worker

from daedalus.cluster.job import Job, Refusal, versions
from daedalus.skeleton.engine import Ducks
from daedalus.skeleton.pipeline import Pipeline
from daedalus.skeleton.qids import QidMap
from daedalus.skeleton.untouched import Untouched
from daedalus.stagecache.action import Action, Manifest, action_key
from daedalus.stagecache.executor import Made, Task, perform
from daedalus.stagecache.files import FileDigests
from daedalus.stagecache.store import Scratch, Store
from daedalus.stagecache.trace import Traces

_NO_QIDS = cast(QidMap, None)  # the coordinator alone hands out numbers
_IN_MEMORY = Path(":memory:")  # SQLite's name for no file
_SEEN_SECONDS = 5.0  # in which a shared folder shows everyone what someone renamed there


def bench_name(run: str) -> str:
    return f"daedalus-{run}"


def run_action(run: str, name: str, digests: Mapping[str, str], key: str) -> Made | Refusal:
    """Runs an action of a run on the worker that this is called on, or says why it must not."""
    bench = cast(Bench, get_worker().plugins[bench_name(run)])
    return bench.run(name, digests, key)


class Bench(WorkerPlugin):
    """What one worker holds for one run: its graph, DuckDBs, and folder for unfinished files."""

    def __init__(self, job: Job, *, quiet: bool = False) -> None:
        """`quiet`: the worker shares the coordinator's terminal, and leaves it alone."""
        self.name = bench_name(job.run)
        self._job, self._quiet = job, quiet
        self._opening = threading.Lock()
        self._graph: dict[str, Action] | None = None
        self._closing: list[Callable[[], None]] = []

    def __getstate__(self) -> tuple[Job, bool]:
        return self._job, self._quiet

    def __setstate__(self, state: tuple[Job, bool]) -> None:
        job, quiet = state
        self.__init__(job, quiet=quiet)  # type: ignore[misc]

    def setup(self, worker: Any) -> None:
        self._address, self._local = worker.address, Path(worker.local_directory)
        if self._quiet:
            logging.getLogger("distributed").setLevel(logging.CRITICAL)

    def teardown(self, worker: Any) -> None:
        """Stops what still runs: nobody waits for it."""
        for close in self._closing:
            close()

    def run(self, name: str, digests: Mapping[str, str], key: str) -> Made | Refusal:
        if not self._job.staging.is_dir():
            return Refusal(self._address, f"it does not see the cache at {self._job.cache_root}")
        graph = self._actions()
        if name not in graph:
            return self._refuse({})
        action = graph[name]
        manifest = action.manifest(digests)
        if action_key(manifest) != key:
            return self._refuse(manifest)
        for above, artifact in digests.items():
            _wait_for(graph[above].shelf.path(above, artifact))
        return perform(Task(action, digests, graph, key, manifest))

    def _refuse(self, manifest: Manifest) -> Refusal:
        return Refusal(self._address, manifest=manifest, versions=versions())

    def _actions(self) -> dict[str, Action]:
        with self._opening:
            if self._graph is None:
                self._graph = self._build()
            return self._graph

    def _build(self) -> dict[str, Action]:
        job = self._job
        spilling = Scratch(self._local, "spill-")
        ducks = Ducks(job.duckdb, spilling)
        self._closing = [ducks.interrupt, spilling.close]
        store = Store(job.cache_root, Staging(job.staging), FileDigests(Traces(_IN_MEMORY)))
        unasked = Untouched(ducks, lambda action: None, lambda artifact: None)
        pipeline = Pipeline(job.config, job.sources, store, ducks, partitions=store, qids=_NO_QIDS,
                            lineage=job.lineage, untouched=unasked)  # fmt: skip
        return {action.name: action for action in pipeline.build(job.days)}


class Staging:
    """Free paths in a folder that someone else holds; a worker that dies leaves them to its holder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, suffix: str = "") -> Path:
        return self._folder / f"{uuid.uuid4().hex}{suffix}"


def _wait_for(path: Path) -> None:
    """Network file systems show what others renamed a little later; listing the folder makes them look."""
    until = time.monotonic() + _SEEN_SECONDS
    while not path.exists() and time.monotonic() < until:
        with suppress(OSError):
            os.listdir(path.parent)
        time.sleep(0.1)
