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
from daedalus.config import RUNTIME, Config
from daedalus.output.partitions import Partitions
from daedalus.sharing.bucket import CacheBucket
from daedalus.sharing.record import Signer
from daedalus.sharing.shared_cache import SharedCache
from daedalus.stagecache.records.artifact_store import ArtifactStore
from daedalus.stagecache.records.traces import Traces

KEY = "DAEDA_CACHE_KEY"
_SHORTEST = 16  # bytes of a key


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
        sequence = found[0].get("sequence")
        if not isinstance(sequence, int) or shared.seen.problem(key, sequence):
            remote.reject(key, "older than what was seen")
            return
        shared.seen.note(key, sequence)
        notes.take(found[0]["inputs"])


def offer_inputs(shared: SharedCache, feed: str, notes: InputNotes) -> None:
    """Writes what is known of inputs, after a run. The last writer wins; it is only a hint that saves reading."""
    remote, key = shared.remote, _inputs_key(feed)
    if remote.writes:
        sequence = shared.seen.last(key) + 1
        value = remote.signer.sign(key, {"kind": "inputs", "sequence": sequence, "inputs": dict(notes.export())})
        with suppress(OSError):
            remote.put(key, value)
            shared.seen.note(key, sequence)


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
