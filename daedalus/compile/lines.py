"""The canonical document as lines for people, and as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daedalus.base.durable import write_file
from daedalus.base.errors import DaedalusError
from daedalus.base.terminal_text import column, counted, printable, wrapped


def check_out(out: str, what: str = "the document") -> Path:
    """The file to write. Raises DaedalusError, before any work is done, if it cannot be written."""
    path = Path(out)
    found = ""
    if not out or path.is_dir():
        found = "a folder" if out else "''"
    elif os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        found = "a link, a device or a pipe"
    elif not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        found = f"{path.parent}: {'not a writable folder' if path.parent.exists() else 'no such folder'}"
    if found:
        raise DaedalusError(f"{what} cannot be written there", where=f"--out {out}", found=found,
                            expected="a file's name, in a folder that can be written")  # fmt: skip
    return path


def write_document(document: Mapping[str, Any], out: Path) -> None:
    """Writes the document as JSON, atomically. Raises DaedalusError."""
    try:
        write_file(out, f"{json.dumps(document, indent=1)}\n".encode())
    except OSError as error:
        raise DaedalusError("the document cannot be written there", where=f"--out {out}", found=error.strerror,
                            expected="a file's name, in a folder that can be written") from None  # fmt: skip


def document_lines(document: dict[str, Any]) -> list[str]:
    """What `daeda compile` prints, at most 80 columns where names allow."""
    first, last = document["range"]
    lines = [
        f"digest      {document['digest']}",
        f"range       {first} to {last}",
        *wrapped(", ".join(f"{name} {version}" for name, version in document["engines"].items()), "engines     "),
    ]
    lists = {name: found for name, found in document.items() if name.endswith("columns")}
    for name, columns in lists.items():
        stage = (
            ", of the skeleton's partitions" if name != "columns" else ", of the last stage" if len(lists) > 1 else ""
        )
        lines += [f"{counted(len(columns), 'column')}{stage}", *_column_lines(columns)]
    return [*lines, counted(len(document["steps"]), "step"), *map(printable, _step_lines(document["steps"]))]


def _column_lines(columns: list[dict]) -> Iterator[str]:
    width = column((one["name"] for one in columns), 20, 40)
    for one in columns:
        nullable = "" if one["nullable"] else ", never NULL"
        yield printable(f"  {one['name']:<{width}} {one['type']}{nullable}")
        yield from wrapped(one["meaning"], " " * 6)


def _step_lines(steps: list[dict]) -> Iterator[str]:
    for step in steps:
        yield f"  {step['step']}"
        yield from wrapped(", ".join([*step["inputs"], *step["upstream"]]), "      reads  ", " " * 13)
        if step["config"]:
            yield from wrapped(", ".join(step["config"]), "      keys   ", " " * 13)
