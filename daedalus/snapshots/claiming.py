"""Makes a snapshot of an output on an object store: claims what it holds, as output/claims.py says."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.days import DayRange
from daedalus.base.durable import DATASET, SNAPSHOTS
from daedalus.base.errors import DaedalusError
from daedalus.compile.dataset import described, entry_of, noted_sum, parsed
from daedalus.config.steps import SKELETON
from daedalus.objectstore.object_store import Conflict
from daedalus.objectstore.part_list import manifest_days, manifest_key
from daedalus.output.claims import MAKING, REMOVED, claim_key
from daedalus.output.remote_map import STATE
from daedalus.output.remote_output import RemoteOutput
from daedalus.output.remote_partitions import RemotePartitions
from daedalus.snapshots.home import always_changing, exists, map_file, nothing_to_hold
from daedalus.snapshots.record import QID_MAP, Snapshot, days_in, file_of, new_record, span_of

if TYPE_CHECKING:
    from daedalus.config.steps import Stage
    from daedalus.workspace.workspace import Workspace

_LOOKS = 50  # at manifests that a run replaces meanwhile
_AT_ONCE = 16  # requests
Named = dict[str, Any]  # of a claim: `manifests` by day, and keys of other `files` by name


def days_now(output: RemoteOutput) -> list[str]:
    """The days that have a partition now."""
    return [*manifest_days(output.key(one) for one in output.now("dt="))]


def named_now(output: RemoteOutput, choose: Callable[[Iterable[str]], list[str]], *, with_map: bool) -> Named:
    """What the manifests of the days that are chosen, and the state of the qid map, name now.

    Manifests are read only where the listing shows that they are others than when they were read before. Raises
    DaedalusError for one that is damaged: what it names is not known then.
    """
    listed = {output.key(one): one for one in [*output.now("dt="), *(output.now(STATE) if with_map else [])]}
    keys = manifest_days(listed)
    read = {day: keys[day] for day in choose(keys)} | ({QID_MAP: STATE} if STATE in listed else {})
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = dict(zip(read, pool.map(lambda key: output.json_of(listed[key]), read.values()), strict=True))
    for what, one in found.items():
        if one and not one[0]:
            raise DaedalusError("an object of the output cannot be read", where=output.of(read[what]),
                                found="not complete JSON", hint="run again: this writes it anew")  # fmt: skip
    state = found.pop(QID_MAP, None)
    qid_map = state[0].get("key") if state else None
    return {
        "manifests": {day: one[0] for day, one in found.items() if one},
        "files": {QID_MAP: qid_map} if qid_map else {},
    }


@contextmanager
def fetched(workspace: Workspace, output: RemoteOutput, key: str) -> Iterator[Path]:
    """An object as a local file while the context lasts. Raises OSError."""
    path = workspace.scratch.path()
    store, at = output.files.store(output.of(key))
    try:
        store.fetch(at, path)
        yield path
    finally:
        path.unlink(missing_ok=True)


class Claim:
    """A snapshot in the making; `etag` is that of the record of an earlier one of its name, which it replaces."""

    def __init__(self, workspace: Workspace, home: RemotePartitions, stage: Stage, name: str, etag: str | None) -> None:
        self._workspace, self._home, self._output = workspace, home, home.output
        self._stage, self._name, self._etag = stage, name, etag
        self._folder = f"{SNAPSHOTS}/{name}/{uuid.uuid4().hex[:8]}"  # of files that are this snapshot's own
        self._named: Named = {}
        self._is_put = False

    def hold(self, span: DayRange | None) -> None:
        """Claims what is named now, until that is what is named after it was claimed, too: all was there then."""
        now = self._look(span)
        for _ in range(_LOOKS):
            if not now["manifests"]:
                raise nothing_to_hold(self._output.uri, span, days_now(self._output), self._stage.name)
            self._named = now
            self._put({"state": MAKING, **now})
            now = self._look(span)
            if now == self._named:
                return
        raise always_changing(self._output.uri)

    def _look(self, span: DayRange | None) -> Named:
        return named_now(self._output, lambda days: days_in(days, span), with_map=self._stage is SKELETON)

    def finish(self, span: DayRange | None, dataset: bytes) -> Snapshot:
        """Puts the files that are its own, and makes the claim a snapshot."""
        entries = self._entries(parsed(dataset).get("partitions", {}))
        days = span_of(span, [*entries])
        whole = described(dataset, days, entries)
        assert whole is not None
        own = {name: f"{self._folder}/{name}" for name in (DATASET, QID_MAP)}
        files = {**own, **self._named["files"]}
        self._put({"state": MAKING, "manifests": self._named["manifests"], "files": files})
        described_by = self._workspace.scratch.path()
        described_by.write_bytes(whole)
        self._output.put({files[DATASET]: described_by})
        qid_map = self._map(files[QID_MAP], put=files[QID_MAP] == own[QID_MAP])
        record = new_record(
            self._name, self._stage.name, days, entries, whole, qid_map, manifests=self._named["manifests"],
            files=files if qid_map else {DATASET: files[DATASET]},
        )  # fmt: skip
        self._put(record.as_json())
        return record

    def _map(self, key: str, *, put: bool) -> dict | None:
        """Size and SHA-256 of the qid map, which is put there if it is no object of this output."""
        if not put:
            with fetched(self._workspace, self._output, key) as path:
                return file_of(path)
        if source := map_file(self._workspace):
            self._output.put({key: source})
            return file_of(source)
        return None

    def _entries(self, noted: Mapping[str, Any]) -> dict[str, dict]:
        """What the manifests say of each partition, as `_dataset.json` has it."""
        found = {}
        for day, value in self._named["manifests"].items():
            entry = noted.get(day)
            read = self._home.sum_of(day, self._output.parsed(day, value), noted_sum(entry))
            if read is None:
                raise DaedalusError("a partition cannot be read", where=self._output.of(manifest_key(day)),
                                    found="damaged parts", hint="run again: this writes it anew")  # fmt: skip
            found[day] = entry_of(read, entry)
        return found

    def _put(self, value: dict[str, Any]) -> None:
        try:
            self._etag = self._output.swap_json(claim_key(self._name), value, self._etag)
            self._is_put = True
        except Conflict:
            if self._is_put:
                raise DaedalusError("the snapshot was removed while it was made", where=self._output.uri,
                                    found=self._name, hint="create it again") from None  # fmt: skip
            raise exists(self._name, self._output.uri) from None

    def withdraw(self) -> None:
        """Gives up what is claimed, after an error; whatever else has the name by now stays."""
        if self._is_put:
            with suppress(Conflict, DaedalusError):
                self._output.swap_json(claim_key(self._name), {"state": REMOVED}, self._etag)
                self._output.sweep([f"{self._folder}/{name}" for name in (DATASET, QID_MAP)])
