"""An interrupt at any moment of a walk ends it soon, keeps what is done, and the next walk does the rest."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from contextlib import AbstractContextManager, nullcontext, suppress

import pytest

from daedalus.base.errors import Interrupted
from daedalus.stagecache.action import Action
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.key_locks import KeyLocks
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.executor import Threads
from daedalus.stagecache.walk.walk import Walk

ROUNDS = int(os.environ.get("DAEDA_ROUNDS", "60"))
DAYS = 5


class World:
    def __init__(self, folder) -> None:
        folder.mkdir()
        self.scratch, self.traces = Scratch(folder / "tmp"), Traces(folder / "traces.db")
        self.store = ArtifactStore(folder, self.scratch, FileDigests(self.traces))
        self.locks = KeyLocks(folder / "locks")
        self.ran: list[str] = []

    def actions(self) -> list[Action]:
        def named(name, day, upstream):
            def run(paths, out):
                self.ran.append(name)
                out.write_text(name + "".join(path.read_text() for path in paths.values()))
                return {"rows": 1}

            return Action(name, name[0], day, {"config:name": name}, upstream, run, self.store)

        days = [f"2026-01-{day + 1:02}" for day in range(DAYS)]
        return [one for day in days for one in (named(f"a{day}", day, ()), named(f"b{day}", day, (f"a{day}",)))]

    def walk(self, threads: int, sender: AbstractContextManager | None = None) -> set[str]:
        """The days that it says are done."""
        days: set[str] = set()
        walk = Walk(self.actions(), self.traces, locks=self.locks, executor=Threads(threads),
                    day_done=lambda day, outcomes: days.add(day))  # fmt: skip
        with suppress(Interrupted, KeyboardInterrupt), sender or nullcontext():
            walk.execute({f"2026-01-{day + 1:02}": f"b2026-01-{day + 1:02}" for day in range(DAYS)})
        return days

    def close(self) -> None:
        self.traces.close()
        self.scratch.close()


class Sender:
    """Sends SIGINT to this process at the nth call or return of a function in this thread, also of one in C."""

    def __init__(self, moment: int) -> None:
        self.moment, self.count = moment, 0

    def __call__(self, frame, event, arg) -> None:
        self.count += 1
        if self.count == self.moment:
            signal.raise_signal(signal.SIGINT)

    def __enter__(self):
        sys.setprofile(self)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)


@pytest.fixture
def handled():
    """As in a process of its own, whoever runs the tests."""
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("threads", [1, 3])
def test_at_any_moment(tmp_path, handled, threads):
    """One that hangs is ended by pytest (`faulthandler_timeout`)."""
    draw, last, early = random.Random(threads), 10_000, 0
    for number in range(ROUNDS):
        world = World(tmp_path / str(number))
        sender = Sender(draw.randint(1, last))
        told, ran = world.walk(threads, sender), len(world.ran)
        last = min(last, sender.count)  # of a walk that was over before
        early += len(told) < DAYS
        kept = {trace.name for trace in world.traces.all()}
        assert {f"b{day}" for day in told} <= kept <= set(world.ran)
        assert len(world.walk(threads)) == DAYS and len(world.ran) == ran + 2 * DAYS - len(kept)
        world.close()
    assert early > ROUNDS / 4
