"""Connects to a Dask cluster: a local one, or the one behind a scheduler's address.

A local cluster listens on loopback only, has one process per worker with one thread each, and ends with the run.
Dask's own log is kept off the terminal: the executor reports what the user must know.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from daedalus.base.errors import DaedalusError
from daedalus.base.installed import check_extra

if TYPE_CHECKING:
    from distributed import Client, LocalCluster, SpecCluster

MEMORY = "MEMORY"  # the resource, in bytes, that a worker declares and an action takes
OVERHEAD = 512 << 20  # bytes beside DuckDB's limit: Python, Arrow, the compiled kernel (docs/performance.md)
_CONNECT_SECONDS = 10
_LEAVE_SECONDS = 5
_STARTS = 5
_REPORTING = 0.02  # seconds between two reports of a worker, for each worker: more than Dask has
_SILENT = logging.CRITICAL + 1
_LOOPBACK = "127.0.0.1"
# Dask gives up a nanny that takes too long to restart a worker, as on a busy machine; `replace_lost` handles dead ones.
PATIENT = {"distributed.deploy.lost-worker-timeout": "1 hour"}
Workers = Mapping[str, Mapping[str, Any]]  # address -> what the scheduler knows of it


def check_installed() -> None:
    """Raises DaedalusError (exit 2) if Dask is not installed."""
    check_extra("dask", "distributed", where="--executor dask", what="Dask")


@contextmanager
def connected(address: str | None, count: int, need: int, folder: Path) -> Iterator[Client]:
    """A client of the scheduler at `address`; without an address, of a local cluster of `count` workers.

    `need` is the memory in bytes that each local worker declares, `folder` is where it may spill. Raises
    DaedalusError (exit 2) when no scheduler answers at the address.
    """
    from distributed.utils import silence_logging_cmgr

    with ExitStack() as stack:
        for root in ("distributed", "tornado.application"):
            stack.enter_context(silence_logging_cmgr(_SILENT, root))
        if address is None:
            with _shielded_from_ctrl_c():
                client = stack.enter_context(_local(count, need, folder))
        else:
            client = stack.enter_context(_given(address))
        yield client


@contextmanager
def _local(count: int, need: int, folder: Path) -> Iterator[Client]:
    import dask.config
    from distributed import Client

    with (
        dask.config.set(PATIENT),
        _started(count, need, folder) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _started(count: int, need: int, folder: Path) -> LocalCluster:
    """Starts a cluster on loopback; tries again when a worker dies while it starts."""
    from distributed import LocalCluster

    anywhere = f"{_LOOPBACK}:0"
    for attempt in range(_STARTS):
        try:
            return LocalCluster(
                n_workers=count, threads_per_worker=1, processes=True, host=_LOOPBACK, resources={MEMORY: need},
                memory_limit=None, local_directory=str(folder), dashboard_address=anywhere,
                worker_dashboard_address=anywhere, silence_logs=_SILENT,
            )  # fmt: skip
        except (OSError, RuntimeError) as error:
            if attempt == _STARTS - 1:
                raise DaedalusError(
                    "the local Dask cluster does not start", where="--executor dask", found=error,
                    hint="to run without a cluster: --executor threads",
                ) from None  # fmt: skip
    raise AssertionError("unreachable")


@contextmanager
def _given(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DaedalusError("no Dask scheduler answers", where=f"--scheduler {address}",
                            found=" ".join(str(error).split()), expected="an address such as tcp://10.0.0.1:8786",
                            hint="start one with: dask scheduler; without --scheduler a local cluster is used",
                            ) from None  # fmt: skip
    with client:
        yield client


@contextmanager
def _shielded_from_ctrl_c() -> Iterator[None]:
    """Blocks SIGINT for threads and processes that are started meanwhile: only this process handles it and ends them.

    A terminal sends SIGINT to all processes at once, and each worker would print a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # to start the resource tracker later would unblock SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def workers(client: Client) -> dict[str, Any]:
    """The running workers by address; first replaces those that a local cluster has lost for good."""
    if client.cluster is not None:
        replace_lost(client.cluster)
    # Not Client.scheduler_info: it answers with what was asked last, also by Dask itself, which asks for no workers.
    found = client.sync(cast("Any", client.scheduler).identity, n_workers=-1)["workers"]
    return {address: worker for address, worker in found.items() if worker.get("status", "running") == "running"}


def replace_lost(cluster: SpecCluster) -> None:
    """Starts new workers for those whose nannies gave up, which Dask itself still counts as present."""
    from distributed.core import Status

    def forget() -> None:
        gone = [name for name, nanny in cluster.workers.items() if nanny.status in (Status.closed, Status.failed)]
        for name in gone:
            del cluster.workers[name]

    assert cluster.loop is not None
    cluster.loop.add_callback(forget)
    cluster.scale(len(cluster.worker_spec))


def is_starting(client: Client) -> bool:
    """Whether a worker of a local cluster is being started, so that waiting makes sense."""
    from distributed.core import Status

    cluster = client.cluster
    if cluster is None:
        return False
    processes = [getattr(nanny, "process", None) for nanny in list(cluster.workers.values())]
    starting = any(process is not None and process.status == Status.starting for process in processes)
    return starting or len(cluster.workers) < len(cluster.worker_spec)  # a nanny is listed once its worker is up


def dashboard(client: Client) -> str:
    """The line that names the address of Dask's dashboard."""
    needs = "" if find_spec("bokeh") else " (its pages need bokeh where the scheduler runs)"
    return f"Dask dashboard: {client.dashboard_link}{needs}"


def slots(workers: Workers, need: int) -> int:
    """How many actions the workers can run at once, by threads and by declared memory."""
    return sum(min(worker["nthreads"], int(worker["resources"].get(MEMORY, 0) // need)) for worker in workers.values())


def silent(workers: Workers, seconds: float) -> set[str]:
    """The workers that have not reported to the scheduler for so long: they hang, or their host does."""
    seen = {address: worker["last_seen"] for address, worker in workers.items()}
    latest = max(seen.values(), default=0.0)
    return {address for address, at in seen.items() if latest - at > max(seconds, len(workers) * _REPORTING)}


def holders(client: Client, keys: Sequence[tuple]) -> dict[tuple, str]:
    """The worker that runs a task, has it next, or ran it, by the task's key."""
    held = {tuple(key): worker for worker, has in client.processing().items() for key in has}
    made = client.sync(cast("Any", client.scheduler).who_has, keys=list(keys))  # after it was asked who runs what
    return held | {tuple(key): workers[0] for key, workers in made.items() if workers}


def register(client: Client, plugin: Any, name: str) -> None:
    """Sets up a plugin on all workers, present and future.

    Raises OSError when they cannot be reached, and what a worker raises that cannot load the plugin.
    """
    for attempt in range(_STARTS):
        try:
            client.register_plugin(plugin, name=name)
            return
        except OSError:  # a worker died meanwhile: try again, which changes nothing for the others
            if attempt == _STARTS - 1:
                raise


def unregister(client: Client, name: str) -> None:
    """Removes a run's plugin from all workers that can still be reached; waits only a while for those that hang."""
    with suppress(Exception):
        scheduler = cast("Any", client.scheduler)
        client.sync(scheduler.unregister_worker_plugin, name=name, callback_timeout=_LEAVE_SECONDS)
