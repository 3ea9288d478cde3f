"""One process, measured: seconds on the clock and on the processors, peak memory, what it printed."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """Seconds on the clock, processor seconds of a process and all it started, and the largest one's peak memory; what
    it printed."""

    seconds: float
    cpu: float
    memory: int
    out: str
    errors: str = ""


class Failed(Exception):
    """A process that ended with an error; the message has the line that says which."""


def measure(*command: str, cwd: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Runs a command to its end. Raises Failed."""
    variables = {**os.environ, **(environment or {})}
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=errors, text=True, env=variables)
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
        if process.returncode:
            raise Failed(f"exit {process.returncode}: {_error(said)}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, out, said)


def _error(said: str) -> str:
    """The last line that names an error of Python, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["nothing said"]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return (errors or lines)[-1][:200]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
