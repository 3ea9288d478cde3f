"""The trace database: what each action made, from which manifest, at what cost. One SQLite file in the cache.

A trace is written after its artifact's bytes are durable, so a trace without bytes means that the bytes
were removed later; that counts as a miss. Losing traces costs time, never correctness, so a damaged
database is set aside and a new one is created.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from daedalus.base.errors import DaedalusError
from daedalus.base.retry import retried

if TYPE_CHECKING:
    from daedalus.stagecache.action import Counts, Manifest

_PACKED = "zlib"  # key of a text in base64
# What holds documents has its rows apart from its keys: in a table without them a lookup reads, to compare keys, the
# whole of every row that it passes, however long (sqlite.org/withoutrowid.html, "When To Use").
SCHEMA = """
create table if not exists traces(key text primary key, name text, artifact text, counts text, seconds real,
    bytes integer, manifest text, code text, made real);
create table if not exists latest(name text primary key, key text) without rowid;
create table if not exists files(path text primary key, size integer, mtime integer, ctime integer, inode integer,
    looked integer, digest text) without rowid;
create table if not exists facts(key text primary key, value text);
create table if not exists runs(id text primary key, started real, state text, request text) without rowid;
create table if not exists day_stamps(root text, code text, day text, asks text, summary text,
    primary key(root, code, day)) without rowid;
create table if not exists stamping_code(root text, code text, made real, primary key(root, code)) without rowid;
create table if not exists day_files(root text, name text, day text, path text, size integer, mtime integer,
    ctime integer, inode integer, primary key(root, day, name, path)) without rowid;
create table if not exists run_days(run text, day text, summary text, primary key(run, day)) without rowid;
create table if not exists day_results(root text, day text, run text, result text, primary key(root, day))
    without rowid;
"""


def as_text(value: object) -> str:
    """JSON of what there is one of for each day or action: in a fifth of json's time."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # the name of a file that is not UTF-8
        return json.dumps(value)


def of_text(text: str) -> Any:
    """The value of JSON that `as_text` gave, or an earlier version."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)


class Trace(Struct, frozen=True):
    """The record of one execution of an action."""

    key: str
    name: str
    artifact: str
    counts: Counts
    seconds: float
    bytes: int
    manifest: Manifest
    code: str = ""  # digest of all code at the time; shows whether SQL changed by code or by config alone


class Cost(Struct, frozen=True):
    """An action's last trace without its manifest: what it made, and the cost."""

    artifact: str
    counts: Counts
    seconds: float
    bytes: int


class RunRecord(Struct, frozen=True):
    """A run: when it started, its state, and its request."""

    id: str
    started: float
    state: str
    request: dict


def _packed(text: str) -> dict[str, str]:
    """A text as a fact, in a third of its bytes."""
    import binascii
    import zlib

    return {_PACKED: binascii.b2a_base64(zlib.compress(text.encode(), 1), newline=False).decode()}


def _unpacked(fact: object) -> str:
    """The text of a fact; earlier versions have stored it as it is."""
    import binascii
    import zlib

    if isinstance(fact, dict):
        return zlib.decompress(binascii.a2b_base64(fact[_PACKED])).decode()
    return fact if isinstance(fact, str) else ""


