"""The worker's side: the plugin that a run sets up on each worker, and the one function that Dask calls.

The plugin builds the run's graph when the first task arrives. With a shared folder its unfinished files are in the
coordinator's scratch folder, which is removed with the coordinator; SQLite and locks stay off the shared folder.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from distributed import WorkerPlugin, get_worker

from daedalus.actions.actions import Actions
from daedalus.actions.unaffected import Unaffected
from daedalus.base import digest
from daedalus.base.errors import DaedalusError
from daedalus.cluster.carrier import CarriedArtifacts
from daedalus.cluster.delivery import Beside, Delivering, Delivery, HandedOver, IntoStore, Outlet, Place, Unseen, sees
from daedalus.cluster.job import Job, Refusal, Unread, versions
from daedalus.cluster.shared_folder import Answers, Staging, all_there, wait_for
from daedalus.config.steps import ENRICH, PARTITIONS
from daedalus.enrich.stage import build_stages, steps
from daedalus.inputs.input_files import InputFiles
from daedalus.inputs.local_files import LocalFiles
from daedalus.objectstore.part_list import PartList
from daedalus.output.qid_map import QidMap
from daedalus.skeleton.context import Publishing, Skeleton
from daedalus.sql.duck import Ducks
from daedalus.stagecache.action import Action, Part, action_key
from daedalus.stagecache.records.artifact_store import ArtifactStore, FreePaths, Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.executor import Made, Task, perform

if TYPE_CHECKING:
    from daedalus.inputs.remote_files import RemoteFiles


class _NoQids:
    """In place of the qid map: only the coordinator assigns numbers."""

    shared, current = None, ""


_IN_MEMORY = Path(":memory:")  # SQLite's name for no file
Result = tuple[Made, Any] | Refusal | Unread
Split = Part | tuple[str, ...] | None  # see Task


def worker_name(run: str) -> str:
    return f"daedalus-{run}"


def run_action(
    run: str, name: str, digests: Mapping[str, str], key: str, tickets: Mapping[str, Any],
    lists: Mapping[str, PartList | None], split: Split = None,
) -> tuple[str, Result]:  # fmt: skip
    """Runs an action on the worker that calls this, or what of it `split` says: its address, and (what was made, its
    ticket), or why not.

    `tickets` are those of upstream artifacts; where a folder is shared there are none, and the result has none. A
    partition has a `Delivery` in place of a ticket. `lists` say what is published, by action: of a partition's own, and
    of those that it reads.
    """
    worker = get_worker()
    bench = cast(StageWorker, worker.plugins[worker_name(run)])
    return worker.address, bench.run(name, digests, key, tickets, lists, split)


def is_there(task: Task, made: Made, delivery: Delivery | None) -> bool:
    """Whether what another worker made is where it was left."""
    if task.is_part:
        return Path(made.artifact).exists()
    if delivery is None:
        return not task.action.shelf.problem(task.action.name, made.artifact)
    return delivery.folder is not None and all_there(delivery.folder, delivery.parts)


class StageWorker(WorkerPlugin):
    """What one worker has for one run: the graph, DuckDB connections, and a folder for unfinished files."""

    def __init__(self, job: Job, *, quiet: bool = False) -> None:
        """With `quiet` the worker logs nothing: it shares the coordinator's terminal."""
        self.name = worker_name(job.run)
        self._job, self._quiet = job, quiet
        self._opening = threading.Lock()
        self._open: tuple[dict[str, Action], ArtifactStore, Mapping[str, Outlet]] | None = None
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
        """Interrupts running queries and removes unfinished files."""
        for close in self._closing:
            close()

    def run(
        self, name: str, digests: Mapping[str, str], key: str, tickets: Mapping[str, Any],
        lists: Mapping[str, PartList | None], split: Split = None,
    ) -> Result:  # fmt: skip
        job = self._job
        if not job.carrier and not job.staging.is_dir():
            return Refusal(self._address, f"it does not see the cache at {job.cache_root}")
        graph, store, outlets = self._opened()
        manifest = graph[name].manifest(digests) if name in graph else {}
        if action_key(manifest) != key:
            return Refusal(self._address, manifest=manifest, versions=versions())
        if isinstance(store, CarriedArtifacts):
            store.tickets.update(tickets)
        published = [action for action in digests if graph[action].step in PARTITIONS]
        for action in digests.keys() - published:
            wait_for(store.path("", digests[action]))
        task = Task(graph[name], digests, graph, key, manifest, split=split)
        if isinstance(store, CarriedArtifacts):
            return self._make(task, published, store, outlets, lists)
        answers, what = Answers(job.staging), f"{key}{task.suffix}"
        found = answers.find(what)
        if not found or not is_there(task, *found):
            found = self._make(task, published, store, outlets, lists)
            if not isinstance(found, Unread):
                answers.leave(what, found)
        return found

    def _make(
        self, task: Task, published: list[str], store: ArtifactStore, outlets: Mapping[str, Outlet],
        lists: Mapping[str, PartList | None],
    ) -> tuple[Made, Any] | Unread:  # fmt: skip
        if task.is_part:
            return _left(perform(task), store)
        with ExitStack() as stack:
            if isinstance(task.split, tuple):
                task = replace(task, split=tuple(stack.enter_context(_found(part, store)) for part in task.split))
            if task.action.step in PARTITIONS:
                return self._partition(task, published, outlets, lists)
            made = perform(task)
        return made, store.send(made.artifact) if isinstance(store, CarriedArtifacts) else None

    def _partition(
        self, task: Task, published: list[str], outlets: Mapping[str, Outlet], lists: Mapping[str, PartList | None]
    ) -> tuple[Made, Delivery] | Unread:  # fmt: skip
        name, above = task.action.name, dict(task.above)
        shelf = Delivering(outlets[task.action.step], lists.get(name))
        with ExitStack() as stack:
            try:
                for read in published:
                    reading = outlets[above[read].step].reading(read, task.digests[read], lists.get(read))
                    above[read] = replace(above[read], shelf=stack.enter_context(reading))
            except Unseen as unseen:
                return Unread(self._address, str(unseen))
            made = perform(replace(task, action=replace(task.action, shelf=shelf), above=above))
        assert shelf.delivery is not None
        why = shelf.delivery.why and f"{self._address}: {shelf.delivery.why}"
        return made, replace(shelf.delivery, why=why)

    def _opened(self) -> tuple[dict[str, Action], ArtifactStore, Mapping[str, Outlet]]:
        with self._opening:
            if self._open is None:
                self._open = self._build()
            return self._open

    def _build(self) -> tuple[dict[str, Action], ArtifactStore, Mapping[str, Outlet]]:
        job = self._job
        spilling = Scratch(self._local, "spill-")
        ducks = Ducks(job.duckdb, spilling)
        self._closing = [ducks.interrupt, spilling.close]
        staging, store = self._store()
        unasked = Unaffected(ducks, lambda action: None, lambda artifact: None)
        # Partitions have no shelf here; `_partition` puts another in the place of this one.
        enriched = store if ENRICH in job.config.stages else None
        publishing = Publishing(store, cast(QidMap, _NoQids()), job.numbered, enriched=enriched)
        context, files = Skeleton(job.config, job.sources, publishing), self._files()
        make = Actions(steps(job.config), context, store, ducks, files, unasked)
        outlets = {step: self._outlet(place, staging, store, files) for step, place in job.places.items()}
        return {one.name: one for action in build_stages(make, job.days) for one in action.tasks}, store, outlets

    def _outlet(self, place: Place, staging: FreePaths, store: ArtifactStore, files: InputFiles) -> Outlet:
        """The way to the partitions of an output: into it, as far as this worker reaches it."""
        if place.staging:
            why = sees(place)
            return HandedOver(staging, store, why) if why else Beside(place, FileDigests(Traces(_IN_MEMORY)), store)
        from daedalus.output.remote_output import RemoteOutput
        from daedalus.output.remote_partitions import RemotePartitions

        scratch = Scratch(self._local, "parts-")
        self._closing.append(scratch.close)
        try:
            home = RemotePartitions(RemoteOutput(place.root, files.remote, Traces(_IN_MEMORY)), scratch)
        except DaedalusError as error:  # the extra for object stores is not installed here
            return HandedOver(staging, store, f"it cannot write the output: {error.what}")
        return IntoStore(home, scratch, HandedOver(staging, store, ""))

    def _files(self) -> InputFiles:
        """The input files. Objects are fetched by the digests in the job; nothing is listed."""
        job, scratch = self._job, Scratch(self._local, "fetching-")
        self._closing.append(scratch.close)

        def remote(say: Callable[[str], None]) -> RemoteFiles:
            from daedalus.inputs.remote_files import open_remote_files

            copies = (self._local if job.carrier else job.cache_root) / "fetched"
            return open_remote_files(job.config, Traces(_IN_MEMORY), copies, scratch)

        return InputFiles(LocalFiles(FileDigests(Traces(_IN_MEMORY)), scratch), remote)

    def _store(self) -> tuple[FreePaths, ArtifactStore]:
        """(free paths, artifacts): in the shared cache; with a carrier, in a folder of this worker."""
        job, digests = self._job, FileDigests(Traces(_IN_MEMORY))
        if not job.carrier:
            staging = Staging(job.staging)
            return staging, ArtifactStore(job.cache_root, staging, digests)
        own = self._local / f"artifacts-{job.run[:8]}"
        scratch = Scratch(own / "tmp")
        self._closing += [scratch.close, partial(shutil.rmtree, own, ignore_errors=True)]
        return scratch, CarriedArtifacts(own, scratch, digests, job.carrier)


def _left(made: Made, store: ArtifactStore) -> tuple[Made, Any]:
    """A part of an action, left in the shared folder, or sent: then it is called by its digest."""
    if not isinstance(store, CarriedArtifacts):
        return made, None
    path = Path(made.artifact)
    content = digest.of_file(path)
    ticket = store.carry(content, path)
    path.unlink()
    return replace(made, artifact=content), ticket


@contextmanager
def _found(part: str, store: ArtifactStore) -> Iterator[str]:
    """The path of a part that some worker made."""
    if not isinstance(store, CarriedArtifacts):
        wait_for(Path(part))
        yield part
        return
    path = store.bring(part)
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)
