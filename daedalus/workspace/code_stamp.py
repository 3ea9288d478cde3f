"""What the code is, for keys and for who must only know that nothing changed: parsed once an edit of the package."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import daedalus
from daedalus.base import digest
from daedalus.stagecache.records.traces import Traces

if TYPE_CHECKING:
    from daedalus.stagecache.fingerprint import Fingerprint


def code_version(traces: Traces) -> str:
    """Digest of all code that renders statements or computes; parsed once an edit of the package."""
    key = f"code version:{code_stamp()}"
    known = traces.fact(key)
    if not isinstance(known, str):
        from daedalus.stagecache.fingerprint import of_packages

        known = of_packages("daedalus.skeleton", "daedalus.config")
        traces.remember_fact(key, known)
    return known


def remembered_fingerprint(traces: Traces, function: Callable) -> Fingerprint:
    """The fingerprint of a function; parsed once an edit of the package."""
    from daedalus.stagecache.fingerprint import Fingerprint, of_python

    key = f"fingerprint:{code_stamp()}:{function.__module__}.{function.__qualname__}"
    known = traces.fact(key)
    if not isinstance(known, list):
        found = of_python(function)
        known = [found.digest, found.text]
        traces.remember_fact(key, known)
    return Fingerprint(*known)


@cache
def code_stamp() -> str:
    """Changes with any edit of the package, even of a comment: cheap, for who must only know that nothing changed."""
    return digest.of_json(sorted(_sizes_and_times(os.path.dirname(daedalus.__file__), "")))


def _sizes_and_times(folder: str, label: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                stat = entry.stat()
                yield f"{label}{entry.name}", stat.st_size, stat.st_mtime_ns
            elif entry.is_dir():
                yield from _sizes_and_times(entry.path, f"{label}{entry.name}/")
