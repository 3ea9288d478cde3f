"""Manifests: small JSON objects that make an output on an object store visible atomically.

    dt=YYYY-MM-DD/manifest.json              which part files are the partition
    dt=YYYY-MM-DD/<generation>/part-N-0.parquet
    qid_map.json                             which object is the qid map
    qid_map/<generation>.parquet

The bytes are written first, under a new name, and then the manifest by compare-and-swap. So a reader gets the
state before or the state after, never a mix; one that is still reading the state before may find files gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from daedalus.base import digest
from daedalus.base.days import is_day
from daedalus.base.durable import PART
from daedalus.base.errors import DaedalusError
from daedalus.objectstore.object_store import ObjectStore

_CHECK = "check"  # digest of the rest of the object
_READS = 3  # tries for an object that is damaged, since the transfer may be at fault
_PARTITION = re.compile(r"dt=(\d{4}-\d{2}-\d{2})/manifest\.json")
_PART = re.compile(rf"[0-9a-f]{{16}}-[0-9a-f]{{8}}/{PART.pattern}")


@dataclass(frozen=True)
class PartFile:
    """A part file; `key` is relative to the manifest's folder."""

    key: str
    bytes: int
    digest: str
    rows: int
    etag: str = ""  # of the upload: while it is the same, so are the bytes

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]


@dataclass(frozen=True)
class PartList:
    """The part files of a day's partition; `digest` is that of their names and digests.

    `sha256` is that of the parts' bytes joined in order, then that of each part; none in manifests of older versions.
    """

    digest: str
    parts: tuple[PartFile, ...]
    sha256: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    def as_json(self) -> dict:
        sums = {"sha256": list(self.sha256)} if self.sha256 else {}
        return {"digest": self.digest, "parts": [asdict(part) for part in self.parts], **sums}

    @classmethod
    def of(cls, value: Mapping, where: str) -> PartList:
        """Parses the JSON of `as_json`. Raises DaedalusError for anything else."""
        try:
            parts, sums = tuple(PartFile(**part) for part in value["parts"]), tuple(value.get("sha256", ()))
            return cls(str(value["digest"]), parts, sums if len(sums) == len(parts) + 1 else ())
        except (TypeError, KeyError) as error:
            raise DaedalusError(
                "a manifest of the output cannot be read", where=where, found=f"{type(error).__name__}: {error}",
                expected="a manifest that a run wrote", hint="run again: this rewrites the partition",
            ) from None  # fmt: skip


def manifest_key(day: object) -> str:
    return f"dt={day}/manifest.json"


def is_part(key: str) -> bool:
    """Whether a key below a partition's folder has the form that we give; objects with others are never deleted."""
    return _PART.fullmatch(key) is not None


def manifest_days(keys: Iterable[str]) -> dict[str, str]:
    """Day to key of the manifests among some keys, days ascending."""
    return {match[1]: key for key in sorted(keys) if (match := _PARTITION.fullmatch(key)) and is_day(match[1])}


def write_json(value: Mapping) -> bytes:
    """A JSON object with a digest of itself, by which `read_json` sees damage."""
    return json.dumps({**value, _CHECK: digest.of_json(value)}, sort_keys=True, indent=1).encode()


def read_json(store: ObjectStore, key: str) -> tuple[dict, str]:
    """(value, ETag) of what `write_json` wrote; the value is empty if damaged. Raises FileNotFoundError."""
    for _ in range(_READS):
        data, found = store.get(key)
        try:
            value = json.loads(data)
            if value.pop(_CHECK) == digest.of_json(value):
                return value, found.etag
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return {}, found.etag
