"""Which actions are ready: those whose upstream, and all that they come after, have ended."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from daedalus.stagecache.action import Action


class Schedule:
    """Hands out ready actions in the order of the graph's list."""

    def __init__(self, actions: Sequence[Action], *, ahead: bool = False) -> None:
        """With `ahead`, those that can be computed `in_order` do not wait for those that they come after."""
        self._actions = actions
        self._index = {action.name: i for i, action in enumerate(actions)}
        self._needed_by: dict[str, list[str]] = {action.name: [] for action in actions}
        self._missing: dict[str, int] = {}
        self._before: dict[str, list[str]] = {action.name: [] for action in actions}
        for action in actions:
            needs = {name for name in (*action.reads, *action.guards) if name in self._index}
            after = {name for name in action.after if name in self._index} - needs
            waits = needs if ahead and action.in_order else needs | after
            self._missing[action.name] = len(waits)
            for name in waits:
                self._needed_by[name].append(action.name)
            for name in after - waits:
                self._before[name].append(action.name)
        self._ready = [self._index[name] for name, missing in self._missing.items() if not missing]
        heapq.heapify(self._ready)

    def __len__(self) -> int:
        """How many actions are ready now."""
        return len(self._ready)

    def pop(self) -> Action:
        return self._actions[heapq.heappop(self._ready)]

    def ended(self, name: str) -> None:
        """Notes that an action ended; actions that waited for nothing else become ready."""
        for above in self._needed_by[name]:
            self._missing[above] -= 1
            if not self._missing[above]:
                heapq.heappush(self._ready, self._index[above])

    def place(self, name: str) -> int:
        """The position of an action in the graph's list."""
        return self._index[name]

    def action(self, name: str) -> Action:
        return self._actions[self._index[name]]

    def below(self, name: str) -> list[str]:
        """The actions directly downstream of this one, or ordered after it."""
        return self._needed_by[name] + self._before[name]
