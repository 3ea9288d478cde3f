"""A workspace for who only looks, however long and beside whatever runs: it writes nothing into cache or output.

Its records are a copy in memory of those in the cache. What a look learns of files stays in that copy, and goes into
the next one, which is made when the cache's records have changed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from daedalus.base.errors import DaedalusError
from daedalus.base.file_stat import GONE, Stat, stat_of
from daedalus.stagecache.records.artifact_store import ArtifactStore, Scratch
from daedalus.stagecache.records.traces import SCHEMA, Traces
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace

if TYPE_CHECKING:
    from daedalus.sql.duck import Ducks

Opened = TypeVar("Opened")
_TRIES = 20  # for records that a run begins or ends to write while they are copied


class ReadingSettings(Settings):
    """The settings of commands whose workspaces only read. Workspaces may be open at once, in several threads."""

    records: Records

    @classmethod
    def of(cls, settings: Settings) -> ReadingSettings:
        found = cls(**vars(settings))
        object.__setattr__(found, "records", Records())
        return found

    def opens(self, usual: Callable[..., Opened]) -> Callable[..., Opened]:
        return partial(ReadingWorkspace, self.records)  # type: ignore[return-value]


class ReadingWorkspace(Workspace):
    """A workspace that writes nothing. What cannot do without a file has it in the system's temporary folder."""

    def __init__(self, records: Records, *arguments: Any, **options: Any) -> None:
        self._records = records
        super().__init__(*arguments, **options)

    def _open_cache(self) -> tuple[Scratch, Traces]:
        return Scratch(Path(tempfile.gettempdir()), "daeda-ui-"), self._records.of(self.cache_root / "traces.db")

    def _open_store(self) -> ArtifactStore:
        return _ReadingStore(self.cache_root, self.scratch, self.digests)

    def _fetched(self) -> Path:
        return self.scratch.folder / "fetched"

    @cached_property
    def ducks(self) -> Ducks:
        """In memory alone: what needs more than its limit fails."""
        from daedalus.sql.duck import Ducks

        options = {key: value for key, value in self.config.duckdb_settings.items() if key != "temp_directory"}
        return Ducks({**options, "max_temp_directory_size": "0KB"}, _Nowhere())


class _ReadingStore(ArtifactStore):
    """Artifacts that are looked at; those that only the shared cache has are not fetched."""

    def stage(self, name: str) -> Path:
        raise DaedalusError("an artifact is not on this machine", where=name, found="it is in the shared cache alone",
                            hint="a run fetches it")  # fmt: skip


class _Nowhere:
    """Paths at which nothing can be made."""

    def path(self, suffix: str = "") -> Path:
        return Path(os.devnull, f"none{suffix}")


class Records:
    """Copies of the records of a cache: a new one when they have changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamp: tuple[Stat, Stat] | None = None
        self._copy: CopiedTraces | None = None

    def of(self, path: Path) -> CopiedTraces:
        with self._lock:
            stamp = stamp_of(path)
            if self._copy is None or stamp != self._stamp:
                self._copy, self._stamp = CopiedTraces(path, self._copy), stamp
            return self._copy


def stamp_of(path: Path) -> tuple[Stat, Stat]:
    """Changes whenever the records are written: the `stat` of their file, and of the log beside it."""
    return stat_of(str(path)), stat_of(f"{path}-wal")


class CopiedTraces(Traces):
    """The records of a cache, copied into memory. It stays open, for all who look at once."""

    def __init__(self, path: Path, before: CopiedTraces | None = None) -> None:
        super().__init__(Path(":memory:"))
        self._files: dict[Any, tuple] = {}
        self._facts: dict[str, object] = {}
        _copy(path, self._db)
        self._db.executescript(SCHEMA)  # of a cache that an older version made
        if before:
            self._facts, self._files = {**before._facts}, {**before._files}
            facts = [(key, json.dumps(value)) for key, value in self._facts.items()]
            with self.writing() as db:
                db.executemany("insert or ignore into facts values (?, ?)", facts)
            super().remember_files(self._files.values())

    def close(self) -> None:
        """Others may be looking: it goes with the last of them."""

    def remember_files(self, rows: Iterable[tuple]) -> None:
        rows = list(rows)
        self._files |= {row[0]: row for row in rows}
        super().remember_files(rows)

    def remember_fact(self, key: str, value: object) -> None:
        self.remember_facts({key: value})

    def remember_facts(self, facts: Mapping[str, object]) -> None:
        self._facts |= facts
        super().remember_facts(facts)


def _copy(path: Path, into: sqlite3.Connection) -> None:
    """Copies a database, if there is one. Raises DaedalusError when it cannot be read.

    Without a log beside it nobody has it open, and it is read as a file that does not change, and copied again if it
    did: to open it in any other way would make a log. With a log it is read as SQLite does it beside a writer, who
    does not wait for that.
    """
    for _ in range(_TRIES):
        before = stamp_of(path)
        if before[0] == GONE:
            return
        how = "immutable=1" if before[1] == GONE else "mode=ro"
        try:
            source = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=10)
            try:
                source.backup(into)
            finally:
                source.close()
        except sqlite3.DatabaseError as error:
            if stamp_of(path) == before:
                hint = "the next run sets damaged records aside"
                raise DaedalusError("the cache's records cannot be read", where=str(path), found=error,
                                    hint=hint) from None  # fmt: skip
            continue
        if before[1] != GONE or stamp_of(path) == before:
            return
    raise DaedalusError("the cache's records change all the time", where=str(path), hint="try again")
