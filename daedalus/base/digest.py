"""Content digests: xxh3_128 of bytes, of a file, and of canonical JSON, as 32 hex digits; SHA-256 for other people.

xxh3 is no cryptographic hash: it detects accidents and edits, not attacks.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

is_digest = re.compile("[0-9a-f]{32}").fullmatch
_BLOCK = 1 << 18  # bytes: few enough for the processor's cache, and other threads are asked for the interpreter seldom
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def of_bytes(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(data)


def of_text(text: str) -> str:
    """Digest of a text; names in it count as the bytes that they are, in whatever locale they were listed."""
    return of_bytes(text.encode(errors="surrogateescape"))


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return _encode(value)


def of_json(value: object) -> str:
    return of_text(canonical_json(value))


def of_file(path: Path | str) -> str:
    """Digest of the whole file, read in blocks."""
    state = xxhash.xxh3_128()
    for block in _blocks(path):
        state.update(block)
    return state.hexdigest()


class Sums(NamedTuple):
    """The digest of each of some files; SHA-256, as 64 hex digits, of their bytes joined in order, and of each file."""

    contents: tuple[str, ...]
    sha256: str
    sha256_each: tuple[str, ...]


def sums_of(files: Sequence[Path]) -> Sums:
    """All sums of some files, whose bytes are read once."""
    import hashlib  # it loads OpenSSL, which short commands do without

    joined, contents, each = hashlib.sha256(), [], []
    for path in files:
        content, one = xxhash.xxh3_128(), hashlib.sha256() if len(files) > 1 else joined
        states: set[Any] = {content, one, joined}
        for block in _blocks(path):
            for state in states:
                state.update(block)
        contents.append(content.hexdigest())
        each.append(one.hexdigest())
    return Sums(tuple(contents), joined.hexdigest(), tuple(each))


def sha256_of(path: Path) -> str:
    return sums_of([path]).sha256


def _blocks(path: Path | str) -> Iterator[memoryview]:
    """The bytes of a file, in blocks in the same memory: fresh memory for each costs as much as the digest."""
    with open(path, "rb", buffering=0) as file:
        room = memoryview(bytearray(min(os.fstat(file.fileno()).st_size + 1, _BLOCK)))
        while count := file.readinto(room):
            yield room[:count]
