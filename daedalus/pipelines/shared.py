"""The shared cache of a config: how it is opened, and what may go from it."""

from __future__ import annotations

import os
from pathlib import Path

from daedalus.config import RUNTIME, Config
from daedalus.errors import DaedalusError
from daedalus.sharing.cache import SharedCache
from daedalus.sharing.record import Signer
from daedalus.sharing.remote import RemoteCache
from daedalus.skeleton.publish import Partitions
from daedalus.stagecache.store import Store
from daedalus.stagecache.trace import Traces

KEY = "DAEDA_CACHE_KEY"
_SHORTEST = 16  # bytes of a key


def open_shared(config: Config, store: Store, traces: Traces, partitions: Partitions) -> SharedCache:
    """The second level behind a local cache; asks nothing of it yet. Raises DaedalusError for a bad key."""
    runtime = config.runtime
    mode, uri = runtime.cache_remote_mode, str(runtime.cache_remote)
    signer = Signer(_key(config))
    remote = RemoteCache(uri, runtime.object_store, signer, reads="read" in mode, writes="write" in mode)
    return SharedCache(remote, store, traces, [partitions])


def _key(config: Config) -> bytes | None:
    """The key that traces are signed with: the environment's, or the config's file; None: they are not signed."""
    where, text = f"the environment variable {KEY}", os.environ.get(KEY)
    if text is None and (file := config.runtime.cache_remote_key_file):
        where = config.where(RUNTIME, "cache_remote_key_file")
        try:
            text = Path(file).read_text()
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
