"""Runs in this process whose actions are computed `in_order`, as on a cluster."""

from __future__ import annotations

from daedalus.pipelines import run
from daedalus.stagecache.walk.in_turn import InTurn


def spread(monkeypatch) -> list[str]:
    """From now on; returns the names of the actions that are run, as they come."""
    began: list[str] = []

    class Noting(InTurn):
        def _part(self, one, action):
            began.append(action.name)
            return super()._part(one, action)

    monkeypatch.setattr(run, "_in_parts", lambda workspace, executor: Noting(executor, 0, workspace.store.drop))
    return began
