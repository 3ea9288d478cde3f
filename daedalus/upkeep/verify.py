"""`daeda cache verify`: checks artifacts against their digests, and whether steps reproduce them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from daedalus.base.errors import DaedalusError
from daedalus.base.terminal_text import counted
from daedalus.explain.value_differences import how_they_differ
from daedalus.stagecache.walk.plan import HIT, make_plan
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.upkeep import NotTheSame, Verified, VerifiedSnapshots


def cache_verify(settings: Settings, recompute: int = 0) -> Verified:
    """Reads every artifact and sets damaged ones aside; the next run recomputes them.

    With `recompute`, runs that many cached steps again and compares the bytes: a step that differs is not
    deterministic, or reads something that its manifest does not name.
    """
    with opened(settings) as workspace:
        corrupt, checked = [], 0
        for artifact, path in workspace.store.artifacts():
            checked += 1
            if workspace.store.reread(path) != artifact:
                workspace.store.set_aside(artifact)
                corrupt.append(str(path))
        found: Verified = {
            "run": settings.run(workspace.config),
            "checked": checked,
            "corrupt": corrupt,
            "repaired": len(corrupt),
        }
        snapshots = _verify_snapshots(workspace)
        if snapshots["checked"]:
            found["snapshots"] = snapshots
        if recompute:
            found["recomputed"], found["differing"] = _recompute(workspace, recompute)
    return found


def _verify_snapshots(workspace: Workspace) -> VerifiedSnapshots:
    """Reads all that snapshots hold; what an object store says did not change since its upload is not read."""
    from daedalus.snapshots.commands import snapshot_homes

    found: VerifiedSnapshots = {"checked": 0, "damaged": {}}
    for home in snapshot_homes(workspace).values():
        try:
            names = home.names()
        except DaedalusError as error:  # of an object store, where one record stops all
            found["checked"] += 1
            found["damaged"][error.where.split("/")[-2]] = [error.where]
            continue
        for name in names:
            found["checked"] += 1
            try:
                damaged = home.damaged(home.read(name))
            except DaedalusError as error:  # its record is what is damaged
                damaged = [error.where]
            if damaged:
                found["damaged"][name] = damaged
    return found


def _recompute(workspace: Workspace, count: int) -> tuple[int, list[NotTheSame]]:
    """Runs a sample of the config's hits again: (how many, what differs)."""
    from daedalus.workspace.graph import build_graph

    graph = build_graph(workspace, list(workspace.config.range(None)), reconcile=False)
    verdicts = {v.action.name: v for v in make_plan(graph.actions, workspace.traces)}
    hits = [
        v for v in verdicts.values() if v.state == HIT and v.action.shelf is workspace.shelf and v.action.step != "qids"
        and all(verdicts[name].state == HIT for name in v.action.beside)
    ]  # fmt: skip
    chosen = random.Random(0).sample(hits, min(count, len(hits)))
    differing: list[NotTheSame] = []
    for verdict in chosen:
        action, trace = verdict.action, verdict.trace
        assert trace is not None
        paths = {}
        for name in action.reads:
            above = verdicts[name]
            assert above.trace is not None
            paths[name] = above.action.shelf.path(name, above.trace.artifact)
        made = workspace.store.stage(action.name)
        action.run(paths, made)
        kept = workspace.shelf.path(action.name, trace.artifact)
        if workspace.store.reread(made) != trace.artifact:
            differing += [{"step": action.name, "column": one["column"], "how": one["how"]}
                          for one in how_they_differ(kept, made)]  # fmt: skip
    return len(chosen), differing


def verify_lines(found: Verified) -> list[str]:
    lines = [f"{found['checked']:,} artifacts read, {len(found['corrupt'])} damaged"]
    lines += [f"  set aside: {path}" for path in found["corrupt"]]
    if found["corrupt"]:
        lines.append(f"the next run recomputes them: {found['run']}")
    if "snapshots" in found:
        damaged = found["snapshots"]["damaged"]
        lines.append(f"{counted(found['snapshots']['checked'], 'snapshot')} read, {len(damaged)} damaged")
        for name, files in damaged.items():
            lines += [f"  {name}: {path}" for path in files]
            lines.append(f"    no run makes it good: restore these files from a copy, or: daeda snapshot remove {name}")
    if "recomputed" in found:
        lines.append(f"{found['recomputed']} steps run again, {len(found['differing'])} columns differ")
        lines += [f"  {row['step']}: {row['column']} ({row['how']})" for row in found["differing"]]
    return lines
