"""Runs a command line of daeda and counts what it does: `counting.py FILE ARGUMENTS…` writes the counts to FILE.

Files that Python opens to write are counted; those of pyarrow and DuckDB are in the bytes only. What is imported is
counted too, so this imports little, and patches DuckDB only once the run has imported it.
"""

from __future__ import annotations

import builtins
import json
import os
import sqlite3
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

HEAVY = ("duckdb", "lance", "numba", "numpy", "pandas", "polars", "pyarrow", "rich", "yaml", "jinja2", "asyncio")
CODE = (".py", ".pyc", ".nbi", ".nbc")  # source, bytecode and kernels: read whole, and no data
_RUNS = ("execute", "executemany", "sql", "query")  # DuckDB's calls that take statements
_counts: Counter[str] = Counter()
_lock = threading.Lock()


def count(what: str, by: int = 1) -> None:
    with _lock:
        _counts[what] += by


class CountedDuck:
    """A DuckDB connection whose statements are counted."""

    def __init__(self, db: Any, module: Any) -> None:
        self._db, self._module = db, module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._db, name)
        if name not in _RUNS:
            return found

        def run(statement: Any, *arguments: Any, **named: Any) -> Any:
            text = isinstance(statement, str)
            count("DuckDB statements", len(self._module.extract_statements(statement)) if text else 1)
            return found(statement, *arguments, **named)

        return run


def watch_duckdb() -> None:
    """Has DuckDB's connections counted from the moment that it is imported."""
    real = builtins.__import__

    def importing(name: str, *rest: Any, **named: Any) -> Any:
        module = real(name, *rest, **named)
        if name == "duckdb" and hasattr(duckdb := sys.modules["duckdb"], "connect") and not hasattr(duckdb, "counted"):
            duckdb.counted, connect = True, duckdb.connect  # type: ignore[attr-defined]

            def counted(*arguments: Any, **options: Any) -> CountedDuck:
                count("DuckDB connections")
                return CountedDuck(connect(*arguments, **options), duckdb)

            duckdb.connect = counted
        return module

    builtins.__import__ = importing


def watch_sqlite() -> None:
    connect = sqlite3.connect

    def counted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*arguments, **options)
        db.set_trace_callback(_statement)
        return db

    sqlite3.connect = counted  # type: ignore[assignment]


def _statement(text: str) -> None:
    if text.lower().startswith("begin"):  # statements are not counted: how many there are depends on the clock
        count("SQLite transactions")


def watch_files() -> None:
    """Counts syncs, renames and files that Python opens to write."""
    sync = os.fsync

    def counted(handle: Any) -> None:
        count("syncs")
        sync(handle)

    os.fsync = os.fdatasync = counted
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple) -> None:
    if event == "os.rename":
        count("renames")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        count("files opened to write")
    elif event == "open" and str(arguments[0]).endswith(CODE):
        count("bytes of code", Path(arguments[0]).stat().st_size)


def _io() -> Counter[str]:
    """Bytes that this process read and wrote so far, from caches or disks, by whatever part of it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return Counter({name: int(number) for name, number in (line.split(": ") for line in lines)})


def main() -> None:
    out, *given = sys.argv[1:]
    watch_duckdb()
    watch_sqlite()
    watch_files()
    before = _io()
    from daedalus.cli.main import main as daeda

    try:
        daeda(given)
    except SystemExit as ended:
        assert not ended.code, ended.code
    after = _io()
    _counts["bytes read"] = after["rchar"] - before["rchar"] - _counts.pop("bytes of code")
    _counts["bytes written"] = after["wchar"] - before["wchar"]
    _counts["modules of ours"] = sum(name.partition(".")[0] == "daedalus" for name in sys.modules)
    _counts["heavy modules"] = sum(name in sys.modules for name in HEAVY)
    Path(out).write_text(json.dumps(_counts))


if __name__ == "__main__":
    main()
