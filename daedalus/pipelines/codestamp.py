"""What the code is, for keys and for who must only know that nothing changed: parsed once an edit of the package."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import daedalus
from daedalus import digest
from daedalus.stagecache.trace import Traces

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
    root = Path(daedalus.__file__).parent
    files = sorted(root.rglob("*.py"))
    return digest.of_json([[str(file.relative_to(root)), *_size_and_time(file)] for file in files])


def _size_and_time(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
