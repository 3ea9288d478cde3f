"""A run on a Dask cluster of two workers, of one thread each: what of the processor time the coordinator takes.

All processes are on this machine and share its folders. The output is in a folder, or in a bucket of moto's server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from measuring.process import Measured, measure, size_of
from measuring.worlds import BenchWorld

Say = Callable[[str], None]
Context = AbstractContextManager[subprocess.Popen]
_LOOPBACK = "127.0.0.1"
_TICKS = os.sysconf("SC_CLK_TCK")
_MEMORY = 1 << 40  # bytes that a worker declares: more than any step asks for


def on_dask(world: BenchWorld, repeat: int, say: Say) -> dict[str, Any]:
    """Both stages, cold, with the output in a folder and in a bucket."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        address, workers = stack.enter_context(_cluster(world.root))
        endpoint = stack.enter_context(_store(world.root))
        for name, bucket in (("folder", ""), ("bucket", "s3://measured")):
            _configure(world, bucket, endpoint)
            runs = [_run(world, address, workers) for _ in range(repeat + 1)][1:]  # the first compiles
            shares = sorted(own.cpu / (own.cpu + theirs) for own, theirs in runs)
            own, theirs = sorted(runs, key=lambda run: run[0].cpu)[len(runs) // 2]
            found[name] = {"coordinator_cpu": round(own.cpu, 3), "workers_cpu": round(theirs, 3),
                           "seconds": round(own.seconds, 3), "share": round(shares[len(shares) // 2], 4)}  # fmt: skip
            if not bucket:
                found[name]["output_bytes"] = size_of(world.output) + size_of(world.enriched)
            say(f"  output in a {name}: coordinator {own.cpu:.2f} CPU s, workers {theirs:.2f} CPU s, "
                f"{own.seconds:.2f} s; its share {shares[0]:.1%} to {shares[-1]:.1%}")  # fmt: skip
    world.reset_config()
    return found


def _run(world: BenchWorld, address: str, workers: list[int]) -> tuple[Measured, float]:
    """(the coordinator, processor seconds of the workers)."""
    world.forget()
    before = sum(map(cpu_of, workers))
    own = measure(sys.executable, "-m", "daedalus", "enrich", "--force", "--json", "--progress", "none", *world.range(),
                  "--executor", "dask", "--scheduler", address, cwd=world.root)  # fmt: skip
    return own, sum(map(cpu_of, workers)) - before


def _configure(world: BenchWorld, bucket: str, endpoint: str) -> None:
    world.reset_config()
    if bucket:
        import yaml

        embeddings = yaml.safe_load(world.runtime.read_text())["embeddings"]
        world.edit(output_root=f"{bucket}/skeleton", embeddings={**embeddings, "output_root": f"{bucket}/enriched"},
                   object_store=reached(endpoint))  # fmt: skip


def reached(endpoint: str) -> dict[str, str]:
    """The config's `object_store` for `store`, which checks no names."""
    return {"endpoint": endpoint, "region": "us-east-1", "access_key_id": "x", "secret_access_key": "x"}


def cpu_of(process: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def _cluster(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """(the scheduler's address, the workers' processes)."""
    port = _free_port()
    with ExitStack() as stack:
        stack.enter_context(scheduler(folder, _LOOPBACK, port))
        address = f"tcp://{_LOOPBACK}:{port}"
        yield address, [stack.enter_context(worker(folder, _LOOPBACK, address)).pid for _ in range(2)]


@contextmanager
def _store(folder: Path) -> Iterator[str]:
    """The address of an object store with a bucket."""
    port = _free_port()
    with store(folder, _LOOPBACK, port):
        address = f"http://{_LOOPBACK}:{port}"
        make_bucket(f"{address}/measured")
        yield address


# Processes that end with their contexts. `inside` is what a command line begins with, such as `ip netns exec NAME`.


def scheduler(folder: Path, host: str, port: int, inside: Sequence[str] = ()) -> Context:
    return _dask(folder, inside, "scheduler", "--port", str(port), "--host", host)


def worker(folder: Path, host: str, scheduler: str, inside: Sequence[str] = ()) -> Context:
    return _dask(folder, inside, "worker", scheduler, "--nthreads", "1", "--no-nanny", "--resources",
                 f"MEMORY={_MEMORY}", "--memory-limit", "0", "--local-directory", str(folder / "workers"),
                 "--host", host)  # fmt: skip


def store(folder: Path, host: str, port: int, inside: Sequence[str] = ()) -> Context:
    """An object store that speaks S3."""
    return _process(folder, inside, "-m", "moto.server", "-H", host, "-p", str(port))


def make_bucket(address: str) -> None:
    """Makes a bucket as soon as the store answers."""
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="PUT")).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _dask(folder: Path, inside: Sequence[str], *arguments: str) -> Context:
    return _process(folder, inside, "-m", "dask", *arguments, "--no-dashboard")


@contextmanager
def _process(folder: Path, inside: Sequence[str], *arguments: str) -> Iterator[subprocess.Popen]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*inside, sys.executable, *arguments], cwd=folder, **quiet)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((_LOOPBACK, 0))
        return int(free.getsockname()[1])
