"""Manifests: the small objects that make what lies on an object store visible, at once and whole.

    dt=YYYY-MM-DD/manifest.json              which part files are the partition
    dt=YYYY-MM-DD/<generation>/part-N-0.parquet
    qid_map.json                             which object is the qid map
    qid_map/<generation>.parquet

The bytes come first, under a name that nothing had before, and then the manifest by compare-and-swap. So a
reader finds what was there or what is there, never a mix; who still reads what was there may find it gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from daedalus.base import digest
from daedalus.base.errors import DaedalusError
from daedalus.objectstore.object_store import ObjectStore

_CHECK = "check"  # digest of the rest of the object
_READS = 3  # of an object that is not whole: it may be the transport
_PARTITION = re.compile(r"dt=(\d{4}-\d{2}-\d{2})/manifest\.json")
_PART = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}/part-\d+-0\.parquet")


@dataclass(frozen=True)
class PartFile:
    """A part file; `key` is relative to the manifest's folder."""

    key: str
    bytes: int
    digest: str
    rows: int
    etag: str = ""  # as it was put: while it is the same, so are the bytes

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class PartList:
    """What a day's partition consists of; `digest` is that of its parts' names and digests."""

    digest: str
    parts: tuple[PartFile, ...]

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    def as_json(self) -> dict:
        return {"digest": self.digest, "parts": [asdict(part) for part in self.parts]}

    @classmethod
    def of(cls, value: Mapping, where: str) -> PartList:
        """Raises DaedalusError for JSON that is no manifest."""
        try:
            return cls(str(value["digest"]), tuple(PartFile(**part) for part in value["parts"]))
        except (TypeError, KeyError) as error:
            raise DaedalusError(
                "a manifest of the output cannot be read", where=where, found=f"{type(error).__name__}: {error}",
                expected="what a run has written", hint="run again: the partition is then put together anew",
            ) from None  # fmt: skip


def manifest_key(day: object) -> str:
    return f"dt={day}/manifest.json"


def is_part(key: str) -> bool:
    """Whether a key below a partition's folder is one that we give; what has another is never deleted."""
    return _PART.fullmatch(key) is not None


def manifest_days(keys: Iterable[str]) -> dict[str, str]:
    """Day to key of the manifests among some keys, days ascending."""
    return {match[1]: key for key in sorted(keys) if (match := _PARTITION.fullmatch(key))}


def write_json(value: Mapping) -> bytes:
    """A small JSON object that says itself whether it is whole."""
    return json.dumps({**value, _CHECK: digest.of_json(value)}, sort_keys=True, indent=1).encode()


def read_json(store: ObjectStore, key: str) -> tuple[dict, str]:
    """What `write_json` wrote, and its ETag; empty when it is damaged. Raises FileNotFoundError."""
    for _ in range(_READS):
        data, found = store.get(key)
        try:
            value = json.loads(data)
            if value.pop(_CHECK) == digest.of_json(value):
                return value, found.etag
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return {}, found.etag
