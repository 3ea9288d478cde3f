"""The qid map on an object store: its bytes under a name of their own, and one object that says which they are.

`qid_map.json` changes by compare-and-swap alone, so two runs can never hand out a number twice: the second
to grow the map fails, with nothing handed out. It holds what a local output keeps in the cache, so a second
machine continues the same map. `qid_map.parquet` is a copy for who reads the output, made when a run ends.

While a run is at work, the map is an object and pieces below it: the state then names no `key`, but a `whole` and
`pieces`, and has a digest that nothing else has. Versions that do not know of pieces find no map of theirs then: they
reconcile the copy with the partitions, and go on under another lineage.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from daedalus.base import digest
from daedalus.base.errors import DaedalusError
from daedalus.base.ports import Scratch
from daedalus.objectstore.object_store import Conflict
from daedalus.output.local_map import NO_STATE, below
from daedalus.output.map_home import MapFile, MapState
from daedalus.output.part_file import parts_with_qids, read_parts
from daedalus.output.remote_output import RemoteOutput, new_generation, taken

STATE, COPY = "qid_map.json", "qid_map.parquet"
_NO_MAP: dict[str, Any] = {"key": "", "digest": "", "bytes": 0, "etag": ""}
_WHOLE, _PIECES = "whole", "pieces"  # in the state, while there are pieces: objects, described as in _NO_MAP


class RemoteMap:
    """See `MapHome` in map_home.py."""

    def __init__(self, output: RemoteOutput, scratch: Scratch) -> None:
        self._output, self._scratch = output, scratch
        self._lock = threading.RLock()
        self._now: tuple[MapState, str | None] | None = None  # the state as we read or put it, and its ETag
        self._local: dict[str, Path] = {}  # working copies by digest
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
        return self._contents()[-1]

    def _contents(self) -> list[str]:
        """That of no map, then those of the map up to the end of each of its objects."""
        contents: list[str] = [""]
        for one in self._objects():
            contents.append(below(contents[-1], one["digest"]) if self._is_piece(one) else one["digest"])
        return contents

    def _is_piece(self, one: dict[str, Any]) -> bool:
        return self._laid is None and one in self.state().get(_PIECES, [])

    def _objects(self) -> list[dict[str, Any]]:
        """The objects that are the map, those that the state names, else the copy."""
        if self._laid is not None:
            return [self._laid] if self._laid["digest"] else []
        state = self.state()
        named = _named(state)
        if named and all(map(self._is_there, named)):
            return named
        found = self._output.get(COPY)  # that somebody brought, or that outlived the map
        if found is None:
            return []
        return [{"key": COPY, "digest": self._digest(COPY), "bytes": found.size, "etag": found.etag}]

    def _is_there(self, one: dict[str, Any]) -> bool:
        if one["digest"] in self._local:
            return True
        found = self._output.get(one["key"])
        same = found is not None and found.size == one["bytes"]
        return found is not None and same and (found.etag == one["etag"] or self._digest(one["key"]) == one["digest"])

    def _digest(self, key: str) -> str:
        found = self._output.get(key)
        return self._output.files.of(found.uri)[0] if found else ""

    def files(self) -> list[MapFile]:
        objects = self._objects()
        return [MapFile(content, partial(self._fetched, one)) for content, one in
                zip(self._contents()[1:], objects, strict=True)]  # fmt: skip

    def look_again(self) -> None:
        pass  # objects are known by their names

    def _fetched(self, one: dict[str, Any]) -> Path:
        """A working copy of an object."""
        content = one["digest"]
        if content not in self._local:
            uri, path = self._output.of(one["key"]), self._scratch.path(".parquet")
            with self._output.files.fetch({uri: content}) as local:
                Path(local[uri]).rename(path)
            self._local[content] = path
        return self._local[content]

    def lay(self, file: Path) -> None:
        self._laid = self._put(file, digest.of_file(file))
        for content in [content for content in self._local if content != self._laid["digest"]]:
            self._local.pop(content).unlink(missing_ok=True)

    def _put(self, file: Path, content: str) -> dict[str, Any]:
        """Puts a finished file under a new name, and keeps it as the working copy of what it is now."""
        key = f"qid_map/{new_generation(content)}.parquet"
        etag = self._output.put({key: file})[key]
        self._local[content] = file
        return {"key": key, "digest": content, "bytes": file.stat().st_size, "etag": etag}

    def drop(self) -> None:
        self._output.sweep([COPY])
        self._laid, self._local = dict(_NO_MAP), {}

    def grow(self, file: Path, content: str, lineage: str) -> None:
        self.lay(file)
        self.remember(lineage, content)

    def add(self, file: Path, lineage: str) -> None:
        state, objects, content = self.state(), self._objects(), self.content()
        piece = self._put(file, digest.of_file(file))
        pieces = [one for one in objects if self._is_piece(one)]
        whole = next((one for one in objects if one not in pieces), _NO_MAP)
        after = below(content, piece["digest"])
        self._swap({**state, **_NO_MAP, "digest": after, "next": after, "lineage": lineage, "partitions": "",
                    _WHOLE: whole, _PIECES: [*pieces, piece]})  # fmt: skip

    def is_whole(self) -> bool:
        return self._lost or not self.state().get(_PIECES)

    def clean(self) -> None:
        pass

    def remember(self, lineage: str, content: str, shared: bool | None = None) -> None:
        before, objects = self.state(), self._objects()
        state = {**before, "lineage": lineage, "next": content, "partitions": ""}
        if not any(map(self._is_piece, objects)):
            laid = objects[0] if objects and objects[0]["key"] != COPY else {**_NO_MAP, "digest": content}
            state = {name: value for name, value in {**state, **laid}.items() if name not in (_WHOLE, _PIECES)}
        self._swap(state)
        kept = {one["key"] for one in _named(state)}
        self._output.sweep(one["key"] for one in _named(before) if one["key"] not in {*kept, COPY})
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
        if state.get("copied") != state["digest"] and state.get("key") and (files := self.files()):
            self._output.put({COPY: files[0].fetch()})
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


def _named(state: MapState) -> list[dict[str, Any]]:
    """The objects that a state names as the map; pieces that a version left there which does not know of them are
    none."""
    if state.get("key"):
        return [{name: state[name] for name in _NO_MAP}]
    pieces = state.get(_PIECES, [])
    whole = [state[_WHOLE]] if pieces and state[_WHOLE]["key"] else []
    content = whole[0]["digest"] if whole else ""
    for piece in pieces:
        content = below(content, piece["digest"])
    return [*whole, *pieces] if pieces and content == state["digest"] else []
