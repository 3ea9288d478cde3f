"""What the code is, for keys and for who must only know that nothing changed: read and parsed once an edit of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache

import daedalus
from daedalus.base import digest
from daedalus.base.file_stat import stat_of
from daedalus.base.installed import installed
from daedalus.base.remembered import recall, remember
from daedalus.stagecache.records.traces import Traces

ENGINES = ("duckdb", "numba", "pyarrow", "pycountry", "pylance")  # of keys; tests/cache/test_fresh_days.py
_SETTLED = 2_000_000_000  # nanoseconds; two edits within a tick of the clock leave the same stat


def code_version(traces: Traces) -> str:
    """Digest of all code that renders statements or computes; parsed once an edit of the package."""
    key = f"code version:{code_stamp(traces)}"
    known = traces.fact(key)
    if not isinstance(known, str):
        (known,) = _kept_for_the_user("code-versions", key, _of_packages, parts=1)
        traces.remember_fact(key, known)
    return known


def _of_packages() -> list[str]:
    from daedalus.stagecache.fingerprint import of_packages

    return [of_packages("daedalus.skeleton", "daedalus.enrich", "daedalus.config")]


def code_digest(traces: Traces, function: Callable) -> str:
    """The digest of a function's code; parsed once an edit of the package, and its text kept for explanations."""

    def found() -> list[str]:
        from daedalus.stagecache.fingerprint import of_python

        fingerprint = of_python(function)
        return [fingerprint.digest, fingerprint.text]

    key = f"code digest:{code_stamp(traces)}:{function.__module__}.{function.__qualname__}"
    known = traces.fact(key)
    if not isinstance(known, str):
        known, text = _kept_for_the_user("fingerprints", key, found, parts=2)
        traces.remember_texts({known: text})
        traces.remember_fact(key, known)
    return known


def _kept_for_the_user(kind: str, key: str, find: Callable[[], list[str]], parts: int) -> list[str]:
    """What follows from the code, in so many texts: a cache that is new need not have all code parsed again."""
    kept = digest.of_text(key)
    known = recall(kind, kept)
    if not (isinstance(known, list) and len(known) == parts and all(isinstance(part, str) for part in known)):
        known = find()
        remember(kind, kept, known, public=True)
    return known


@lru_cache(maxsize=1)
def code_stamp(traces: Traces) -> str:
    """Changes with any edit of the package, even of a comment, and with any engine's version.

    It is a digest of content, the same for two checkouts of the same code: each reads its files once, and again when
    their `stat` changes.
    """
    package = os.path.dirname(daedalus.__file__)
    files = sorted(_python_files(package, ""))
    stats = [stat_of(path) for _, path in files]
    key = f"code stamp:{digest.of_json([files, stats, installed()])}"
    known = traces.fact(key)
    if not isinstance(known, str):
        from daedalus.stagecache.fingerprint import version

        engines = [(name, version(name)) for name in ENGINES]
        known = digest.of_json([[(label, digest.of_file(path)) for label, path in files], engines, sys.version])
        if max(changed for _, _, changed, _ in stats) < time.time_ns() - _SETTLED:
            traces.remember_fact(key, known)
    return known


def _python_files(folder: str, label: str) -> Iterator[tuple[str, str]]:
    """(name within the package, path) of each file of code below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield f"{label}{entry.name}", entry.path
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _python_files(entry.path, f"{label}{entry.name}/")
