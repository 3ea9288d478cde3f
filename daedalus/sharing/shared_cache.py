"""The second level as a walk uses it: answers from traces of others, and shares what was made here.

At the start the listings and the packs of the graph's days are read in parallel. A trace that is in a pack is used
without a request; one that is only listed is read by key, in the worker that would otherwise run the action.
Artifacts are downloaded when they are needed (see shelf.py); partitions at once, since they are the output.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from daedalus.base import digest
from daedalus.base.durable import PART
from daedalus.base.errors import bare
from daedalus.sharing.bucket import CacheBucket, artifact_key, pack_key, trace_key
from daedalus.sharing.qid_history import QidHistory
from daedalus.sharing.record import Blob, SharedTrace, read_record
from daedalus.sharing.seen import Seen
from daedalus.sharing.shelf import SharedShelf
from daedalus.sharing.uploads import Uploads
from daedalus.stagecache.action import Action, CannotUse, Shelf
from daedalus.stagecache.records.artifact_store import ArtifactStore
from daedalus.stagecache.records.traces import Trace, Traces
from daedalus.stagecache.walk.outcome import Outcome
from daedalus.stagecache.walk.second_level import SecondLevel

if TYPE_CHECKING:
    from daedalus.shapes.run import Shared

_THREADS = 16
_DRAIN_SECONDS = 600.0


class FolderShelf(Shelf, Protocol):
    """A shelf whose artifacts are folders of files, such as partitions."""

    def parts(self, name: str) -> dict[str, Path]:
        """The files of the folder of that name, by file name."""

    def digests(self, name: str) -> dict[str, str]:
        """Their digests, by file name."""

    def named(self, digests: Mapping[str, str]) -> str:
        """The digest of a folder whose files have these digests, by file name."""


class SharedCache(SecondLevel):
    """The shared cache of one run. `folders` are the shelves whose artifacts are folders."""

    def __init__(
        self, remote: CacheBucket, store: ArtifactStore, traces: Traces, folders: Iterable[FolderShelf]
    ) -> None:
        self.remote, self._traces, self.seen = remote, traces, Seen(traces, remote.uri)
        self.shelf = SharedShelf(store, remote, traces, self._list)
        self._folders = {id(folder): folder for folder in folders}
        self._listing, self._is_listed = threading.Lock(), False
        self._packs: dict[str | None, dict[str, Any]] = {}  # by day, then by action
        self._packed: dict[str, dict[str, Any]] = {}  # by key
        self._records: dict[str, dict[str, Any]] = {}  # by key: traces that were used or made here
        self._lacking: set[str] = set()  # keys of traces in the bucket whose bytes are missing or wrong
        self._uploads, self._failed, self._owing, self._owed = Uploads(), 0, False, f"not shared:{remote.uri}"
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self.hits = self.bytes = self.shared = 0

    # Reading

    def prepare(self, days: Iterable[str | None]) -> None:
        """Lists the bucket and reads the packs of `days`, as far as the store answers."""
        missing = [day for day in dict.fromkeys(days) if day not in self._packs]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="daeda-look") as pool:
            listed = pool.submit(self._list)
            for day, pack in zip(missing, pool.map(self._read_pack, missing), strict=True):
                self._packs[day] = pack
                self._packed.update({record["key"]: record for record in pack.values()})
            listed.result()

    def _list(self) -> None:
        """Lists artifacts and traces, once. If that fails, the store is given up for this run."""
        with self._listing:
            if self._is_listed:
                return
            self._is_listed = True
            with ThreadPoolExecutor(2) as pool:
                looks = [pool.submit(self.remote.list_artifacts), pool.submit(self.remote.list_traces)]
            for error in filter(None, (look.exception() for look in looks)):
                if not isinstance(error, OSError):
                    raise error
                self.remote.reading.give_up(str(error.strerror or error))

    def _read_pack(self, day: str | None) -> dict[str, Any]:
        """The records of a pack by action; they are not checked yet."""
        try:
            found = self.remote.get(pack_key(day))
        except OSError:
            return {}
        records = found[0].get("traces") if found else None
        usable = (record for record in records if isinstance(record, dict)) if isinstance(records, list) else ()
        return {str(record.get("name")): record for record in usable if isinstance(record.get("key"), str)}

    def known(self, action: Action, key: str) -> Trace | None:
        record = self._accepted(action, key, self._packed.get(key)) if self.remote.reads else None
        return record.trace() if record else None

    def cached_answer(self, action: Action, key: str) -> Trace | None:
        if action.shelf is not self.shelf or action.receive is not None:
            return None
        found = self.known(action, key)
        self.hits += found is not None
        return found

    def ask(self, action: Action, key: str) -> Trace | None:
        if not self.remote.reads or self.remote.reading.off:
            return None
        record = self._accepted(action, key, self._packed.get(key) or self._by_key(key))
        if record is None:
            return None
        try:
            if action.receive is not None:
                action.receive(record.counts)
        except CannotUse:
            return None
        folder = self._folders.get(id(action.shelf))
        if folder is not None and not self._bring(folder, record):
            return None
        with self._lock:
            self.hits += 1
        return record.trace()

    def _by_key(self, key: str) -> dict[str, Any] | None:
        if key not in self.remote.traces:
            return None
        try:
            found = self.remote.get(trace_key(key))
        except OSError:
            return None
        return found[0] if found else None

    def _accepted(self, action: Action, key: str, value: dict[str, Any] | None) -> SharedTrace | None:
        """The checked trace of a key whose bytes can be downloaded; else None, and what is wrong is remembered."""
        if value is None or not self.remote.believed(trace_key(key), value):
            return None
        try:
            record = read_record(value)
        except ValueError:
            self.remote.reject(trace_key(key), "no trace")
            return None
        if problem := record.problem(key, action.name) or self._misfit(action, record):
            self.remote.reject(trace_key(key), problem)
            return None
        if self._is_elsewhere(action.shelf):
            if action.shelf.problem(action.name, record.artifact):
                return None
        elif not all(self.remote.has(part) for part in record.parts.values()):
            self._lacking.add(key)
            return None
        self._records[key] = value
        if action.shelf is self.shelf:
            self.shelf.expect(record.parts[""])
        return record

    def _misfit(self, action: Action, record: SharedTrace) -> str:
        """What is wrong with a record's parts, for the kind of artifact that the action makes, or ""."""
        if self._is_elsewhere(action.shelf):
            return ""
        digests = {name: part.digest for name, part in record.parts.items()}
        folder = self._folders.get(id(action.shelf))
        if folder is None:
            return "" if digests == {"": record.artifact} else "another artifact's bytes"
        if not all(PART.fullmatch(name) for name in digests):
            return "no trace"
        return "" if folder.named(digests) == record.artifact else "another artifact's bytes"

    def _is_elsewhere(self, shelf: Shelf) -> bool:
        """Whether a shelf's artifacts are not in this cache: others read them at their own place."""
        return shelf is not self.shelf and id(shelf) not in self._folders

    def _bring(self, folder: FolderShelf, record: SharedTrace) -> bool:
        """Downloads the files of a folder and puts it into its place; False if that fails."""
        staged = folder.stage(record.name)
        if record.parts:
            staged.mkdir()
        for name, part in record.parts.items():
            if not self.remote.fetch(part, staged / name):
                self._lacking.add(record.key)
                return False
            with self._lock:
                self.bytes += part.size
        return folder.keep(record.name, staged)[0] == record.artifact

    # Writing

    def share(self, action: Action, trace: Trace) -> None:
        if not self.remote.writes or self._is_shared(action, trace):
            return
        if not self._owing:
            self._owing = True
            self._traces.remember_fact(self._owed, True)
        if self.remote.writing.off or not self._uploads.add(partial(self._upload, action.shelf, trace), trace.bytes):
            self._fail()

    def _is_shared(self, action: Action, trace: Trace) -> bool:
        """Whether the shared cache has a trace and its bytes, as far as is known without a request."""
        remote, wrong = self.remote, self.remote.wrong
        if trace_key(trace.key) in wrong or artifact_key(trace.artifact) in wrong or trace.key in self._lacking:
            return False
        if action.shelf is self.shelf and trace.artifact not in remote.listed:
            return False
        return trace.key in self._records or trace.key in remote.traces

    def _upload(self, shelf: Shelf, trace: Trace) -> None:
        """Uploads the bytes first and then the trace, so that a trace never names missing bytes."""
        remote, folder = self.remote, self._folders.get(id(shelf))
        if remote.reads and remote.reading.off:
            remote.writing.give_up(remote.reading.off)
        try:
            parts = {} if self._is_elsewhere(shelf) else self._put_parts(folder, trace)
            if parts is None:
                return
            value = remote.signer.sign(trace_key(trace.key), msgspec.to_builtins(SharedTrace.of(trace, parts)))
            remote.put_trace(trace.key, value)
        except Exception:  # a failure to share must not fail the run
            self._fail()
            return
        if shelf is self.shelf:
            self.shelf.expect(parts[""])
        with self._lock:
            self._records[trace.key] = value
            self._lacking.discard(trace.key)
            self.shared += 1

    def _put_parts(self, folder: FolderShelf | None, trace: Trace) -> dict[str, Blob] | None:
        """Uploads the bytes of a trace's artifact; None when it is gone or replaced. Raises OSError."""
        paths = folder.parts(trace.name) if folder else {"": self.shelf.here(trace.artifact)}
        known = folder.digests(trace.name) if folder else {"": trace.artifact}
        sent = {name: there for name, content in known.items() if (there := self.shelf.sent(content))}
        parts = {name: sent.get(name) or Blob.of(path) for name, path in paths.items() if path}
        if not folder and not parts:
            parts = sent  # uploaded by the worker that made it
        digests = {name: part.digest for name, part in parts.items()}
        if (folder.named(digests) if folder else digests.get("")) != trace.artifact:
            return None
        for name, part in parts.items():
            if path := paths[name]:
                self.remote.put_part(part, path)
        return parts

    def learned(self, part: Blob) -> None:
        """Records bytes that a worker of this run has uploaded."""
        self.remote.note(part)
        self.shelf.expect(part)

    def _fail(self, count: int = 1) -> None:
        with self._lock:
            self._failed += count

    def owes(self) -> bool:
        """Whether an earlier run could not share everything, and the store answers now."""
        if not self.remote.writes or not self._traces.fact(self._owed):
            return False
        self._list()
        return not self.remote.reading.off

    def finish(self, outcomes: Mapping[str, Outcome], say: Callable[[str], None]) -> None:
        """Waits for the uploads, and writes the packs of days with new traces. Ctrl-C ends the wait."""
        uploads = self._uploads
        if uploads.waiting and not self.remote.writing.off:
            say(f"sharing {uploads.waiting:,} steps, {uploads.bytes / 1e6:,.0f} MB")
        try:
            left = uploads.drain(_DRAIN_SECONDS)
        except KeyboardInterrupt:  # the rest is left to a later run
            left = uploads.waiting
        uploads.stop()
        self._fail(left)  # beside what failed meanwhile
        if self.remote.writes and not self.remote.writing.off:
            self._write_packs(outcomes)
        if self._owing and not self._failed:
            self._traces.remember_fact(self._owed, False)
        for line in self.news():
            say(line)

    def _write_packs(self, outcomes: Mapping[str, Outcome]) -> None:
        changed: dict[str | None, dict[str, Any]] = defaultdict(dict)
        for outcome in outcomes.values():
            value = self._records.get(outcome.key)
            if value is not None and self._packs.get(outcome.day, {}).get(outcome.name) != value:
                changed[outcome.day][outcome.name] = value
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="daeda-share") as pool:
            list(pool.map(self._write_pack, changed.items()))

    def _write_pack(self, changed: tuple[str | None, dict[str, Any]]) -> None:
        day, records = changed
        old = {n: r for n, r in self._packs.get(day, {}).items() if trace_key(r["key"]) not in self.remote.wrong}
        with suppress(OSError):  # it is only a hint
            self.remote.put(pack_key(day), {"traces": list({**old, **records}.values())})

    def qid_map(self, output: str, feed: str) -> QidHistory:
        """The history of the qid map of an output and a feed, by their paths as configured."""
        return QidHistory(self.remote, self.seen, digest.of_json([output, feed]))

    def close(self) -> None:
        """Drops uploads that are still waiting."""
        self._uploads.stop()

    # Reporting

    def news(self) -> list[str]:
        remote, found = self.remote, []
        if remote.reading.off:
            found.append(f"the shared cache does not answer ({remote.reading.off}); going on without it")
        elif remote.writing.off:
            found.append(f"the shared cache cannot be written ({remote.writing.off}); results stay on this machine")
        if remote.reads and not remote.signer.checks:
            found.append("the shared cache is not signed: anyone who can write to it is trusted (see SECURITY.md)")
        if remote.rejected["older than what was seen"]:
            found.append("warning: the shared cache has an older state than this machine has seen; it is not used")
        if remote.rejected["unsigned"] or remote.rejected["badly signed"]:
            found.append("warning: the shared cache has results without a valid signature; they are not used")
        new = [line for line in found if line not in self._said]
        self._said.update(new)
        return new

    def summary(self) -> Shared:
        """What `--json` says of the shared cache."""
        return cast("Shared", {
            "uri": bare(self.remote.uri), "hits": self.hits, "fetched_bytes": self.bytes + self.shelf.bytes,
            "shared": self.shared, "not_shared": self._failed, "not_used": dict(self.remote.rejected),
            **self.remote.traffic,
        })  # fmt: skip
