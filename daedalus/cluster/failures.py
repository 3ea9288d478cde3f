"""The errors of a cluster that cannot do a run's work, or a step's."""

from __future__ import annotations

import os
from typing import Any

from daedalus.base.errors import EXIT_DAY_FAILED, EXIT_REFUSED, DaedalusError, DayError, RunStopped
from daedalus.cluster.connect import MEMORY, OVERHEAD, Workers
from daedalus.stagecache.walk.executor import Task


def lost(where: str) -> RunStopped:
    return RunStopped("the connection to the Dask scheduler is lost", where=where,
                      first="finished days are kept; start it again")  # fmt: skip


def unusable(where: str, error: Exception) -> DaedalusError:
    return DaedalusError("the Dask workers cannot load this program", where=where,
                         found=f"{type(error).__name__}: {' '.join(str(error).split())}",
                         expected="daedalus-skeleton, of the same version, on each worker",
                         hint="pip install 'daedalus-skeleton[dask]' there")  # fmt: skip


def no_workers(where: str, seconds: float, need: int) -> DaedalusError:
    """Of a scheduler that never had a worker."""
    return DaedalusError("the Dask scheduler has no workers", where=where, found=f"none in {seconds:.0f} s",
                         expected="workers that declare their memory", hint=_start(need))  # fmt: skip


def none_left(where: str, seconds: float) -> RunStopped:
    return RunStopped("no Dask worker is left", where=where, found=f"none for {seconds:.0f} s",
                      first="finished days are kept; start workers")  # fmt: skip


def too_small(where: str, workers: Workers, need: int) -> DaedalusError:
    """Of workers none of which declares enough memory."""
    most = max(worker["resources"].get(MEMORY, 0) for worker in workers.values())
    found = f"{MEMORY}={most:.0f} at most" if most else f"{len(workers)} workers without {MEMORY}"
    return DaedalusError(
        "no Dask worker declares the memory that a step needs", where=where, found=found,
        expected=f"{MEMORY}={need} bytes for each thread of a worker "
        f"(compute.duckdb_config: memory_limit / threads, plus {OVERHEAD >> 20} MiB)",
        hint=f"{_start(need)}, or a smaller memory_limit",
    )  # fmt: skip


def _start(need: int) -> str:
    return f'dask worker … --nthreads 1 --resources "{MEMORY}={need}"'


def all_refused(worker: str, reason: str, *, made: bool) -> RunStopped:
    """Of workers all of which refused a task; `made` says whether any had made something before."""
    error = RunStopped("no Dask worker can do this run's work", where=worker, found=reason,
                       expected="the coordinator's code, packages and shared folder on each worker",
                       first="restart the workers with the same code and packages as here")  # fmt: skip
    error.exit_code = EXIT_DAY_FAILED if made else EXIT_REFUSED
    return error


def deadly(task: Task, death: Any) -> DayError:
    return DayError("every Dask worker that ran this step died", where=str(death.last_worker.address),
                    found=f"{death.allowed_failures + 1} deaths, and as many while no other step ran",
                    hint=f"look at the workers' logs; if memory ran out, {MEMORY} may be more than the host "
                         "has, or memory_limit too high")  # fmt: skip


def as_here(error: Exception) -> Exception:
    """The error as a run on this machine would report it, with paths relative to the working directory."""
    if isinstance(error, DaedalusError):
        error.where = error.where.removeprefix(f"{os.getcwd()}/")
    return error
