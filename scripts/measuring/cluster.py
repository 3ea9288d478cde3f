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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from measuring.process import Measured, measure, size_of
from measuring.worlds import BenchWorld

Say = Callable[[str], None]
_TICKS = os.sysconf("SC_CLK_TCK")
_MEMORY = 1 << 40  # bytes that a worker declares: more than any step asks for


def on_dask(world: BenchWorld, repeat: int, say: Say) -> dict[str, Any]:
    """Both stages, cold, with the output in a folder and in a bucket."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        address, workers = stack.enter_context(_cluster(world.root))
        store = stack.enter_context(_store(world.root))
        for name, bucket in (("folder", ""), ("bucket", "s3://measured")):
            _configure(world, bucket, store)
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
    before = sum(map(_cpu, workers))
    own = measure(sys.executable, "-m", "daedalus", "enrich", "--force", "--json", "--progress", "none", *world.range(),
                  "--executor", "dask", "--scheduler", address, cwd=world.root)  # fmt: skip
    return own, sum(map(_cpu, workers)) - before


def _configure(world: BenchWorld, bucket: str, store: str) -> None:
    world.reset_config()
    if bucket:
        import yaml

        embeddings = yaml.safe_load(world.runtime.read_text())["embeddings"]
        options = {"endpoint": store, "region": "us-east-1", "access_key_id": "x", "secret_access_key": "x"}
        world.edit(output_root=f"{bucket}/skeleton", embeddings={**embeddings, "output_root": f"{bucket}/enriched"},
                   object_store=options)  # fmt: skip


def _cpu(process: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def _cluster(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """(the scheduler's address, the workers' processes)."""
    scheduler = f"tcp://127.0.0.1:{_free_port()}"
    port = scheduler.rpartition(":")[2]
    workers = ["worker", scheduler, "--nthreads", "1", "--no-nanny", "--resources", f"MEMORY={_MEMORY}",
               "--memory-limit", "0", "--local-directory", str(folder / "workers")]  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(_dask(folder, "scheduler", "--port", port))
        yield scheduler, [stack.enter_context(_dask(folder, *workers)).pid for _ in range(2)]


def _dask(folder: Path, *arguments: str) -> Any:
    return _process(folder, "-m", "dask", *arguments, "--host", "127.0.0.1", "--no-dashboard")


@contextmanager
def _store(folder: Path) -> Iterator[str]:
    """The address of an object store with a bucket."""
    port = str(_free_port())
    with _process(folder, "-m", "moto.server", "-p", port):
        address = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(urllib.request.Request(f"{address}/measured", method="PUT")).close()
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
        yield address


@contextmanager
def _process(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, **quiet)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