class Traces:
    """The trace database of one cache root. Safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._lock, self._path = threading.RLock(), path
        self._unwritten: dict[str, Trace] = {}  # by key
        self._unwritten_keys: dict[str, str] = {}  # by the action's name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._open(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise DaedalusError("the cache cannot be opened", where=str(path), found=error) from None
            path.replace(path.with_suffix(f".damaged-{time.time_ns()}"))
            for leftover in ("-wal", "-shm"):
                Path(f"{path}{leftover}").unlink(missing_ok=True)
            self._db = self._open(path)

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        _enter_wal(db)
        db.execute("pragma synchronous=normal")
        db.executescript(SCHEMA)
        return db

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def rows(self, sql: str, values: Iterable[object] = ()) -> list[tuple]:
        with self._held() as db:
            return db.execute(sql, tuple(values)).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        with self._held() as db, db:
            db.execute("begin immediate")
            yield db

    @contextmanager
    def _held(self) -> Iterator[sqlite3.Connection]:
        """The database, for one thread at a time. Raises DaedalusError when it cannot be read or written."""
        try:
            with self._lock:
                yield self._db
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.ProgrammingError):
                raise
            full = "make room on its disk, then run again"
            hint = full if "is full" in str(error) else "check the disk and the file's permissions, then run again"
            raise DaedalusError(
                "the cache's records cannot be read or written", where=str(self._path), found=error, hint=hint
            ) from None

    # Traces

    def find(self, key: str) -> Trace | None:
        """The trace of a key, also one that is not written yet."""
        if trace := self._unwritten.get(key):
            return trace
        rows = self.rows(f"{_SELECT_TRACE} where key = ?", [key])
        return _trace(rows[0]) if rows else None

    def latest(self, name: str) -> Trace | None:
        """The trace of the last run or hit of an action."""
        if key := self._unwritten_keys.get(name):
            return self.find(key)
        rows = self.rows(f"{_SELECT_TRACE} where key = (select key from latest where latest.name = ?)", [name])
        return _trace(rows[0]) if rows else None

    def with_artifact(self, name: str, artifact: str) -> Trace | None:
        """The last trace of an action that gave an artifact, also one that is not written yet."""
        unwritten = [trace for trace in [*self._unwritten.values()] if (trace.name, trace.artifact) == (name, artifact)]
        if unwritten:
            return unwritten[-1]
        rows = self.rows(
            f"{_SELECT_TRACE} where name = ? and artifact = ? order by made desc limit 1", [name, artifact]
        )
        return _trace(rows[0]) if rows else None

    def record(self, trace: Trace) -> None:
        """Takes a trace down, for this process; `write` does for others and for good."""
        with self._lock:
            self._unwritten[trace.key] = trace
            self._unwritten_keys[trace.name] = trace.key

    def write(self, durable: Callable[[], None] = lambda: None) -> None:
        """Writes what was recorded so far, once `durable()` has made its artifacts so."""
        with self._lock:
            traces, keys = list(self._unwritten.values()), dict(self._unwritten_keys)
        durable()
        made = time.time()
        rows = [(t.key, t.name, t.artifact, as_text(t.counts), t.seconds, t.bytes,
                 as_text(dict(sorted(t.manifest.items()))), t.code, made) for t in traces]  # fmt: skip
        if not rows:
            return
        with self._lock, self.writing() as db:
            keys = {name: key for name, key in keys.items() if self._unwritten_keys.get(name) == key}
            db.executemany("insert or replace into traces values (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.executemany("insert or replace into latest values (?, ?)", keys.items())
            for trace in traces:
                if self._unwritten.get(trace.key) is trace:  # else it was made once more meanwhile
                    del self._unwritten[trace.key]
            for name in keys:
                del self._unwritten_keys[name]

    def point(self, name: str, key: str) -> None:
        """Makes `key` the latest key of an action, after a hit on an older trace."""
        with self._lock:
            self._unwritten_keys.pop(name, None)
            self.rows("insert or replace into latest values (?, ?)", [name, key])

    def all(self) -> list[Trace]:
        return [_trace(row) for row in self.rows(_SELECT_TRACE)]

    def latest_keys(self) -> dict[str, str]:
        return dict(self.rows("select name, key from latest"))

    def latest_costs(self) -> dict[str, Cost]:
        """The cost of each action by its last trace."""
        rows = self.rows(
            "select latest.name, artifact, counts, seconds, bytes from latest join traces on traces.key = latest.key"
        )
        counted = msgspec.json.decode(f"[{','.join(row[2] for row in rows)}]")
        return {row[0]: Cost(row[1], counts, *row[3:]) for row, counts in zip(rows, counted, strict=True)}

    def artifacts(self) -> dict[str, str]:
        """The artifact of every trace, by key."""
        return dict(self.rows("select key, artifact from traces"))

    def made(self) -> list[tuple[str, str, str, float, float]]:
        """(key, name, artifact, seconds, when) of all traces, in the order in which they were made."""
        return self.rows("select key, name, artifact, seconds, made from traces order by made, key")

    def drop(self, keys: Iterable[str]) -> None:
        with self.writing() as db:
            db.executemany("delete from traces where key = ?", [(key,) for key in keys])
            db.execute("delete from latest where key not in (select key from traces)")

    # Digests of files, and facts: small JSON values by key

    def files(self) -> list[tuple]:
        rows = self.rows("select cast(path as blob), size, mtime, ctime, inode, looked, digest from files")
        return [(os.fsdecode(path), *rest) for path, *rest in rows]

    def remember_files(self, rows: Iterable[tuple]) -> None:
        """Writes rows as `files` returns them. A path is stored as text even if its bytes are not UTF-8."""
        encoded = [(os.fsencode(path), *rest) for path, *rest in rows]
        with self.writing() as db:
            db.executemany("insert or replace into files values (cast(? as text), ?, ?, ?, ?, ?, ?)", encoded)

    def fact(self, key: str) -> object | None:
        rows = self.rows("select value from facts where key = ?", [key])
        return of_text(rows[0][0]) if rows else None

    def facts(self, prefix: str) -> dict[str, Any]:
        """All facts whose keys begin with `prefix`, by key."""
        found = self.rows("select key, value from facts where key >= ? and key < ?", [prefix, f"{prefix}\U0010ffff"])
        values = of_text(f"[{','.join(value for _, value in found)}]")
        return dict(zip((key for key, _ in found), values, strict=True))

    def remember_fact(self, key: str, value: object) -> None:
        self.rows("insert or replace into facts values (?, ?)", [key, json.dumps(value)])

    def remember_facts(self, facts: Mapping[str, object]) -> None:
        """Stores facts by key; numbers in them are finite."""
        rows = [(key, as_text(value)) for key, value in facts.items()]
        with self.writing() as db:
            db.executemany("insert or replace into facts values (?, ?)", rows)

    def text(self, content: str) -> str:
        """The source text of a digest; "" if none is known."""
        return _unpacked(self.fact(f"text:{content}"))

    def remember_texts(self, texts: Mapping[str, str]) -> None:
        """Stores source texts by their digest, for explanations."""
        rows = [(f"text:{content}", json.dumps(_packed(text))) for content, text in texts.items()]
        with self.writing() as db:
            db.executemany("insert or ignore into facts values (?, ?)", rows)

    def costs(self) -> dict[str, tuple[float, float]]:
        """Mean (seconds, rows in) by an action's name without the day."""
        kind = "case when instr(name, '@') > 0 then substr(name, 1, instr(name, '@') - 1) else name end"
        rows_in = "coalesce(json_extract(counts, '$.rows_in'), 0)"
        return {
            name: (seconds, rows)
            for name, seconds, rows in self.rows(f"select {kind}, avg(seconds), avg({rows_in}) from traces group by 1")
        }

    def dearest(self, step: str) -> dict[str, float]:
        """The most seconds that each action of a step ever took, by name."""
        return dict(self.rows("select name, max(seconds) from traces where name glob ? group by 1", [f"{step}@*"]))

    # Runs

    def start_run(self, run: str, request: dict) -> None:
        self.rows("insert into runs values (?, ?, 'unfinished', ?)", [run, time.time(), json.dumps(request)])

    def finish_run(self, run: str, state: str) -> None:
        self.rows("update runs set state = ? where id = ?", [state, run])

    def unfinished_runs(self) -> list[tuple[str, dict]]:
        """(id, request) of the runs that did not finish and were not resumed, newest first."""
        rows = self.rows("select id, request from runs where state = 'unfinished' order by started desc")
        return [(run, json.loads(request)) for run, request in rows]

    def runs(self) -> list[str]:
        """Ids of all runs, newest first."""
        return [run for (run,) in self.rows("select id from runs order by started desc")]

    def run_records(self) -> list[RunRecord]:
        """All runs, newest first."""
        rows = self.rows("select id, started, state, request from runs order by started desc")
        return [RunRecord(run, started, state, json.loads(request)) for run, started, state, request in rows]

    def finish_days(self, run: str, summaries: Mapping[str, dict]) -> None:
        rows = [(run, day, as_text(summary)) for day, summary in summaries.items()]
        with self.writing() as db:
            db.executemany("insert or replace into run_days values (?, ?, ?)", rows)

    def names_of_finished_days(self, run: str) -> set[str]:
        return {day for (day,) in self.rows("select day from run_days where run = ?", [run])}

    def finished_days(self, run: str) -> dict[str, dict]:
        rows = self.rows("select day, summary from run_days where run = ?", [run])
        return {day: of_text(summary) for day, summary in rows}


def _enter_wal(db: sqlite3.Connection) -> None:
    """Switches to WAL. SQLite does not wait for other processes while it switches, so this retries."""
    retried(
        lambda: db.execute("pragma journal_mode=wal"),
        on=lambda error: isinstance(error, sqlite3.OperationalError) and "locked" in str(error),
        pauses=[0.1] * 600,
    )


_SELECT_TRACE = "select key, name, artifact, counts, seconds, bytes, manifest, code from traces"


def _trace(row: tuple) -> Trace:
    key, name, artifact, counts, seconds, size, manifest, code = row
    return Trace(key, name, artifact, of_text(counts), seconds, size, of_text(manifest), code)
