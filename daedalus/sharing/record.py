"""Shared traces, with the digests of their bytes, and the signatures of shared objects.

xxh3 is no cryptographic hash, so a download is also checked against the sha256 in the signed record.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from daedalus.base import digest
from daedalus.stagecache.action import action_key
from daedalus.stagecache.records.traces import Trace

_SIGNATURE = "signature"
_PLAIN = re.compile(r"[\w ]+")


class Blob(msgspec.Struct, frozen=True):
    """The digests and the size of some bytes."""

    digest: str
    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> Blob:
        """The blob of a file's bytes. Raises OSError."""
        content = digest.of_file(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(content, sha256, file.tell())


class SharedTrace(msgspec.Struct, frozen=True):
    """A trace with the blobs of its artifact: one part called "", or the files of a partition by name."""

    kind: str
    key: str
    name: str
    artifact: str
    parts: dict[str, Blob]
    counts: dict[str, int]
    seconds: float
    bytes: int
    manifest: dict[str, str]
    code: str

    @classmethod
    def of(cls, trace: Trace, parts: Mapping[str, Blob]) -> SharedTrace:
        return cls("trace", trace.key, trace.name, trace.artifact, dict(parts), trace.counts, trace.seconds,
                   trace.bytes, trace.manifest, trace.code)  # fmt: skip

    def trace(self) -> Trace:
        return Trace(
            self.key, self.name, self.artifact, self.counts, self.seconds, self.bytes, self.manifest, self.code
        )

    def problem(self, key: str, name: str) -> str:
        """Why this is not the trace of an action with that key and name, or ""."""
        contents = [part.digest for part in self.parts.values()]
        if not _PLAIN.fullmatch(self.artifact) or not all(map(digest.is_digest, contents)):
            return "no trace"  # such a name could be a path that leads out of a folder
        if self.code and not digest.is_digest(self.code):
            return "no trace"  # the database of traces takes no surrogates
        if self.kind != "trace" or self.key != key or action_key(self.manifest) != key:
            return "another key's trace"
        return "" if self.name == name else "another action's trace"


def read_record(value: object) -> SharedTrace:
    """Converts JSON to a trace. Raises ValueError."""
    return msgspec.convert(value, SharedTrace)


class Signer:
    """Signs with HMAC-SHA256 and a key that a group shares, over the canonical JSON of an object and its name in the
    bucket: a signature is valid under that name alone. Without a key nothing is signed or checked."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    @property
    def checks(self) -> bool:
        """Whether there is a key."""
        return self._key is not None

    def sign(self, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        return {**value, _SIGNATURE: self._of(name, value)} if self._key else dict(value)

    def problem(self, name: str, value: Mapping[str, Any]) -> str:
        """What is wrong with the signature of an object of this name, or ""."""
        if self._key is None:
            return ""
        signature = value.get(_SIGNATURE)
        if not isinstance(signature, str):
            return "unsigned"
        plain = {key: inner for key, inner in value.items() if key != _SIGNATURE}
        return "" if hmac.compare_digest(_bytes(signature), _bytes(self._of(name, plain))) else "badly signed"

    def _of(self, name: str, value: Mapping[str, Any]) -> str:
        assert self._key is not None
        return hmac.new(self._key, _bytes(digest.canonical_json([name, value])), hashlib.sha256).hexdigest()


def parse(data: bytes) -> dict[str, Any]:
    """Parses a JSON object whose texts can be encoded. Raises ValueError.

    Surrogates stand for bytes of names that are not UTF-8, U+DC80 to U+DCFF; others cannot be signed or digested.
    """
    try:
        value = json.loads(data)
        _bytes(digest.canonical_json(value))
    except RecursionError:
        raise ValueError("nested without end") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _bytes(text: str) -> bytes:
    """Raises UnicodeEncodeError, a ValueError, for surrogates that stand for no byte."""
    return text.encode(errors="surrogateescape")
