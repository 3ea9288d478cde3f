"""Snapshots of an output on an object store: a list of names of objects that nothing deletes (see output/claims.py).

    _snapshots/NAME/_snapshot.json              what it is, and the names of its objects
    _snapshots/NAME/<made>/_dataset.json        that of the output, with these days alone
    _snapshots/NAME/<made>/qid_map.parquet      a copy of the map, where it is no object of this output

The parts stay where they are, under the names that the manifests of their days gave them, and the qid map too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base import digest
from daedalus.base.days import DayRange
from daedalus.base.durable import DATASET, SNAPSHOTS
from daedalus.base.errors import DaedalusError
from daedalus.compile.dataset import described
from daedalus.config.steps import SKELETON, Stage
from daedalus.objectstore.object_store import Conflict
from daedalus.objectstore.part_list import PartList
from daedalus.output.claims import REMOVED, REMOVING, WHOLE, claim_key, claims, keys_of, unclaimed
from daedalus.output.remote_partitions import RemotePartitions
from daedalus.snapshots.claiming import Claim, fetched, named_now
from daedalus.snapshots.home import exists, not_described
from daedalus.snapshots.record import QID_MAP, Snapshot, unknown

if TYPE_CHECKING:
    from daedalus.workspace.workspace import Workspace


class BucketSnapshots:
    """See `SnapshotHome` in home.py."""

    def __init__(self, workspace: Workspace, home: RemotePartitions, stage: Stage) -> None:
        self._workspace, self._home, self._stage, self._output = workspace, home, stage, home.output

    def names(self) -> list[str]:
        return [name for name, claim in claims(self._output) if claim["state"] == WHOLE]

    def read(self, name: str) -> Snapshot:
        found = self._output.json_now(claim_key(name))
        if found is None or found[0].get("state", WHOLE) != WHOLE:
            raise self._unknown(name)
        return Snapshot.of(found[0], self._output.of(claim_key(name)))

    def _unknown(self, name: str) -> DaedalusError:
        return unknown(name, self.names(), self._output.of(SNAPSHOTS))

    def create(self, name: str, span: DayRange | None) -> Snapshot:
        dataset = self._output.bytes_now(DATASET)
        if dataset is None or described(dataset[0], (), {}) is None:
            raise not_described(self._output.uri, self._stage.name)
        claim = Claim(self._workspace, self._home, self._stage, name, self._place(name))
        try:
            claim.hold(span)
            return claim.finish(span, dataset[0])
        except BaseException:
            claim.withdraw()
            raise

    def _place(self, name: str) -> str | None:
        """The ETag of what is left of an earlier snapshot of that name; None for nothing. Raises DaedalusError."""
        found = self._output.json_now(claim_key(name))
        state = found[0].get("state", WHOLE) if found else REMOVED
        if state == WHOLE:
            raise exists(name, self._output.uri)
        if state != REMOVED:
            hint = f"if its process died: daeda snapshot remove {name}"
            raise DaedalusError("a snapshot of that name is being made or removed", where=self._output.uri, found=name,
                                expected="a new name", hint=hint)  # fmt: skip
        return found[1] if found else None

    def holds(self, name: str) -> bool:
        found = self._output.json_now(claim_key(name))
        return found is not None and found[0].get("state") != REMOVED

    def where(self, record: Snapshot) -> str:
        return self._output.of(claim_key(record.name))

    def remove(self, name: str) -> int:
        key = claim_key(name)
        found = self._output.json_now(key)
        if found is None or found[0].get("state") == REMOVED:
            raise self._unknown(name)
        value, etag = found
        try:
            etag = self._output.swap_json(key, {**value, "state": REMOVING}, etag)
            gone = self._own(name, value)
            freed = self._parquet_bytes(gone)
            self._output.delete(gone)
            self._output.swap_json(key, {"state": REMOVED}, etag)
        except Conflict:
            raise DaedalusError("another process makes or removes this snapshot", where=self._output.of(key),
                                found=name, hint="try again when it has ended") from None  # fmt: skip
        return freed

    def _own(self, name: str, claim: dict[str, Any]) -> list[str]:
        """The objects that a claim alone holds: first no manifest names them, and then no other claim."""
        held = claim.get("manifests", {})
        now = named_now(self._output, lambda days: [*held.keys() & days], with_map=self._stage is SKELETON)
        return unclaimed(self._output, sorted(keys_of(claim) - keys_of(now)), but=name)

    def _parquet_bytes(self, keys: list[str]) -> int:
        sizes = {self._output.key(one): one.size for one in self._output.now("")}
        return sum(sizes.get(key, 0) for key in keys if key.endswith(".parquet"))

    def only_here(self, name: str) -> int:
        return self._parquet_bytes(self._own(name, self.read(name).as_json()))

    @contextmanager
    def reading(self, record: Snapshot, day: str) -> Iterator[list[Path]]:
        with self._home.fetched(day, self._parts(record, day)) as parts:
            yield parts

    def _parts(self, record: Snapshot, day: str) -> PartList:
        return PartList.of(record.manifests[day], self._output.of(claim_key(record.name)))

    def damaged(self, record: Snapshot) -> list[str]:
        """Parts with the ETag of their upload count as whole; others are read, and the other files are."""
        self._output.forget()
        parts = [(day, part) for day in record.manifests for part in self._parts(record, day).parts]
        found = [self._home.output.part_uri(day, part) for day, part in parts if self._home.amiss(day, part)]
        wanted = {DATASET: record.dataset, QID_MAP: record.qid_map.digest if record.qid_map else ""}
        keys = {record.files[name]: content for name, content in wanted.items() if content}
        return found + [self._output.of(key) for key, content in keys.items() if self._sha256(key) != content]

    def _sha256(self, key: str) -> str:
        """SHA-256 of an object; "" of one that cannot be read."""
        try:
            with fetched(self._workspace, self._output, key) as path:
                return digest.sha256_of(path)
        except OSError:
            return ""
