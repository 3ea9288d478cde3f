"""A run's work on Dask: joins what a workspace opened to the executor that sends it to workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from daedalus.cluster.carrier import CarriedArtifacts, Carrier
from daedalus.cluster.connect import OVERHEAD, connected
from daedalus.cluster.dask_executor import DaskExecutor
from daedalus.cluster.delivery import Place
from daedalus.cluster.job import Job, absolute, settled_config, settled_sources
from daedalus.output.partitions import Partitions
from daedalus.sharing.bucket import CacheBucket
from daedalus.sharing.record import Blob, Signer
from daedalus.stagecache.walk.executor import Threads
from daedalus.workspace.graph import Graph
from daedalus.workspace.workspace import StageOutput, Workspace


@dataclass(frozen=True)
class OnDask:
    """The choice of a cluster: that of `scheduler`, at an address, or with None one on this machine."""

    scheduler: str | None

    def executor(self, workspace: Workspace, graph: Graph, run: str, say: Callable[[str], None]) -> DaskExecutor:
        """Runs the graph's actions on the cluster's workers."""
        scheduler = self.scheduler
        share, carrier = _Share(workspace), carrier_of(workspace) if scheduler else None
        return DaskExecutor(
            lambda: _job(workspace, graph, run, share.duckdb, carrier),
            lambda: share.mib * (1 << 20) + OVERHEAD,
            lambda need: connected(scheduler, workspace.workers, need, workspace.scratch.path()),
            where=f"--scheduler {scheduler}" if scheduler else "--executor dask",
            local=scheduler is None,
            here=Threads(workspace.workers),
            adopt=partial(_adopt, workspace),
            say=say,
            carried=_carried(workspace, carrier) if carrier else None,
        )


def _carried(workspace: Workspace, carrier: Carrier) -> CarriedArtifacts:
    shared = workspace.shared
    there = {"there": shared.shelf.sent} if shared else {}
    return CarriedArtifacts(workspace.cache_root, workspace.scratch, workspace.digests, carrier, **there)


def carrier_of(workspace: Workspace) -> Carrier | None:
    """What brings artifacts to workers that do not share the cache's folder; None: they all do."""
    shared = workspace.shared
    if shared is None or not (shared.remote.reads and shared.remote.writes):
        return None
    return SharedCarrier(shared.remote.uri, workspace.config.runtime.object_store)


class SharedCarrier:
    """Artifacts through the shared cache; a ticket is the `Blob` that their bytes are held to. A `Carrier`."""

    def __init__(self, uri: str, options: Mapping[str, Any]) -> None:
        self._uri, self._options = uri, options
        self._opening = threading.Lock()
        self._opened: CacheBucket | None = None

    def __getstate__(self) -> tuple[str, Mapping[str, Any]]:
        return self._uri, self._options

    def __setstate__(self, state: tuple[str, Mapping[str, Any]]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    @property
    def _remote(self) -> CacheBucket:
        with self._opening:
            if self._opened is None:
                self._opened = CacheBucket(self._uri, self._options, Signer(None))
            return self._opened

    def send(self, artifact: str, path: Path) -> Blob:
        part = Blob.of(path)
        self._remote.put_part(part, path)
        return part

    def fetch(self, artifact: str, ticket: Blob, path: Path) -> bool:
        return self._remote.fetch(ticket, path)


def _adopt(workspace: Workspace, artifact: str, ticket: Blob | None) -> None:
    """Takes up what a worker made: in the cache's folder, or in the shared cache, to be fetched if needed."""
    if ticket is None or workspace.shared is None:
        workspace.store.adopt(artifact)
    else:
        workspace.shared.learned(ticket)


class _Share:
    """What of the configured memory one action's DuckDB has: `mib`, and `duckdb`, the settings that say so."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def mib(self) -> int:
        with self._workspace.ducks.lease() as duck:
            return duck.memory_mib()

    @property
    def duckdb(self) -> Mapping[str, Any]:
        given = self._workspace.config.duckdb_settings
        given.pop("temp_directory", None)  # a worker spills to a folder of its own
        return {**given, "threads": 1, "memory_limit": f"{self.mib}MiB"}


def _job(workspace: Workspace, graph: Graph, run: str, duckdb: Mapping[str, Any], carrier: Carrier | None) -> Job:
    staging = workspace.scratch.path()
    staging.mkdir()
    return Job(
        run, settled_config(graph.config), settled_sources(graph.sources), graph.sessions, graph.days,
        cache_root=Path(absolute(str(workspace.cache_root))), staging=Path(absolute(str(staging))), duckdb=duckdb,
        carrier=carrier, places={one.stage.partition: _place(one) for one in workspace.outputs.values()},
    )  # fmt: skip


def _place(output: StageOutput) -> Place:
    home = output.partitions
    if not isinstance(home, Partitions):
        return Place(output.root)
    staging = home.scratch.path()
    staging.mkdir()
    return Place(absolute(str(home.root)), Path(absolute(str(staging))))
