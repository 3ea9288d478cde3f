"""The qid map on an object store: its bytes under a name of their own, and one object that says which they are.

`qid_map.json` changes by compare-and-swap alone, so two runs can never hand out a number twice: the second
to grow the map fails, with nothing handed out. It holds what a local output keeps in the cache, so a second
machine continues the same map. `qid_map.parquet` is a copy for who reads the output, made when a run ends.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from daedalus.base import digest
from daedalus.base.errors import DaedalusError
from daedalus.base.ports import Scratch
from daedalus.objectstore.object_store import Conflict
from daedalus.output.local_map import NO_STATE
from daedalus.output.map_home import MapState
from daedalus.output.part_file import parts_with_qids, read_parts
from daedalus.output.remote_output import RemoteOutput, new_generation, taken

STATE, COPY = "qid_map.json", "qid_map.parquet"
_NO_MAP: dict[str, Any] = {"key": "", "digest": "", "bytes": 0, "etag": ""}


class RemoteMap:
    """See `MapHome` in ports.py."""

    def __init__(self, output: RemoteOutput, scratch: Scratch) -> None:
        self._output, self._scratch = output, scratch
        self._lock = threading.RLock()
        self._now: tuple[MapState, str | None] | None = None  # the state as we read or put it, and its ETag
        self._local: tuple[str, Path] | None = None  # digest, working copy
        self._laid: dict[str, Any] | None = None  # a map that no state names yet
        self._lost = False  # another run swapped the state first

    @property
    def where(self) -> str:
        return self._output.of(STATE)

    def is_there(self) -> bool:
        return True

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._lock:
            yield

    def state(self) -> MapState:
        return self._read()[0]

    def _read(self) -> tuple[MapState, str | None]:
        if self._lost:
            raise taken(self.where)
        if self._now is None:
            listed = self._output.get(STATE)
            value = self._output.json(STATE) if listed else None
            if value == {}:
                hint = "run again; if that does not help, remove the object: the next run checks the map again"
                raise DaedalusError("the state of the qid map cannot be read", where=self.where,
                                    found="not complete JSON", expected="what a run wrote", hint=hint)  # fmt: skip
            whole = value if value and {"lineage", "next", *_NO_MAP} <= value.keys() else None
            self._now = ({**NO_STATE, **(whole or {})}, listed.etag if listed else None)
        return self._now

    def content(self) -> str:
        if self._laid is not None:
            return self._laid["digest"]
        found = self._source()
        return found[1] if found else ""

    def _source(self) -> tuple[str, str] | None:
        """(key, digest) of the object that is the map: the one that the state names, else the copy."""
        state = self.state()
        if key := state.get("key"):
            if self._local and self._local[0] == state["digest"]:
                return key, state["digest"]
            found = self._output.get(key)
            same = found and found.size == state["bytes"]
            if found and same and (found.etag == state["etag"] or self._digest(key) == state["digest"]):
                return key, state["digest"]
        content = self._digest(COPY)  # that somebody brought, or that outlived the map
        return (COPY, content) if content else None

    def _digest(self, key: str) -> str:
        found = self._output.get(key)
        return self._output.files.of(found.uri)[0] if found else ""

    def path(self) -> Path | None:
        if self._laid is None and (found := self._source()) and (self._local or ("",))[0] != found[1]:
            uri, path = self._output.of(found[0]), self._scratch.path(".parquet")
            with self._output.files.fetch({uri: found[1]}) as local:
                Path(local[uri]).rename(path)
            self._hold(found[1], path)
        return self._local[1] if self._local and self.content() else None

    def _hold(self, content: str, path: Path) -> None:
        if self._local:
            self._local[1].unlink(missing_ok=True)
        self._local = content, path

    def lay(self, file: Path) -> None:
        content = digest.of_file(file)
        key = f"qid_map/{new_generation(content)}.parquet"
        etag = self._output.put({key: file})[key]
        self._laid = {"key": key, "digest": content, "bytes": file.stat().st_size, "etag": etag}
        self._hold(content, file)

    def drop(self) -> None:
        self._output.sweep([COPY])
        self._laid, self._local = dict(_NO_MAP), None

    def grow(self, file: Path, lineage: str) -> None:
        self.lay(file)
        self.remember(lineage, self.content())

    def remember(self, lineage: str, content: str, shared: bool | None = None) -> None:
        state, source = self.state(), self._source()
        is_ours = source is not None and source[0] == state.get("key")
        kept = {name: state.get(name, nothing) for name, nothing in _NO_MAP.items()} if is_ours else _NO_MAP
        laid = self._laid or {**kept, "digest": content}
        self._swap({**state, **laid, "lineage": lineage, "next": content, "partitions": ""})
        if (old := state.get("key")) and old != laid["key"]:
            self._output.sweep([old])
        self._laid = None

    def _swap(self, state: MapState) -> None:
        try:
            etag = self._output.swap_json(STATE, state, self._read()[1])
        except Conflict:
            self._lost = True
            raise taken(self.where) from None
        self._now = state, etag

    def stamp(self) -> str:
        listed = self._output.listed()
        return digest.of_json([[key, listed[key].etag] for key in self._output.manifests().values()])

    def settle(self) -> None:
        """Also brings `qid_map.parquet` up to date. If another run was first, that one has the say."""
        if self._lost:
            return
        self._output.refresh()
        state, etag = self._read()
        if etag is None:
            return
        settled = {**state, "partitions": self.stamp(), "copied": state["digest"]}
        if state.get("copied") != state["digest"] and state.get("key") and (path := self.path()):
            self._output.put({COPY: path})
        if settled != state:
            with suppress(DaedalusError):
                self._swap(settled)

    def held(self) -> list[tuple[Path, bool]]:
        """Of each part only the two columns that matter, so that no more than a day's parts are here at once."""
        import pyarrow.parquet as pq

        found, folder = [], self._scratch.path()
        folder.mkdir()
        for day in self._output.manifests():
            manifest = self._output.manifest(day)
            wanted = {self._output.part_uri(day, p): p.digest for p in manifest.parts} if manifest else {}
            with self._output.files.fetch(wanted) as local:
                for path, carries in parts_with_qids(map(Path, local.values())):
                    columns = ["feed_session", "qid"] if carries else ["qid"]
                    kept = folder / f"dt={day}-{path.name}"
                    pq.write_table(read_parts([path], columns), kept)
                    found.append((kept, carries))
        return found
