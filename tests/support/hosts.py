"""Two hosts for tests: network namespaces with a link between them, which can be cut. Needs root and iproute2.

Run as a script inside one of them, it does what must happen there: `store`, `upload`, `published` (see `main`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

ADDRESSES = {"a": "10.99.1.1", "b": "10.99.1.2"}
PORT = 5000
OPTIONS = {"endpoint": f"http://{ADDRESSES['a']}:{PORT}", "region": "us-east-1",
           "access_key_id": "test", "secret_access_key": "test"}  # fmt: skip
BUCKET = "hosts"


def missing() -> str:
    """Why there can be no such hosts here, or ""."""
    if os.geteuid():
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "iproute2 is not installed"
    tried = f"daeda-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", tried], capture_output=True).returncode:
        return "network namespaces cannot be made here"
    subprocess.run(["ip", "netns", "del", tried], check=True)
    return ""


class Hosts:
    """Hosts `a` and `b`; their processes are killed, and they are gone, after `close`."""

    def __init__(self) -> None:
        self._names = {host: f"daeda-{os.getpid()}-{host}" for host in ADDRESSES}
        self._started: list[subprocess.Popen] = []
        for name in self._names.values():
            _ip("netns", "add", name)
        _ip("-n", self._names["a"], "link", "add", "wire", "type", "veth", "peer", "wire", "netns", self._names["b"])
        for host, name in self._names.items():
            _ip("-n", name, "addr", "add", f"{ADDRESSES[host]}/24", "dev", "wire")
            for device in ("lo", "wire"):
                _ip("-n", name, "link", "set", device, "up")
            _ip("-n", name, "route", "add", "default", "dev", "wire")  # Dask asks which address leads out

    def cut(self) -> None:
        """Takes the wire away: nothing that is sent arrives, and nobody is told."""
        _ip("-n", self._names["b"], "link", "set", "wire", "down")

    def start(self, host: str, cwd: Path, *command: object, **options) -> subprocess.Popen:
        """A Python program on a host."""
        cwd.mkdir(parents=True, exist_ok=True)
        line = ["ip", "netns", "exec", self._names[host], sys.executable, *map(str, command)]
        support = Path(__file__).parent
        environment = {
            **os.environ,
            "PYTHONPATH": f"{support.parent.parent}:{support}",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
        }
        self._started.append(subprocess.Popen(line, cwd=cwd, env=environment, text=True, **options))
        return self._started[-1]

    def run(self, host: str, cwd: Path, *command: object) -> str:
        process = self.start(host, cwd, *command, stdout=subprocess.PIPE)
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        return out

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
        for name in self._names.values():
            _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def main(what: str) -> None:
    """`store` serves objects until killed, `upload` puts this folder's world there, `published` tells its digests."""
    from remote import Remote

    from daedalus.base import digest

    if what == "store":
        import urllib.request

        from moto.server import ThreadedMotoServer

        ThreadedMotoServer(ip_address=ADDRESSES["a"], port=PORT, verbose=False).start()
        request = urllib.request.Request(f"{OPTIONS['endpoint']}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request).close()
        print("ready", flush=True)
        threading.Event().wait()
    world = Remote(Path.cwd(), f"s3://{BUCKET}", OPTIONS)
    if what == "upload":
        world.upload()
        world.configure(OPTIONS, cache_remote=f"s3://{BUCKET}/cache")
    else:
        print(json.dumps({name: digest.of_bytes(data) for name, data in world.published().items()}))


if __name__ == "__main__":
    main(sys.argv[1])
