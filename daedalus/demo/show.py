"""What `daeda demo` shows: commands that one can type, each printed and then run as a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from shutil import which

from daedalus.base.durable import write_file
from daedalus.base.errors import EXIT_DAY_FAILED, EXIT_DONE
from daedalus.demo.folder import Demo, prepared

_RUNTIME = "config/training/runtime.yaml"
_BEFORE, _AFTER = "drop_single_like: false", "drop_single_like: true"
_PATIENCE = 2.0  # seconds for a command that got a terminal's Ctrl-C too

Say = Callable[[str], None]


def show(folder: Path, days: int | None, rows: int | None, say: Say) -> int:
    """Makes the folder, or takes it up, and runs what is left of the demo there; returns the exit code.

    Raises DaedalusError (exit 2) for a folder of something else.
    """
    demo = prepared(folder, days, rows, say)
    say(f"$ cd {shlex.quote(str(folder))}")
    for what, command in _commands(folder, demo, say):
        say(f"\n# {what}\n$ {shlex.join(['daeda', *command])}")
        code = _run(command, folder)
        if code != EXIT_DONE:
            say(f"\n# stopped; to continue: {shlex.join(['daeda', 'demo', str(folder)])}")
            return code
    for line in _next_lines(demo):
        say(line)
    return EXIT_DONE


def _commands(folder: Path, demo: Demo, say: Say) -> Iterator[tuple[str, Sequence[str]]]:
    """What each command is for, and its words. The filter is edited between two of them, unless it is already."""
    days = ("--range", demo.range)
    day = demo.last - timedelta(demo.days * 2 // 15)
    if _is_unedited(folder):
        yield "run every step of every day, of the skeleton and of its vectors", ("run", *days)
        say("\n# edit a filter: also drop sessions with nothing but a single like")
        say(f"$ sed -i 's/{_BEFORE}/{_AFTER}/' {_RUNTIME}")
        _edit(folder)
    else:
        say("\n# the first run and the edit are done already")
    yield "show what that edit would run in both stages, and why", ("plan", *days)
    yield "the same for one day: causes, each step's state, rows and cost", ("explain", "day", str(day))
    yield "run it", ("run", *days)
    yield "write a report of all this, as one HTML page", ("report", *days)


def _is_unedited(folder: Path) -> bool:
    return _BEFORE in (folder / _RUNTIME).read_text(encoding="utf-8")


def _edit(folder: Path) -> None:
    text = (folder / _RUNTIME).read_text(encoding="utf-8")
    write_file(folder / _RUNTIME, text.replace(_BEFORE, _AFTER).encode())


def _run(command: Sequence[str], folder: Path) -> int:
    """Runs `daeda` of this very installation in the folder; returns its exit code, 1 where a signal ended it."""
    sys.stdout.flush()
    words = [sys.executable, "-P", "-m", "daedalus", *command]
    child = subprocess.Popen(words, cwd=folder, stdout=sys.stdout, stderr=sys.stderr)
    try:
        code = child.wait()
    except KeyboardInterrupt:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_PATIENCE)
        child.terminate()  # which it takes as Ctrl-C; nothing if it has ended
        child.wait()
        raise
    return code if code >= 0 else EXIT_DAY_FAILED


def _next_lines(demo: Demo) -> list[str]:
    """What to do with the folder from here."""
    lines = [
        "",
        "The page is daeda-report.html; partitions are in data/training_output and data/training_enriched.",
        "What to try next, in this folder:",
        "",
        f"  daeda run --range {demo.range}  # nothing has changed, so nothing is computed",
        f"  sed -i 's/{_AFTER}/{_BEFORE}/' {_RUNTIME}  # undo the edit, and then:",
        f"  daeda plan --range {demo.range}  # most of it is in the cache",
        f"  daeda diff {demo.last}",
        "  daeda cache status",
        "  daeda --help",
    ]
    if which("daeda") is None or "UV" in os.environ:  # uvx has it on the path for as long as it runs
        lines += ["", f"`daeda` is also: {shlex.quote(sys.executable)} -m daedalus"]
    return lines
