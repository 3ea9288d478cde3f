"""Two hosts that share an object store and nothing else: one scheduler, a worker on each; a cut link between them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import hosts
import pytest
from small import DAYS, Small

from daedalus.base import digest

pytest.importorskip("distributed")
HOSTS = Path(__file__).parent.parent / "support/hosts.py"
SPAN = DAYS[:5]
SCHEDULER = f"tcp://{hosts.ADDRESSES['a']}:8786"


@pytest.fixture
def two():
    if why := hosts.missing():
        pytest.skip(why)
    made = hosts.Hosts()
    yield made
    made.close()


def begin(two: hosts.Hosts, world: Path, folder: Path) -> None:
    """The store with the world's inputs, the scheduler, and a worker on each host, with folders of their own."""
    store = two.start("a", folder / "store", HOSTS, "store", stdout=subprocess.PIPE)
    assert store.stdout is not None and store.stdout.readline() == "ready\n"
    two.run("a", world, HOSTS, "upload")
    log = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    two.start("a", folder / "scheduler", "-m", "dask", "scheduler", "--host", hosts.ADDRESSES["a"], "--port", "8786",
              "--no-dashboard", **log)  # fmt: skip
    for host, address in hosts.ADDRESSES.items():
        two.start(host, folder / host, "-m", "dask", "worker", SCHEDULER, "--host", address, "--nthreads", "1",
                  "--no-nanny", "--no-dashboard", "--resources", "MEMORY=1e12", **log)  # fmt: skip


def test_two_hosts_make_the_bytes_of_one_also_when_one_is_lost(two, cold: Small, warm_template, tmp_path):
    days, local = tuple(f"dt={day}" for day in SPAN), cold.bytes(warm_template / "data/training_output")
    expected = {name: digest.of_bytes(data) for name, data in local.items() if name.startswith(days)}
    begin(two, cold.root, tmp_path / "hosts")
    run = two.start("a", cold.root, "-m", "daedalus", "skeleton", "--range", f"{SPAN[0]}..{SPAN[-1]}",
                    "--executor", "dask", "--scheduler", SCHEDULER, "--json", "--progress", "plain",
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert run.stdout is not None and run.stderr is not None
    told = []
    for line in run.stderr:
        told.append(line)
        if line.startswith(str(SPAN[1])):
            two.cut()
    said = run.stdout.read()
    assert run.wait() == 0, "".join([*told, said])
    report = json.loads(said)
    assert report["days"]["done"] == len(SPAN) and report["steps"]["computed"] > 150
    published = json.loads(two.run("a", cold.root, HOSTS, "published"))
    assert {name: found for name, found in published.items() if name.startswith("dt=")} == expected
