"""An output root on an object store: its objects as they were listed, and its manifests (see part_list.py)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from daedalus.base.errors import DaedalusError
from daedalus.base.ports import Facts
from daedalus.inputs.remote_files import RemoteFiles, unreachable
from daedalus.objectstore.object_store import Conflict, Object, variables
from daedalus.objectstore.part_list import PartFile, PartList, manifest_days, manifest_key, read_json, write_json
from daedalus.output.claims import unclaimed

_AT_ONCE = 8  # uploads
_FACT = "manifest:"  # + uri -> {"etag", "value"}


class RemoteOutput:
    """The objects below one URI, listed once until `refresh`. What this process puts shows in `written` at once."""

    def __init__(self, uri: str, files: RemoteFiles, facts: Facts) -> None:
        self.uri, self.files, self._facts = uri.rstrip("/"), files, facts
        self._store, self._root = files.store(f"{self.uri}/")
        self._changed = False
        files.roots.add(f"{self.uri}/")

    def of(self, key: str) -> str:
        """The URI of a key."""
        return f"{self.uri}/{key}"

    def listed(self) -> dict[str, Object]:
        """All objects by key."""
        return {self.key(one): one for one in self.files.objects(self.uri)}

    def get(self, key: str) -> Object | None:
        """An object as it was listed."""
        return self.files.object(self.of(key))

    def key(self, found: Object) -> str:
        """The key of an object."""
        return found.uri[len(self.uri) + 1 :]

    def now(self, prefix: str) -> list[Object]:
        """The objects whose keys begin so, as they are now."""
        try:
            return self._store.list(self._root + prefix)
        except OSError as error:
            raise unreachable(self.of(prefix), error) from None

    def refresh(self) -> None:
        """Makes the next look ask the store, if this process changed anything."""
        if self._changed:
            self.forget()

    def forget(self) -> None:
        """Makes the next look ask the store."""
        self.files.forget(self.uri)
        self._changed = False

    def json(self, key: str) -> dict | None:
        """A JSON object as it was listed; read only if it was not read before. None when it is not there."""
        found = self.get(key)
        read = self.json_of(found) if found else None
        return read[0] if read else None

    def json_of(self, found: Object) -> tuple[dict, str] | None:
        """The JSON in an object that was listed, and its ETag, read if it was not read before; None if it is gone."""
        known = self._facts.fact(_FACT + found.uri)
        if isinstance(known, dict) and known["etag"] == found.etag:
            return known["value"], found.etag
        return self.json_now(self.key(found))

    def json_now(self, key: str) -> tuple[dict, str] | None:
        """A JSON object as it is now, and its ETag."""
        try:
            value, etag = read_json(self._store, self._root + key)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreachable(self.of(key), error) from None
        if value:
            self._facts.remember_fact(_FACT + self.of(key), {"etag": etag, "value": value})
        return value, etag

    def swap_json(self, key: str, value: dict, replaces: str | None) -> str:
        """Puts a JSON object in the place of the one with that ETag, or of none; returns its own ETag.

        Raises Conflict when something else lies there.
        """
        try:
            etag = self.swap(key, write_json(value), replaces)
        except Conflict:
            now = self.json_now(key)
            if now is None or now[0] != value:
                raise
            etag = now[1]  # it was this process: the answer was lost, and the client asked again
        self._facts.remember_fact(_FACT + self.of(key), {"etag": etag, "value": value})
        return etag

    def bytes_now(self, key: str) -> tuple[bytes, str] | None:
        """A small object as it is now, and its ETag; None when it is not there."""
        try:
            data, found = self._store.get(self._root + key)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreachable(self.of(key), error) from None
        return data, found.etag

    def swap(self, key: str, data: bytes, replaces: str | None) -> str:
        """Puts an object in the place of the one with that ETag, or of none; returns its own ETag.

        Raises Conflict when something else lies there.
        """
        self._changed = True
        try:
            with self._writing(key):
                return self._store.put(self._root + key, data, create=replaces is None, replaces=replaces)
        except FileExistsError as error:
            raise Conflict(error.errno, error.strerror, error.filename) from None

    def put(self, files: dict[str, Path]) -> dict[str, str]:
        """Uploads files by key, several at a time; returns their ETags."""
        if not files:
            return {}
        self._changed = True
        with self._writing(next(iter(files))), ThreadPoolExecutor(min(_AT_ONCE, len(files))) as pool:
            etags = pool.map(lambda item: self._store.put(self._root + item[0], item[1]), files.items())
            return dict(zip(files, etags, strict=True))

    def delete(self, keys: Iterable[str]) -> None:
        self._changed = True
        with self._writing():
            self._store.delete([self._root + key for key in keys])

    def sweep(self, keys: Iterable[str]) -> None:
        """Removes what nothing refers to any more, snapshots included; what cannot be removed now is left for a later
        run."""
        if old := [*keys]:
            with suppress(DaedalusError):
                self.delete(unclaimed(self, old))

    @contextmanager
    def _writing(self, key: str = "") -> Iterator[None]:
        """A store that cannot be written to, for people; who lost a race is told so."""
        try:
            yield
        except (Conflict, FileExistsError):
            raise
        except OSError as error:
            settings = f"object_store in training/runtime.yaml, and {variables(self.uri)} in the environment"
            hint = f"check your permissions, {settings}"
            raise DaedalusError("the output cannot be written", where=self.of(key), found=error.strerror or error,
                                expected="a bucket that can be written to", hint=hint) from None  # fmt: skip

    def manifests(self) -> dict[str, str]:
        """Day to key of all manifests, as they were listed."""
        return manifest_days(self.listed())

    def manifest(self, day: str) -> PartList | None:
        """A day's manifest as it was listed; of one that is damaged, a manifest of nothing."""
        value = self.json(manifest_key(day))
        return None if value is None else self.parsed(day, value)

    def parsed(self, day: str, value: dict) -> PartList:
        try:
            return PartList.of(value, self.of(manifest_key(day)))
        except DaedalusError:
            return PartList("damaged", ())

    def part_uri(self, day: str, part: PartFile) -> str:
        return self.of(f"dt={day}/{part.key}")


def new_generation(content: str) -> str:
    """A name under which nothing lies: who deletes a generation that was replaced can then meet no other."""
    return f"{content[:16]}-{uuid.uuid4().hex[:8]}"


def taken(where: str) -> DaedalusError:
    """Somebody else was first."""
    return DaedalusError("another run writes this output", where=where, found="it changed since this run began",
                         expected="one run at a time", hint="run again when the other run has ended")  # fmt: skip
