"""Text for terminals: control characters escaped, numbers with nouns, lines cut and wrapped to the width."""

from __future__ import annotations

import math
import os
import sys
import textwrap
from collections.abc import Iterable
from typing import TextIO

_NARROW = 80
_CONTROLS = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode categories: controls, bidi and zero-width marks, line ends


def printable(text: str) -> str:
    """The text with escapes for what would control a terminal or begin a line.

    Names, values and errors of libraries come from outside. A byte of a file name that is not UTF-8 is `\\xNN`.
    """
    if text.isprintable():
        return text
    from unicodedata import category

    return "".join(_escape(c) if category(c) in _CONTROLS else c for c in text)


def _escape(character: str) -> str:
    byte = ord(character) - 0xDC00  # as Python keeps a byte that is not UTF-8
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode()


def is_utf8(name: str) -> bool:
    """Whether the bytes of a name are UTF-8: Python accepts others, but few libraries do."""
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)


def tell(line: str, out: TextIO) -> None:
    """Prints a line at once. If that fails, the stream is silenced and the work goes on."""
    try:
        out.write(printable(line) + "\n")  # in one piece: other threads print too
        out.flush()
    except OSError:
        silence(out)


def silence(out: TextIO) -> None:
    """Redirects a stream that can no longer be written to, and all its users, to /dev/null."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, out.fileno())
    os.close(nowhere)


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as `1 day` and `2,971 steps`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def room() -> int | None:
    """The width of stdout, at least 80; None where it is no terminal: then nothing is cut."""
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, _NARROW) if sys.stdout.isatty() else None
    except (OSError, ValueError, AttributeError):  # stdout may be anything, or closed
        return None


def plain(value: object) -> object:
    """A value that JSON has; NaN, times, bytes and the like become text."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, int | str) else str(value)


def cut(line: str) -> str:
    """A line that fits the terminal; what is too long ends with an ellipsis."""
    width, line = room(), printable(line)
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    """Text in lines of the terminal's width, or of 80 columns where there is none."""
    rest = " " * len(first) if rest is None else rest
    return textwrap.wrap(printable(text), room() or _NARROW, initial_indent=first, subsequent_indent=rest,
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def shown_apart(old: str, new: str) -> tuple[str, str]:
    """Two texts for lines below each other; long ones begin shortly before their first difference."""
    width = (room() or _NARROW) - 8
    if max(len(old), len(new)) <= width:
        return old, new
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = same - 20 if same > 24 else 0
    return (f"…{old[start:]}", f"…{new[start:]}") if start else (old, new)


def column(names: Iterable[str], least: int, rest: int) -> int:
    """Width of a table's first column, with `rest` characters to its right."""
    longest = max([least - 1, *map(len, names)]) + 1
    width = room()
    return longest if width is None else max(least, min(longest, width - rest))


def fitted(name: str, width: int) -> str:
    """A step's name in a column: what is too long loses its middle, and keeps its day."""
    if len(name) < width:
        return f"{name:<{width}}"
    kind, at, day = name.rpartition("@")
    end = f"…{at}{day}" if at else "…"
    return f"{(kind if at else name)[: max(width - 1 - len(end), 0)]}{end} "
