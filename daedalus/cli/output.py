"""Prints results to stdout, as they are; and errors and notes to stderr, without what addresses keep secret."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from daedalus.base.errors import DaedalusError, bare
from daedalus.base.terminal_text import printable, silence, tell

SCHEMA = 1  # of the objects that --json prints: another one when a field goes or means something else
_COLOURS = {"failed": "1;31", "blocked": "33"}  # as in the picture of a run, see watch/terminal.py


class Unprinted(OSError):
    """Standard output does not take what is printed."""


def show(found: Mapping, lines: Callable[[Any], list[str]], as_json: bool) -> int:
    """Prints what a command found, as JSON or as its lines."""
    print_json(found) if as_json else print_lines(lines(found))
    return 0


def print_json(found: Mapping) -> None:
    """Prints an object of shapes/commands.py to stdout."""
    print_out(json.dumps({"schema": SCHEMA, **found}))


def print_lines(lines: Sequence[str]) -> None:
    """Prints lines to stdout, with control characters escaped; on a terminal labels of what went wrong are coloured."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    shown = map(printable, lines)
    print_out("\n".join(map(_coloured, shown) if coloured else shown))


def _coloured(line: str) -> str:
    label, gap, rest = line.partition(" ")
    return f"\x1b[{_COLOURS[label]}m{label}\x1b[0m{gap}{rest}" if label in _COLOURS else line


def print_out(text: str) -> None:
    """Prints text to stdout; a closed pipe is no error. Raises Unprinted when it cannot be written."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # `daeda … | head` is no error
        silence(sys.stdout)
    except OSError as error:
        raise Unprinted(error.errno, error.strerror) from None


def print_notes(notes: Sequence[str]) -> None:
    """Prints notes to stderr."""
    for note in notes:
        to_stderr(f"note: {note}")


def to_stderr(line: str) -> None:
    """Prints a line to stderr at once."""
    tell(bare(line), sys.stderr)


@contextmanager
def saying() -> Iterator[Callable[[str], None]]:
    """Gives a function that prints progress to stderr: on a terminal one changing line, else a line each."""
    if not sys.stderr.isatty():
        yield to_stderr
        return
    from daedalus.watch.terminal import one_line

    with one_line(sys.stderr) as say:
        yield say


def refuse(error: DaedalusError, given: Sequence[str]) -> int:
    """Prints an error to stderr, with --json also to stdout; returns its exit code."""
    for line in error.text().split("\n"):
        to_stderr(line)
    tell_json(error, given)
    return error.exit_code


def tell_json(error: DaedalusError, given: Sequence[str]) -> None:
    """Prints an error to stdout as JSON, if --json was given."""
    if "--json" in given:
        print_json({"error": error.as_json()})
