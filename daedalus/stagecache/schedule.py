"""Which actions are ready: those whose upstream, and whatever they come after, has ended."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from daedalus.stagecache.action import Action


class Schedule:
    """Hands out ready actions in the order of the graph's list."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self._actions = actions
        self._index = {action.name: i for i, action in enumerate(actions)}
        self._needed_by: dict[str, list[str]] = {action.name: [] for action in actions}
        self._missing: dict[str, int] = {}
        for action in actions:
            needs = {name for name in (*action.upstream, *action.after, *action.guards) if name in self._index}
            self._missing[action.name] = len(needs)
            for name in needs:
                self._needed_by[name].append(action.name)
        self._ready: dict[int, list[int]] = {}  # by the cores that they keep busy, for `pop` to look at few
        for name, missing in self._missing.items():
            if not missing:
                self._push(name)

    def _push(self, name: str) -> None:
        index = self._index[name]
        heapq.heappush(self._ready.setdefault(self._actions[index].cores, []), index)

    def __bool__(self) -> bool:
        """Whether any action is ready now."""
        return any(self._ready.values())

    def pop(self, fits: Callable[[int], bool] = lambda cores: True) -> Action | None:
        """The first ready action whose cores fit; None when none does."""
        heaps = [heap for cores, heap in self._ready.items() if heap and fits(cores)]
        return self._actions[heapq.heappop(min(heaps))] if heaps else None

    def ended(self, name: str) -> None:
        """Makes ready what waited for this one alone."""
        for above in self._needed_by[name]:
            self._missing[above] -= 1
            if not self._missing[above]:
                self._push(above)

    def place(self, name: str) -> int:
        return self._index[name]

    def action(self, name: str) -> Action:
        return self._actions[self._index[name]]
