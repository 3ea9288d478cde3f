"""DuckDB for steps: runs a `Sql` over bound parquet files and writes one parquet file.

A worker thread keeps one DuckDB and drops its tables after every action: to open one costs 12 ms, five times the
work of a small step. Steps exchange data in files only. Each DuckDB has one thread and its share of the configured
memory: two steps in parallel, a thread each, take two thirds of the time of two in sequence with two threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, DayError
from daedalus.base.ports import Facts, Scratch
from daedalus.base.sizes import parse_size
from daedalus.base.terminal_text import counted
from daedalus.config import RUNTIME, Config
from daedalus.config.duckdb_settings import FIXED
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.sql.text import Sql, literal, name, path_literal
from daedalus.stagecache.fingerprint import version
from daedalus.tables.held import HELD

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


_LIMIT = "training/runtime.yaml: compute.duckdb_config.memory_limit"
_ENOUGH = 16 << 20  # bytes that DuckDB starts with
_INTERRUPTED = "Query interrupted"
_UNITS = {"byte": 1, "bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}


# The lock comes last: no statement after it, ours or of a config, can change a setting.
_SETTINGS = "".join(
    f"SET {setting} = {literal(value)};"
    for setting, value in {"threads": 1, "enable_progress_bar": False, **FIXED, "lock_configuration": True}.items()
)


@dataclass(frozen=True)
class Bindings:
    """The values of the names in a `Sql`: lists of parquet files, Arrow tables, and variables."""

    files: Mapping[str, Sequence[Path | str]] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)  # name -> SQL literal


class Duck:
    """One DuckDB with one of `threads` shares of the configured limits. Used by one thread at a time."""

    def __init__(self, config: Mapping[str, Any], threads: int = 1) -> None:
        import duckdb

        try:
            self._db: duckdb.DuckDBPyConnection = duckdb.connect(config=dict(config))
            if "memory_limit" in config:
                self._take_share(config["memory_limit"], threads)
            self._db.execute(_SETTINGS)
        except duckdb.OutOfMemoryException as error:
            raise _no_room_to_start(config.get("memory_limit"), threads, str(error).splitlines()[0][:160]) from None
        except duckdb.Error as error:
            raise DaedalusError(
                "DuckDB refuses its configuration",
                where="training/runtime.yaml: compute.duckdb_config",
                found=str(error).splitlines()[0],
                expected="settings that duckdb.connect(config=…) takes",
            ) from None

    def _take_share(self, limit: object, threads: int) -> None:
        """Divides the limit; raises DaedalusError where the least that DuckDB can work with is not left."""
        share = self.memory_mib() // threads
        if not share:
            raise _no_room_to_start(limit, threads, "less than 1 MiB for each")
        if threads > 1:
            self._db.execute(f"SET memory_limit = '{share}MiB'")

    def copy(self, sql: Sql, bindings: Bindings, out: Path) -> dict[str, int]:
        """Writes the rows of `sql` to `out`; returns its counts, and as `rows` the number written."""
        import pyarrow as pa

        with self._bound(sql, bindings):
            counts = self._counts(sql)
            # Closed, also where writing fails: a half-read result blocks the connection.
            with self._db.sql(sql.select).to_arrow_reader(ROWS_PER_GROUP) as reader:
                rows = write_parquet(out, reader.schema, (pa.Table.from_batches([batch]) for batch in reader))
            return {**counts, "rows": rows}

    def table(self, sql: Sql, bindings: Bindings) -> pa.Table:
        """The rows of `sql` as an Arrow table."""
        with self._bound(sql, bindings):
            return self._db.sql(sql.select).to_arrow_table()

    def value(self, statement: str, *parameters: object) -> Any:
        """The single value of a statement."""
        return self._db.execute(statement, parameters).fetchall()[0][0]

    def constants(self, columns: Mapping[str, str]) -> pa.Table:
        """Columns of expressions that read nothing, as an Arrow table of one row."""
        selected = [f"({text}\n) AS {name(column)}" for column, text in columns.items()]
        return self._db.sql(f"SELECT {', '.join(selected)}").to_arrow_table()

    def memory_mib(self) -> int:
        """The memory limit in MiB, as DuckDB parsed it."""
        number, unit = str(self.value("SELECT current_setting('memory_limit')")).split()
        return int(float(number) * _UNITS[unit]) >> 20

    def interrupt(self) -> None:
        self._db.interrupt()

    def close(self) -> None:
        self._db.close()

    def _counts(self, sql: Sql) -> dict[str, int]:
        if not sql.counts:
            return {}
        rows = self._db.execute(sql.counts).fetchall()  # all of it: a half-read result blocks the connection
        return {column[0]: value for column, value in zip(self._db.description, rows[0], strict=True)}

    @contextmanager
    def _bound(self, sql: Sql, bindings: Bindings) -> Iterator[None]:
        """Sets variables, registers tables and creates the temporary tables of `sql`; drops tables at the end."""
        import duckdb

        try:
            for variable, value in bindings.variables.items():
                self._db.execute(f"SET VARIABLE {name(variable)} = {value}")
            for bound, paths in bindings.files.items():
                listed = ", ".join(path_literal(path) for path in paths)
                self._db.execute(f"SET VARIABLE {name(bound)} = [{listed}]")
            for table, data in bindings.tables.items():
                self._db.register(table, data)
            for table, select in sql.tables:
                self._db.execute(f"CREATE TEMP TABLE {name(table)} AS {select}")
            yield
        except duckdb.OutOfMemoryException as error:
            raise _short_of_memory(self.memory_mib(), error) from None
        except RuntimeError as error:
            if (
                str(error) == _INTERRUPTED
            ):  # where Ctrl-C reaches a statement in the main thread, this is all that is left
                raise KeyboardInterrupt from None
            raise
        finally:
            for table, _ in sql.tables:
                self._db.execute(f"DROP TABLE IF EXISTS {name(table)}")
            for table in bindings.tables:
                self._db.unregister(table)


def starts_with(config: Mapping[str, Any]) -> bool:
    """Whether DuckDB is known to start with settings that are checked: nothing of them is left for it to read."""
    size, threads = _bytes_of(config.get("memory_limit", "")), config.get("threads")
    told = isinstance(threads, int) and size is not None and size >= threads * _ENOUGH
    return told and set(config) <= {"threads", "memory_limit", "temp_directory"}


def _bytes_of(limit: object) -> int | None:
    """A memory limit in bytes; None where DuckDB alone knows it."""
    try:
        return parse_size(str(limit), _LIMIT)
    except DaedalusError:
        return None


def _no_room_to_start(limit: object, threads: int, problem: str) -> DaedalusError:
    """The error of a DuckDB that cannot start within its share of the limit."""
    return DaedalusError(
        "DuckDB cannot start with its share of the memory",
        where=_LIMIT,
        found=f"{limit} for {counted(threads, 'thread')}: {problem}",
        expected="a higher limit: memory_limit is divided by the number of threads",
        hint="raise memory_limit, or lower threads",
    )


def _short_of_memory(mib: int, error: Exception) -> DayError:
    """The error of a step that ran out of memory."""
    return DayError(
        "a step needs more memory than its limit",
        where=_LIMIT,
        found=f"{mib:,} MiB for this step: {str(error).splitlines()[0][:160]}",
        expected="a higher limit: memory_limit is divided by the number of threads",
        hint="raise memory_limit, or lower threads",
    )


def is_of_data(error: Exception) -> bool:
    """Whether an error is about the data that was read, not about memory, disks or an interrupt."""
    import duckdb
    import pyarrow as pa

    data = (duckdb.DataError, duckdb.ProgrammingError, duckdb.NotSupportedError, pa.ArrowInvalid,
            pa.ArrowNotImplementedError, pa.ArrowTypeError)  # fmt: skip
    return isinstance(error, data)


def is_interrupt(error: Exception) -> bool:
    """Whether a statement ended because it was interrupted."""
    import duckdb

    return isinstance(error, duckdb.InterruptException)


@contextmanager
def unreadable() -> Iterator[None]:
    """Turns what DuckDB says of a file that it cannot read into an OSError."""
    import duckdb

    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise OSError(str(error).splitlines()[0]) from None


class Ducks:
    """A pool of DuckDB connections, opened as they are needed: one per worker thread."""

    def __init__(self, config: Mapping[str, Any], spill: Scratch) -> None:
        self._config, self._spill, self._lock = config, spill, threading.Lock()
        threads = config.get("threads", os.cpu_count())
        self.threads = threads if isinstance(threads, int) and threads > 0 else 1
        HELD.limit(_bytes_of(config.get("memory_limit")), self.threads)
        self._free: list[Duck] = []
        self._all: list[Duck] = []
        self._folders: list[Path] = []  # where each spills

    @contextmanager
    def lease(self) -> Iterator[Duck]:
        """A connection for the caller's exclusive use."""
        with self._lock:
            duck = self._free.pop() if self._free else None
        if duck is None:
            folder = self._spill.path()
            duck = Duck({**self._config, "temp_directory": str(folder)}, self.threads)
            with self._lock:
                self._all.append(duck)
                self._folders.append(folder)
        try:
            yield duck
        finally:
            with self._lock:
                self._free.append(duck)

    def spilled(self) -> int:
        """Bytes on disk now that did not fit into the memory limit."""
        total = 0
        for folder in list(self._folders):
            with suppress(OSError):  # files come and go
                total += sum(entry.stat().st_size for entry in os.scandir(folder))
        return total

    def interrupt(self) -> None:
        with self._lock:
            for duck in self._all:
                duck.interrupt()

    def close(self) -> None:
        with self._lock:
            for duck in self._all:
                duck.close()
            self._all.clear()
            self._free.clear()


def check_engine(config: Config, ducks: Ducks, facts: Facts) -> None:
    """Raises DaedalusError (exit 2) for settings that DuckDB refuses. A pass is remembered."""
    settings = config.duckdb_settings
    if starts_with(settings):
        return
    key = f"duckdb_config:{digest.of_json(settings)}:{version('duckdb')}"
    if not facts.fact(key):
        try:
            with ducks.lease():
                facts.remember_fact(key, True)
        except DaedalusError as error:
            error.where = config.where(RUNTIME, error.where.rpartition(": ")[2])
            raise
