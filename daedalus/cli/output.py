"""What goes to stdout and what to stderr, never with a user or a password in an address."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from daedalus.base.errors import DaedalusError, bare
from daedalus.base.text import printable, silence, tell


def show(found: dict, lines: Callable[[dict], list[str]], as_json: bool) -> int:
    """Prints what a command found, as JSON or as its lines."""
    print_out(json.dumps(found)) if as_json else print_lines(lines(found))
    return 0


def print_lines(lines: Sequence[str]) -> None:
    """Lines for people, to stdout."""
    print_out("\n".join(map(printable, lines)))


def print_out(text: str) -> None:
    """To stdout, which may be closed already. Raises OSError when it takes nothing."""
    try:
        print(bare(text), flush=True)
    except BrokenPipeError:  # `daeda … | head` is no error
        silence(sys.stdout)


def print_notes(notes: Sequence[str]) -> None:
    """What a person should know before the result."""
    for note in notes:
        to_stderr(f"note: {note}")


def to_stderr(line: str) -> None:
    """A line for a person, at once."""
    tell(bare(line), sys.stderr)


@contextmanager
def saying() -> Iterator[Callable[[str], None]]:
    """How far something is: one line on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield to_stderr
        return
    from daedalus.watch.terminal import one_line

    with one_line(sys.stderr) as say:
        yield say


def refuse(error: DaedalusError, given: Sequence[str]) -> int:
    """Says on stderr what is wrong, and on stdout too for who asked for JSON."""
    for line in error.text().split("\n"):
        to_stderr(line)
    tell_json(error, given)
    return error.exit_code


def tell_json(error: DaedalusError, given: Sequence[str]) -> None:
    """Says on stdout what is wrong, for who asked for JSON."""
    if "--json" in given:
        print_out(json.dumps({"error": error.as_json()}))
