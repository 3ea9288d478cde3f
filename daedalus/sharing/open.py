"""Opens the shared cache of a config, and shares what is known of inputs through it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daedalus.base import digest
from daedalus.base.errors import DaedalusError
from daedalus.base.retry import retried
from daedalus.config import RUNTIME, Config
from daedalus.objectstore.object_store import Conflict
from daedalus.output.partitions import Partitions
from daedalus.sharing.bucket import CacheBucket
from daedalus.sharing.record import Signer
from daedalus.sharing.shared_cache import SharedCache
from daedalus.stagecache.records.artifact_store import ArtifactStore
from daedalus.stagecache.records.traces import Traces

KEY = "DAEDA_CACHE_KEY"
_SHORTEST = 16  # bytes of a key
_PAUSES = (0.0, 0.1, 0.2, 0.4)  # seconds before notes on inputs are written again, after another writer came between
_MOST_SEQUENCE = 1 << 53


def open_shared(config: Config, store: ArtifactStore, traces: Traces, folders: Sequence[Partitions]) -> SharedCache:
    """The second level behind a local cache; makes no request yet. Raises DaedalusError for a bad key.

    `folders` are shelves of partitions that are shared too: those of outputs on this machine.
    """
    runtime = config.runtime
    mode, uri = runtime.cache_remote_mode, str(runtime.cache_remote)
    signer = Signer(_key(config))
    remote = CacheBucket(uri, runtime.object_store, signer, reads="read" in mode, writes="write" in mode)
    return SharedCache(remote, store, traces, folders)


@dataclass(frozen=True)
class InputNotes:
    """What is known of inputs that are costly to read, such as objects: {address: {stamp, digest, …}}.

    `export()` returns all that is known here; `take(notes)` adds what other machines know.
    """

    export: Callable[[], Mapping[str, Any]]
    take: Callable[[Mapping[str, Any]], None]


def take_inputs(shared: SharedCache, feed: str, notes: InputNotes) -> None:
    """Reads what other machines know of inputs, before they are looked at; ignored if unsigned or outdated."""
    remote, key = shared.remote, _inputs_key(feed)
    with suppress(OSError):
        found = remote.get(key) if remote.reads else None
        if not found or not remote.believed(key, found[0]) or not isinstance(found[0].get("inputs"), dict):
            return
        sequence = _sequence(found[0])
        if not sequence or shared.seen.problem(key, sequence):
            return
        shared.seen.note(key, sequence)
        notes.take(found[0]["inputs"])


def offer_inputs(shared: SharedCache, feed: str, notes: InputNotes) -> None:
    """Writes what is known of inputs, after a run. The last writer wins; it is only a hint that saves reading."""
    key, known = _inputs_key(feed), dict(notes.export())
    if shared.remote.writes:
        with suppress(OSError):
            retried(lambda: _replace_inputs(shared, key, known), on=_is_overtaken, pauses=_PAUSES)


def _replace_inputs(shared: SharedCache, key: str, known: Mapping[str, Any]) -> None:
    """Writes notes with the next number after those in the bucket, if no other writer comes between. Raises OSError."""
    remote = shared.remote
    found = remote.get(key)  # also in mode `write`: a number that is there already is no news to who reads
    there = _sequence(found[0]) if found and not remote.signer.problem(key, found[0]) else 0
    sequence = max(there, shared.seen.last(key)) + 1
    value = remote.signer.sign(key, {"kind": "inputs", "sequence": sequence, "inputs": known})
    create = found is None and key not in remote.wrong
    remote.put(key, value, create=create, replaces=found[1].etag if found else None)
    shared.seen.note(key, sequence)


def _is_overtaken(error: Exception) -> bool:
    return isinstance(error, Conflict | FileExistsError)


def _sequence(value: Mapping[str, Any]) -> int:
    """The number of notes on inputs, from 1; 0 if they have none."""
    sequence = value.get("sequence")
    return sequence if isinstance(sequence, int) and 0 < sequence < _MOST_SEQUENCE else 0


def _inputs_key(feed: str) -> str:
    return f"inputs/{digest.of_text(feed)}.json"  # a digest, since a path may contain anything


def reachable(shared: SharedCache) -> bool:
    """Whether the store answers; makes one request."""
    try:
        shared.remote.get("none")
    except OSError:
        return False
    return True


def _key(config: Config) -> bytes | None:
    """The key that traces are signed with, from the environment or the config's key file; None: no signatures."""
    where, text = f"the environment variable {KEY}", os.environ.get(KEY)
    if text is None and (file := config.runtime.cache_remote_key_file):
        where = config.where(RUNTIME, "cache_remote_key_file")
        try:
            text = Path(file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            found = getattr(error, "strerror", None) or "no text"
            raise DaedalusError(
                "the shared cache's key cannot be read", where=where, found=f"{file}: {found}"
            ) from None
    if text is None:
        return None
    key = text.strip().encode()
    if len(key) < _SHORTEST:
        raise DaedalusError("a key that is too short", where=where, found=f"{len(key)} bytes",
                            expected=f"at least {_SHORTEST}")  # fmt: skip
    return key
