"""`daeda cache gc --remote`: removes what is not needed from a shared cache.

It keeps what the given configs need (the traces and artifacts that a run of their ranges would hit), the
histories of qid maps, and what is recent: another process may be adding it. Traces are deleted before the
artifacts that they name, so that no trace names a missing artifact.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from daedalus.base import digest
from daedalus.base.errors import DaedalusError, bare
from daedalus.config import Config
from daedalus.objectstore.object_store import Object
from daedalus.sharing.bucket import CacheBucket, artifact_key, stem, trace_key
from daedalus.sharing.record import read_record
from daedalus.stagecache.action import Action
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk.plan import make_plan
from daedalus.stagecache.walk.second_level import SecondLevel
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.upkeep import SharedCollected

_THREADS = 32
_YOUNG_DAYS = 1.0  # unless --older-than says otherwise


def shared_gc(
    settings: Settings, also: Sequence[str], *, older_than_days: float | None = None, dry_run: bool = False
) -> SharedCollected:
    """Removes what no config of `settings` and of the folders `also` needs, if it is older than some days.

    Raises DaedalusError when there is no shared cache, when it may only be read, or when it does not answer.
    """
    main = settings.applied()
    runtime = main.runtime
    _check(main)

    def with_same_caches(config: Config) -> Config:
        """Another config, with the cache settings of `settings`."""
        same = {k: getattr(runtime, k) for k in ("cache_root", "cache_remote", "cache_remote_mode", "object_store")}
        same["cache_remote_key_file"] = runtime.cache_remote_key_file
        return dataclasses.replace(config, runtime=msgspec.structs.replace(config.runtime, **same))

    oldest = time.time() - (_YOUNG_DAYS if older_than_days is None else older_than_days) * 86400
    try:
        with opened(settings) as workspace:
            assert workspace.shared is not None
            remote = workspace.shared.remote
            content = _Content(remote)
            needed = _needed(workspace, content)
            for folder in also:
                with opened(dataclasses.replace(settings, config=folder, output_root=None), with_same_caches) as other:
                    needed |= _needed(other, content)
            return _sweep(remote, content, needed, oldest, dry_run)
    except OSError as error:
        raise DaedalusError(
            "the shared cache does not answer", where=str(runtime.cache_remote), found=error.strerror or error
        ) from None


def _check(config: Config) -> None:
    runtime, where = config.runtime, "daeda cache gc --remote"
    if not runtime.cache_remote:
        raise DaedalusError("there is no shared cache", where=where, expected="cache_remote in runtime.yaml")
    if runtime.cache_remote_mode == "read":
        raise DaedalusError("the shared cache is read-only", where=where, found="cache_remote_mode: read",
                            expected="write or read-write")  # fmt: skip


def _named(objects: Iterable[Object], suffix: str) -> dict[str, Object]:
    """Objects by the digest or key in their names; objects with other names are not ours."""
    return {stem(one): one for one in objects if digest.is_digest(stem(one)) and one.uri.endswith(stem(one) + suffix)}


class _Content(SecondLevel):
    """The content of a shared cache. As a second level it knows every trace, without its manifest."""

    def __init__(self, remote: CacheBucket) -> None:
        """Reads every trace once. Raises OSError."""
        self._remote = remote
        self.artifacts = _named(remote.objects("artifacts/"), ".parquet")
        self.traces = _named(remote.objects("traces/"), ".json")
        self._known: dict[str, tuple[Trace, frozenset[str]]] = {}
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="daeda-gc") as pool:
            for key, value in zip(self.traces, pool.map(self._read, self.traces), strict=True):
                if value is not None:
                    self._known[key] = value

    def _read(self, key: str) -> tuple[Trace, frozenset[str]] | None:
        """A trace and the digests of its parts; None if it is missing, wrongly signed or invalid."""
        found = self._remote.get(trace_key(key))
        if found is None or not self._remote.believed(trace_key(key), found[0]):
            return None
        try:
            record = read_record(found[0])
        except ValueError:
            return None
        if record.problem(key, record.name):
            return None
        parts = frozenset(part.digest for part in record.parts.values())
        return msgspec.structs.replace(record.trace(), manifest={}), parts

    def known(self, action: Action, key: str) -> Trace | None:
        found = self._known.get(key)
        return found[0] if found and found[0].name == action.name and found[1] <= self.artifacts.keys() else None

    def parts(self, keys: Iterable[str]) -> set[str]:
        """The artifacts that traces name."""
        return {part for key in keys if key in self._known for part in self._known[key][1]}

    def maps(self) -> set[str]:
        """The artifacts of all qid map histories. Raises OSError for a history that cannot be read."""
        found: set[str] = set()
        for history in self._remote.objects("qid_maps/"):
            value = self._remote.get(f"qid_maps/{history.uri.rpartition('/')[2]}")
            if value is None:
                raise OSError(0, "the history of a qid map cannot be read", history.uri)
            found |= {str(piece["digest"]) for piece in value[0].get("pieces", [])}
        return found


def _needed(workspace: Workspace, content: _Content) -> set[str]:
    """Keys that a run of the config's range would hit, with the qids of this machine or with the shared ones."""
    from daedalus.workspace.graph import build_graph

    graph = build_graph(workspace, list(workspace.config.range(None)), reconcile=False)
    found: set[str] = set()
    for lineage in {workspace.qids.current, workspace.qids.offered()}:
        workspace.qids.current = lineage
        for verdict in make_plan(graph.actions, workspace.traces, level=content):
            found |= {verdict.key, verdict.trace.key if verdict.trace else ""}
    return found


def _sweep(remote: CacheBucket, content: _Content, needed: set[str], oldest: float, dry_run: bool) -> SharedCollected:
    """Deletes old traces, then old artifacts, that are not needed; returns the counts."""
    old = {key for key, found in content.traces.items() if key not in needed and found.modified < oldest}
    keep = content.parts(content.traces.keys() - old) | content.maps()
    gone = {name: found for name, found in content.artifacts.items() if name not in keep and found.modified < oldest}
    if not dry_run:
        remote.delete([trace_key(key) for key in sorted(old)])
        remote.delete([artifact_key(name) for name in sorted(gone)])
    return {
        "uri": bare(remote.uri), "freed_bytes": sum(found.size for found in gone.values()),
        "kept": len(content.artifacts) - len(gone), "removed": len(gone),
        "traces_kept": len(content.traces) - len(old), "traces_removed": len(old), "dry_run": dry_run,
    }  # fmt: skip


def shared_gc_lines(found: SharedCollected) -> list[str]:
    size, would = f"{found['freed_bytes'] / 2**20:,.1f} MiB", "would be " if found["dry_run"] else ""
    return [
        f"{size} {would}freed in {found['uri']}",
        f"{found['removed']:,} artifacts and {found['traces_removed']:,} traces {would}removed; "
        f"{found['kept']:,} and {found['traces_kept']:,} kept",
    ]
