"""`daeda cache gc`: removes what is not needed from the local cache."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.durable import remove_folder
from daedalus.base.terminal_text import counted
from daedalus.upkeep.status import in_use_by_config
from daedalus.workspace.open_output import index_folder
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.upkeep import Collected


def cache_gc(
    settings: Settings, *, max_bytes: int | None = None, older_than_days: float | None = None, dry_run: bool = False
) -> Collected:
    """Removes artifacts, and their traces, that neither the config's range nor the last complete run needs; and the
    indexes of other outputs' sessions, which are made again where they are missing.

    With `max_bytes`, only until the cache is that small, the cheapest to rebuild per byte first. Waits for
    running processes, so that nothing they use is removed.
    """
    with opened(settings) as workspace, workspace.alone():
        keep = in_use_by_config(workspace)
        sizes = workspace.store.sizes()
        indexes = _other_indexes(workspace, older_than_days)
        total, freed = sum(sizes.values()) + sum(indexes.values()), 0
        removed: list[str] = []
        gone: list[Path] = []

        def is_small() -> bool:
            return max_bytes is not None and total - freed <= max_bytes

        for index, size in indexes.items():
            if not is_small():
                gone.append(index)
                freed += size
        for artifact in _candidates(workspace, sizes, keep, older_than_days):
            if is_small():
                break
            removed.append(artifact)
            freed += sizes[artifact]
        if not dry_run:
            _remove(workspace, removed)
            for index in gone:
                remove_folder(index)
    return {"freed_bytes": freed, "kept": len(sizes) - len(removed), "removed": len(removed), "dry_run": dry_run,
            "left_bytes": total - freed, "max_bytes": max_bytes}  # fmt: skip


def _other_indexes(workspace: Workspace, older_than_days: float | None) -> dict[Path, int]:
    """The folders of indexes of other outputs' sessions, with their bytes."""
    ours, before = index_folder(workspace.config), _before(older_than_days)
    found = {}
    for folder in sorted(ours.parent.glob("[0-9a-f]" * len(ours.name))):
        files = [path.stat() for path in folder.glob("*")]
        if folder != ours and all(before is None or file.st_mtime < before for file in files):
            found[folder] = sum(file.st_size for file in files)
    return found


def _before(older_than_days: float | None) -> float | None:
    """The moment, in seconds since 1970, before which something must have been made."""
    return None if older_than_days is None else time.time() - older_than_days * 86400


def _candidates(
    workspace: Workspace, sizes: Mapping[str, int], keep: set[str], older_than_days: float | None
) -> list[str]:
    """Artifacts that may be removed, the cheapest to rebuild per byte first."""
    seconds: dict[str, float] = {}
    for trace in workspace.traces.all():
        seconds[trace.artifact] = max(trace.seconds, seconds.get(trace.artifact, 0))
    before, found = _before(older_than_days), []
    for artifact, path in workspace.store.artifacts():
        if artifact not in keep and (before is None or path.stat().st_mtime < before):
            found.append(artifact)
    return sorted(found, key=lambda artifact: (seconds.get(artifact, 0) / max(sizes[artifact], 1), artifact))


def _remove(workspace: Workspace, artifacts: list[str]) -> None:
    gone = set(artifacts)
    for artifact in artifacts:
        workspace.store.path("", artifact).unlink()
    workspace.traces.drop(t.key for t in workspace.traces.all() if t.artifact in gone)
    for damaged in workspace.store.damaged():  # set aside for people to look at; no longer needed
        with contextlib.suppress(OSError):
            damaged.unlink()


def gc_lines(found: Collected) -> list[str]:
    size, removed, kept = f"{found['freed_bytes'] / 2**20:,.1f} MiB", found["removed"], found["kept"]
    lines = [f"{size} freed: {counted(removed, 'artifact')} removed, {kept:,} kept"]
    if found["dry_run"]:
        lines = [f"{size} would be freed: {counted(removed, 'artifact')} would be removed, {kept:,} kept"]
    if found["max_bytes"] is not None and found["left_bytes"] > found["max_bytes"]:
        left = f"{found['left_bytes'] / 2**20:,.1f} MiB"
        lines.append(f"{left} left, more than --max-bytes: needed by the config or the last complete run, or too new")
    return lines
