"""The objects of a shared cache: read with short timeouts and checked, written only if they do not exist yet.

An object that was found wrong is remembered: it is not read again in this run, and it may be overwritten with the
right bytes.
"""

from __future__ import annotations

import errno
import json
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daedalus.base.errors import is_full
from daedalus.objectstore.object_store import Object, ObjectStore
from daedalus.sharing.breaker import Breaker
from daedalus.sharing.record import Blob, Signer, parse

_PATIENCE = 5.0  # seconds for a look-up and its retries
_TRANSFER_PATIENCE = 30.0  # seconds without a byte
_TRIES = 2
_LARGEST = 256 << 20  # bytes: no JSON object that we write is larger


def artifact_key(content: str) -> str:
    return f"artifacts/{content[:2]}/{content}.parquet"


def trace_key(key: str) -> str:
    return f"traces/{key[:2]}/{key}.json"


def pack_key(day: str | None) -> str:
    return f"packs/{day or 'none'}.json"


class CacheBucket:
    """The shared cache at one URI. Safe to use from several threads.

    `listed` are its artifacts with their sizes and `traces` the keys of its traces, once they were listed.
    `wrong` maps objects that were found wrong to the reason.
    """

    def __init__(
        self, uri: str, options: Mapping[str, Any], signer: Signer, *, reads: bool = True, writes: bool = True
    ) -> None:
        self.uri, self.signer, self.reads, self.writes = uri.rstrip("/"), signer, reads, writes
        self._lookups = ObjectStore(uri, options, patience=_PATIENCE, tries=_TRIES)
        self._transfers = ObjectStore(uri, options, patience=_TRANSFER_PATIENCE, tries=_TRIES)
        self.reading, self.writing = Breaker(), Breaker()
        self.listed: dict[str, int] = {}
        self.traces: set[str] = set()
        self.wrong: dict[str, str] = {}
        self._unreached: set[str] = set()
        self.rejected: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def traffic(self) -> dict[str, int]:
        """Requests, and bytes received and sent, so far."""
        both = (self._lookups.traffic, self._transfers.traffic)
        return {field: sum(getattr(one, field) for one in both) for field in ("requests", "received", "sent")}

    # Reading

    def list_artifacts(self) -> None:
        """Fills `listed`. Raises OSError."""
        self.listed = {stem(found): found.size for found in self.objects("artifacts/")}

    def list_traces(self) -> None:
        """Fills `traces`. Raises OSError."""
        self.traces = {stem(found) for found in self.objects("traces/")}

    def objects(self, prefix: str) -> list[Object]:
        """All objects below a folder. Raises OSError."""
        with self.reading.watch():
            try:
                return self._lookups.list(prefix)
            except FileNotFoundError as error:  # the bucket does not exist
                raise OSError(errno.EIO, "no such bucket", error.filename) from None

    def get(self, key: str) -> tuple[dict[str, Any], Object] | None:
        """(value, object) of a JSON object; None if it does not exist or is no JSON. Raises OSError.

        The signature is not checked here, see `believed`.
        """
        with self.reading.watch():
            try:
                data, found = self._lookups.get(key, most=_LARGEST)
            except FileNotFoundError:
                return None
        try:
            value = parse(data)
        except ValueError:
            self.reject(key, "no JSON")
            return None
        return value, found

    def believed(self, key: str, value: Mapping[str, Any]) -> bool:
        """Whether an object has a valid signature if one is required; one that has not is rejected."""
        if problem := self.signer.problem(key, value):
            self.reject(key, problem)
        return not problem

    def reject(self, key: str, why: str) -> None:
        """Records that an object is wrong; each is counted once."""
        with self._lock:
            if key not in self.wrong:
                self.wrong[key] = why
                self.rejected[why] += 1

    def has(self, part: Blob) -> bool:
        """Whether bytes can be downloaded, as far as is known without reading them."""
        key = artifact_key(part.digest)
        return not self.reading.off and self.fault(part) == "" and key not in self._unreached

    def fault(self, part: Blob) -> str:
        """Why bytes cannot be used: "missing", or what is wrong with them; "" when nothing is."""
        key, size = artifact_key(part.digest), self.listed.get(part.digest)
        if size is None:
            return "missing"
        if size != part.size:
            self.reject(key, "damaged")
        return self.wrong.get(key, "")

    def fetch(self, part: Blob, path: Path) -> bool:
        """Downloads bytes to a new file and checks their digests; False if they are missing or wrong.

        Raises OSError only if this machine's disk is full.
        """
        key = artifact_key(part.digest)
        try:
            with self.reading.watch(transfer=True):
                self._transfers.fetch(key, path)
            if Blob.of(path) == part:
                return True
            self.reject(key, "damaged")
        except FileNotFoundError:
            self.reject(key, "missing")
        except OSError as error:
            if is_full(error):
                raise
            with self._lock:
                self._unreached.add(key)
        path.unlink(missing_ok=True)
        return False

    # Writing

    def put_part(self, part: Blob, path: Path) -> bool:
        """Uploads bytes; False if the bucket has them already. Raises OSError."""
        key = artifact_key(part.digest)
        if part.digest in self.listed and not self.fault(part):
            return False
        with self.writing.watch(transfer=True):
            added = self._put(self._transfers, key, path)
        self.note(part)
        return added

    def note(self, part: Blob) -> None:
        """Records that the bucket has the right bytes now."""
        key = artifact_key(part.digest)
        with self._lock:
            self.listed[part.digest] = part.size
            self.wrong.pop(key, None)
            self._unreached.discard(key)

    def put_trace(self, key: str, value: Mapping[str, Any]) -> bool:
        """Uploads a trace; False if the bucket has one for this key. Raises OSError."""
        with self.writing.watch():
            added = self._put(self._lookups, trace_key(key), encode(value))
        with self._lock:
            self.traces.add(key)
            self.wrong.pop(trace_key(key), None)
        return added

    def _put(self, store: ObjectStore, key: str, data: bytes | Path) -> bool:
        try:
            store.put(key, data, create=key not in self.wrong)
        except FileExistsError:
            return False
        return True

    def put(self, key: str, value: Mapping[str, Any], *, create: bool = False, replaces: str | None = None) -> str:
        """Writes a small object, conditionally or overwriting; returns its ETag. Raises OSError."""
        with self.writing.watch():
            return self._lookups.put(key, encode(value), create=create, replaces=replaces)

    def delete(self, keys: list[str]) -> None:
        """Deletes objects. Raises OSError."""
        with self.writing.watch(transfer=True):
            self._transfers.delete(keys)  # hundreds at once take longer than a look-up may


def encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


def stem(found: Object) -> str:
    """The digest or key in an object's name."""
    return found.uri.rpartition("/")[2].partition(".")[0]
