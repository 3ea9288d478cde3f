"""Input files in object stores: listed once per run, downloaded once per content, read from local copies.

An object's digest is remembered with its stamp, so an object that the listing shows unchanged is not downloaded.
An action reads a copy whose digest is checked against the one in its key: an object that is overwritten meanwhile
can fail an action but never get into its result.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import re
import shutil
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, DayError, is_full
from daedalus.base.ports import Facts, Scratch
from daedalus.base.retry import retried
from daedalus.base.sizes import parse_size
from daedalus.config import RUNTIME, Config
from daedalus.inputs.files import OnRead, Tree
from daedalus.objectstore.copies import Copies
from daedalus.objectstore.globs import fixed, matches
from daedalus.objectstore.object_store import Object, ObjectStore, Traffic, split_uri, variables

_AT_ONCE = 16  # downloads
_READS = 4  # downloads of one object, until two agree
_SAY_EVERY = 20  # objects read
_FACT = "object:"  # + uri -> {"stamp", "digest"}
_FILE = "file:"  # + digest -> {"form", "columns", "rows", "bytes", "times"}, see footers.py
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
ObjectNote = dict[str, Any]  # stamp, digest, columns, rows, bytes


class RemoteFiles:
    """The `Files` of object stores. `say` prints the progress of a long look."""

    def __init__(
        self,
        options: Mapping[str, Any],
        facts: Facts,
        copies: Copies,
        scratch: Scratch,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._options, self._facts, self._copies, self._scratch = options, facts, copies, scratch
        self._say = say
        self.traffic = Traffic()
        self._stores: dict[str, ObjectStore] = {}
        self.roots: set[str] = set()  # folders that are listed whole when any object in them is asked for
        self._listings: dict[str, list[Object]] = {}
        self._objects: dict[str, Object] = {}
        self._known: dict[str, ObjectNote] | None = None
        self._learned: Mapping[str, ObjectNote] = {}
        self._failed: dict[str, Exception] = {}
        self._bringing: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def store(self, uri: str) -> tuple[ObjectStore, str]:
        """The store of a URI's bucket, and the key in it."""
        bucket, key = split_uri(uri)
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = ObjectStore(bucket, self._options)
                self._stores[bucket].traffic = self.traffic
            return self._stores[bucket], key

    # Listing

    def objects(self, folder: str) -> list[Object]:
        """All objects below a folder, listed once. Raises DaedalusError when the store cannot list it."""
        folder = folder.rstrip("/") + "/"
        if folder not in self._listings:
            self._listings[folder] = self._list(folder)
            self._objects.update((one.uri, one) for one in self._listings[folder])
        return self._listings[folder]

    def _list(self, folder: str) -> list[Object]:
        store, key = self.store(folder)
        try:  # the client does not retry a listing that breaks off
            return retried(lambda: store.list(key), on=lambda error: isinstance(error, OSError), pauses=[0])
        except OSError as error:
            raise unreachable(folder, error) from None

    def forget(self, folder: str) -> None:
        """Makes the next `objects` list the folder again."""
        for one in self._listings.pop(folder.rstrip("/") + "/", []):
            self._objects.pop(one.uri, None)

    def object(self, uri: str) -> Object | None:
        """An object, from a listing or by a request; None if it does not exist."""
        for root in self.roots:
            if uri.startswith(root):
                self.objects(root)
        if uri not in self._objects:
            if any(uri.startswith(folder) for folder in self._listings):
                return None
            store, key = self.store(uri)
            try:
                self._objects[uri] = store.head(key)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise unreachable(uri, error) from None
        return self._objects[uri]

    def tree(self, root: str) -> Tree | None:
        start = len(root.rstrip("/")) + 1
        found: dict[str, dict[str, None]] = defaultdict(dict)
        files = []
        for one in self._below(root):
            folder, inside, path = one.uri[start:].partition("/")
            name, deeper, _ = path.partition("/")
            if not inside:
                files += [folder] * bool(folder)
            elif name:  # else an object in the place of a folder
                found[folder][name + deeper] = None
        return Tree({folder: list(names) for folder, names in found.items()}, files) if found or files else None

    def _below(self, folder: str) -> list[Object]:
        """All objects below a folder, out of the listing of one above it where there is such."""
        folder = folder.rstrip("/") + "/"
        above = next((known for known in self._listings if folder.startswith(known)), None)
        if above is None:
            return self.objects(folder)
        listed = self._listings[above]  # by address
        first = bisect_left(listed, folder, key=lambda one: one.uri)
        end = bisect_left(listed, f"{folder[:-1]}0", key=lambda one: one.uri)  # 0 comes after a slash
        return listed[first:end]

    def is_folder(self, source: str) -> bool:
        return not glob.has_magic(source) and bool(self._below(source))

    def matching(self, pattern: str) -> list[str]:
        segments = pattern.split("/")
        wild = fixed(segments)
        if wild == len(segments):
            return [pattern] if self.object(pattern) else []
        folder = "/".join(segments[:wild])
        start = len(folder) + 1
        return [one.uri for one in self._below(folder) if matches(one.uri[start:].split("/"), segments[wild:])]

    def read(self, path: str) -> bytes:
        store, key = self.store(path)
        return store.get(key)[0]

    def many_in(self, folder: str) -> None:
        self.objects(folder)

    def stat(self, uri: str) -> tuple[int, int, int, int]:
        """Numbers in place of a file's `stat`: size, a hash of the stamp, 0, 0; (-1, 0, 0, 0) for no object."""
        found = self.object(uri)
        return (found.size, int(digest.of_text(found.stamp)[:15], 16), 0, 0) if found else (-1, 0, 0, 0)

    # Digests and copies

    def is_known(self, uri: str) -> bool:
        """Whether the digest of an object, as it is listed now, is known."""
        return self._record(uri) is not None

    def prepare(self, paths: Sequence[str], looked: OnRead = lambda *_: None) -> None:
        """Downloads, in parallel, the objects whose digest is not known; errors are raised by `of`."""
        unknown = [uri for uri in dict.fromkeys(paths) if not self.is_known(uri) and uri not in self._failed]
        if not unknown:
            return
        with ThreadPoolExecutor(min(_AT_ONCE, len(unknown))) as pool:
            reading = {pool.submit(self._look, uri, looked): uri for uri in unknown}
            try:
                for count, done in enumerate(as_completed(reading), 1):
                    self._note_failure(reading[done], done.exception())
                    if len(unknown) > _SAY_EVERY and (count % _SAY_EVERY == 0 or count == len(unknown)):
                        self._say(f"reading {len(unknown):,} new objects, {count:,} done")
            except BaseException:  # also Ctrl-C: downloads that have not begun are cancelled
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _note_failure(self, uri: str, error: BaseException | None) -> None:
        """Keeps the error of one object for `of`; raises an error that concerns them all, such as a full disk."""
        if isinstance(error, OSError | DaedalusError) and not is_full(error):
            self._failed[uri] = error
        elif error:
            raise error

    def of(self, path: str) -> tuple[str, Any]:
        self.prepare([path])
        if path in self._failed:
            raise self._failed[path]
        record = self._record(path)
        assert record is not None
        return record["digest"], record["stamp"]

    def is_still(self, path: str, content: str, stamp: Any, looked: int) -> bool:
        store, key = self.store(path)
        try:
            return store.head(key).stamp == stamp
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unreachable(path, error) from None

    def settled(self, uri: str) -> tuple[int, int, int, int] | None:
        return self.stat(uri) if self.is_known(uri) else None

    @contextmanager
    def fetch(self, wanted: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
        folder = self._scratch.path()
        folder.mkdir()
        names = {uri: folder / f"{place:05}.parquet" for place, uri in enumerate(wanted)}
        try:
            if wanted:
                with ThreadPoolExecutor(min(_AT_ONCE, len(wanted))) as pool:
                    list(pool.map(self._bring, wanted, wanted.values(), names.values()))
            yield {uri: str(name) for uri, name in names.items()}
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _bring(self, uri: str, content: str, name: Path) -> None:
        """Puts the bytes with the digest `content` at the free path `name`: from a local copy, else by download."""
        with self._bringing[content]:
            if not self._copies.take(content, name):
                self._download(uri, name, content)
                self._copies.keep(name, content)

    def _look(self, uri: str, looked: OnRead) -> None:
        """Downloads an object that is not known and remembers its digest."""
        name = self._scratch.path(".parquet")
        try:
            content = self._download(uri, name)
            looked(uri, name, content)
            self._copies.keep(name, content)
        finally:
            name.unlink(missing_ok=True)
        self.learn(uri, content)

    def learn(self, uri: str, content: str) -> None:
        """Remembers the digest of an object, as it is listed now."""
        if found := self.object(uri):
            self._remember(uri, {"stamp": found.stamp, "digest": content})

    def _download(self, uri: str, name: Path, wanted: str = "") -> str:
        """Downloads an object to `name` and returns its digest.

        The length does not reveal a flipped bit, so the bytes must have the digest `wanted`, or the store's own MD5,
        or be the same in two downloads; where the ETag is no MD5, the length that was listed is all that there is to
        compare. Raises DayError.
        """
        store, key = self.store(uri)
        listed, seen = self._objects.get(uri), set()
        try:
            for _ in range(_READS):
                found = store.fetch(key, name)
                content, replaced = digest.of_file(name), listed and found.etag != listed.etag
                if content == wanted:
                    return content
                whole = not listed or found.size == listed.size
                if not wanted and not replaced and whole and (_confirmed(name, found.etag) or content in seen):
                    return content
                if replaced or content in seen:
                    break
                seen.add(content)
            else:
                raise OSError(errno.EIO, "no two reads agree", uri)
        except OSError as error:
            if is_full(error):
                raise
            raise DayError("an object cannot be read", where=uri, found=error.strerror or error,
                           expected="a whole object", hint="run again when the store answers") from None  # fmt: skip
        self._remember(uri, None)
        raise DayError("an object changed while it was being read", where=uri, hint="run again")

    # Notes: digests and footers that are remembered

    def _record(self, uri: str) -> ObjectNote | None:
        """The note on an object, as it is listed now; made here or learned from another machine."""
        if self._known is None:
            self._known = dict(self._facts.facts(_FACT))
        found = self.object(uri)
        for known in (self._known.get(_FACT + uri), self._learned.get(uri)):
            if found and known and known["stamp"] == found.stamp:
                if known is self._learned.get(uri):
                    self._facts.remember_fact(_FILE + known["digest"], {k: known[k] for k in _FOOTER if k in known})
                    self._remember(uri, {"stamp": known["stamp"], "digest": known["digest"]})
                return known
        return None

    def _remember(self, uri: str, record: ObjectNote | None) -> None:
        if self._known is not None:
            self._known[_FACT + uri] = record  # type: ignore[assignment]
        self._facts.remember_fact(_FACT + uri, record)

    def known_objects(self) -> dict[str, ObjectNote]:
        """The notes on all objects, made here or learned: `stamp`, `digest`, and for parquet the footer's fields."""
        footers = self._facts.facts(_FILE)
        known = self._facts.facts(_FACT).items()
        own = {
            key.removeprefix(_FACT): {**record, **footers.get(_FILE + record["digest"], {})}
            for key, record in known if record
        }  # fmt: skip
        return {**self._learned, **own}

    def learn_objects(self, records: Mapping[str, ObjectNote]) -> None:
        """Adds notes that `known_objects` gave on another machine; one is used if the listing has the same stamp."""
        self._learned = records


def open_remote_files(
    config: Config, facts: Facts, copies: Path, scratch: Scratch, say: Callable[[str], None] = lambda line: None
) -> RemoteFiles:
    """The inputs of a config that lie in object stores, with local copies in a folder. Raises DaedalusError."""
    runtime = config.runtime
    limit = parse_size(runtime.fetch_limit, config.where(RUNTIME, "fetch_limit"))
    return RemoteFiles(runtime.object_store, facts, Copies(copies, limit), scratch, say)


_FOOTER = ("form", "columns", "rows", "bytes", "times")


def unreachable(uri: str, error: OSError) -> DaedalusError:
    """The error for a store that cannot be read."""
    hint = f"is there such a bucket? see object_store in training/runtime.yaml, or {variables(uri)} in the environment"
    return DaedalusError("the object store cannot be read", where=uri, found=error.strerror or error,
                         expected="a bucket that can be listed and read", hint=hint)  # fmt: skip


def _confirmed(name: Path, etag: str) -> bool:
    """Whether a file has the MD5 in its ETag; also true if the ETag is not an MD5."""
    md5 = _MD5.fullmatch(etag)
    if not md5:
        return True  # a multipart upload or another store: only the transport protects the bytes
    with name.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5[1]
