"""Crashes at the boundaries where a process leaves something behind: renames, syncs and records."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from daedalus.base import durable
from daedalus.stagecache.records.traces import Traces


class Crash(BaseException):
    """The process is gone; nothing that it would still have done happens."""


class Faults:
    """Counts calls at every boundary, and crashes at the n-th: before it, after it, or with half the bytes lost."""

    def __init__(self, monkeypatch, at: int, mode: str) -> None:
        self.at, self.mode, self.calls, self.dead = at, mode, 0, False
        self.done: list[tuple[str, tuple]] = []  # calls that took effect, with their arguments
        for owner, name in (
            (os, "replace"), (os, "rename"), (os, "fsync"), (durable, "_exchange"),
            (Traces, "write"), (Traces, "finish_days"), (Traces, "start_run"), (Traces, "finish_run"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self.wrap(name, getattr(owner, name)))
        monkeypatch.setattr(shutil, "rmtree", self.unless_dead(shutil.rmtree))

    def wrap(self, name, function):
        def wrapped(*arguments, **options):
            if self.dead:
                raise Crash
            self.calls += 1
            if self.calls != self.at or self.mode == "after":
                self.done.append((name, arguments))
            if self.calls != self.at:
                return function(*arguments, **options)
            if self.mode == "after":
                with contextlib.suppress(OSError):  # as of a folder that is there already
                    function(*arguments, **options)
            if self.mode == "half" and name == "fsync":
                path = Path(f"/proc/self/fd/{arguments[0]}").resolve()
                if path.is_file():
                    os.truncate(path, path.stat().st_size // 2)
            self.dead = True
            raise Crash

        return wrapped

    def unless_dead(self, function):
        def wrapped(*arguments, **options):
            if not self.dead:
                return function(*arguments, **options)

        return wrapped
