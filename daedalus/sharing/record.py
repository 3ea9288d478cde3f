"""A trace as it is shared: with the digests of its bytes, and signed by whoever has the key.

xxh3 is no cryptographic hash, so what a download is held to is the sha256 that the signed record names.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from daedalus import digest
from daedalus.stagecache.action import action_key
from daedalus.stagecache.trace import Trace

_SIGNATURE = "signature"


class Part(msgspec.Struct, frozen=True):
    """The bytes of one object, by content."""

    digest: str
    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> Part:
        """Reads a file. Raises OSError."""
        content = digest.of_file(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(content, sha256, file.tell())


class Record(msgspec.Struct, frozen=True):
    """A trace, and the bytes that it names: one part called "", or the files of a partition by name."""

    kind: str
    key: str
    name: str
    artifact: str
    parts: dict[str, Part]
    counts: dict[str, int]
    seconds: float
    bytes: int
    manifest: dict[str, str]
    code: str

    @classmethod
    def of(cls, trace: Trace, parts: Mapping[str, Part]) -> Record:
        return cls("trace", trace.key, trace.name, trace.artifact, dict(parts), trace.counts, trace.seconds,
                   trace.bytes, trace.manifest, trace.code)  # fmt: skip

    def trace(self) -> Trace:
        return Trace(
            self.key, self.name, self.artifact, self.counts, self.seconds, self.bytes, self.manifest, self.code
        )

    def problem(self, key: str, name: str) -> str:
        """Why this does not answer an action's key, or ""."""
        if self.kind != "trace" or self.key != key or action_key(self.manifest) != key:
            return "another key's trace"
        return "" if self.name == name else "another action's trace"


def read_record(value: object) -> Record:
    """Raises ValueError for what is no record."""
    return msgspec.convert(value, Record)


class Signer:
    """HMAC-SHA256 over the canonical JSON of an object, with a key that a group shares; or no key, and no check."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    def sign(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {**value, _SIGNATURE: self._of(value)} if self._key else dict(value)

    def problem(self, value: Mapping[str, Any]) -> str:
        """Why an object cannot be believed, or ""."""
        if self._key is None:
            return ""
        signature = value.get(_SIGNATURE)
        if not isinstance(signature, str):
            return "unsigned"
        plain = {key: inner for key, inner in value.items() if key != _SIGNATURE}
        return "" if hmac.compare_digest(signature.encode(), self._of(plain).encode()) else "badly signed"

    def _of(self, value: Mapping[str, Any]) -> str:
        assert self._key is not None
        return hmac.new(self._key, digest.canonical_json(value).encode(), hashlib.sha256).hexdigest()


def parse(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError."""
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value
