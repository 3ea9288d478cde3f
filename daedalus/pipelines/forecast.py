"""What a run is expected to take, for what watches it; where nothing is recorded, by a guess from the feed's rows."""

from __future__ import annotations

from collections.abc import Mapping

from daedalus.config.steps import ENRICHED, PARTITION
from daedalus.inputs.feed import Feed
from daedalus.stagecache.action import Action
from daedalus.stagecache.action_name import kind_of
from daedalus.stagecache.walk.forecast import Forecast, forecast_walk
from daedalus.stagecache.walk.outcome import HIT
from daedalus.workspace.graph import Graph
from daedalus.workspace.workspace import Workspace

# Seconds of an action, and more seconds for a million feed rows of its day: measured on two cores of 2020.
_GUESSES = {
    "pool": (0.9, 0.0), "view": (0.05, 0.0), "published": (0.02, 0.0),
    "spine": (0.014, 2.6), "coverage": (0.003, 0.15), "event_values": (0.004, 0.2), "history": (0.005, 0.6),
    "sessions": (0.005, 1.0), "attributes": (0.01, 2.0), "row_keys": (0.004, 0.6), "rolling": (0.006, 1.2),
    "recent_published": (0.005, 0.5),
    "content": (0.004, 0.4), "qids": (0.02, 0.9), PARTITION: (0.02, 4.0),
    "fragment": (0.2, 0.0), "pool_vectors": (0.1, 0.0), "pool_places": (0.05, 0.0),
    "vectors": (0.03, 1.5), "means": (0.02, 3.0), ENRICHED: (0.02, 3.0),
}  # fmt: skip
_UNKNOWN = (0.05, 2.0)  # of a step that is not in the table


def forecast(workspace: Workspace, graph: Graph, *, force: bool, here: bool) -> Forecast:
    """The forecast of the walk over a graph; `here` says that actions run on this machine's workers."""
    rows = _feed_rows(graph.feed)
    usual = sum(rows.values()) / max(len(rows), 1)

    def guess(action: Action) -> float:
        seconds, more = _GUESSES.get(action.step, _UNKNOWN)
        return seconds + more * rows.get(action.day or "", usual) / 1e6

    dearest = workspace.traces.dearest(PARTITION)

    def least(action: Action, states: Mapping[str, str]) -> float:
        """A partition of other rows is cut as a whole, whatever its last run took over from the one before."""
        other_rows = action.step == PARTITION and any(states[name] != HIT for name in _rows_of(action))
        return dearest.get(action.name, 0.0) if other_rows else 0.0

    return forecast_walk(graph.actions, workspace.traces, guess, least, workers=workspace.workers if here else 0,
                         force=force, level=workspace.shared)  # fmt: skip


def _rows_of(action: Action) -> list[str]:
    """The actions that say which rows a partition has."""
    return [name for name in action.upstream if kind_of(name) in ("sessions", "content")]


def _feed_rows(feed: Feed) -> Mapping[str, int]:
    """Rows of each partition looked at."""
    return {str(day): sum(file.rows for file in files) for day, files in feed.partitions.items()}
