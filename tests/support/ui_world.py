"""A world with fresh, stale, failed, blocked and empty days, and the site about it, asked without a network."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

from small import DAYS, PROJECT, RANGE, Small, edit

from daedalus.ui.live import LiveRun, live
from daedalus.ui.server import app
from daedalus.workspace.settings import Settings

TOKEN, PORT = "token-of-tests", 8123
FAILED, BLOCKED, FRESH, STALE = str(DAYS[5]), str(DAYS[6]), str(DAYS[2]), str(DAYS[12])
MADE = f"{DAYS[0]}..{DAYS[8]}"  # what was run after the edit


def make(template: Path, root: Path) -> Small:
    """All days are made, then a filter is edited, a feed file broken, and only some days are run again."""
    shutil.copytree(template, root)
    world = Small(root)
    with contextlib.chdir(root):
        edit(world.runtime, session_filter__drop_single_like=True)
        world.feed_file(FAILED).write_bytes(b"no parquet")
        world.run(MADE)
    return world


def client(settings: Settings | None = None, span: str | None = RANGE, token: str = TOKEN):
    """A test client of the site; its addresses begin after the token."""
    from starlette.testclient import TestClient

    whole = app(settings or Settings(), span, token=TOKEN, host="127.0.0.1", port=PORT, schema=1)
    return TestClient(whole, base_url=f"http://127.0.0.1:{PORT}/{token}", raise_server_exceptions=False)


def stamps(root: Path) -> dict[str, tuple]:
    """What `stat` says of everything below a folder, folders included."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        stat = path.lstat()
        found[str(path.relative_to(root))] = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    return found


def listening(root: Path, *options: str) -> tuple[subprocess.Popen, str]:
    """The command in a process of its own, and the address that it printed."""
    command = [sys.executable, "-m", "daedalus", "ui", "--no-open", *options]
    process = subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(PROJECT)}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stdout
    return process, process.stdout.readline().strip()


def ended(process: subprocess.Popen, by: int = signal.SIGINT) -> tuple[int, str, str]:
    """The exit code of the command, and what else it printed."""
    process.send_signal(by)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def ask(address: str) -> str:
    with urlopen(address, timeout=30) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def served(span: str | None = RANGE) -> Iterator[str]:
    """The site on a port of this machine, served by a thread; gives its address."""
    import uvicorn

    from daedalus.ui.server import _listen

    listening = _listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    whole = app(Settings(), span, token=TOKEN, host="127.0.0.1", port=port, schema=1)
    server = uvicorn.Server(uvicorn.Config(whole, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/{TOKEN}/"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextlib.contextmanager
def held_run(begun: Callable[[LiveRun], bool]) -> Iterator[tuple[subprocess.Popen, LiveRun]]:
    """A run of all days that is stopped, by the system, once it is seen and so far; it goes on afterwards.

    A page in a browser needs longer than a small run, so that nothing can be seen in time of one that is let go.
    """
    command = [sys.executable, "-m", "daedalus", "run", "--force", "-r", RANGE, "--progress", "none"]
    run = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdout=subprocess.DEVNULL)
    seen = None
    try:
        while seen is None and run.poll() is None:
            if any(begun(one) for one in live(Settings())["runs"]):
                run.send_signal(signal.SIGSTOP)
                seen = next((one for one in live(Settings())["runs"] if one["process"] == run.pid), None)
        assert seen, "the run ended before it was seen"
        yield run, seen
    finally:
        run.send_signal(signal.SIGCONT)
