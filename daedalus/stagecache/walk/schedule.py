"""Which actions are ready: those whose upstream, and all that they come after, have ended."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from math import frexp

from daedalus.stagecache.action import Action


def urgency(chain: float) -> int:
    """How early an action should run that a chain of so many seconds begins with; more is earlier.

    A chain counts as longer if it is twice as long. So equal steps of many days, which never take quite the same,
    stay in the order of the graph, and days are completed one after the other.
    """
    return frexp(chain)[1]


class Schedule:
    """Hands out ready actions in the order of the graph's list; with `chains`, those of long chains first."""

    def __init__(
        self, actions: Sequence[Action], chains: Mapping[str, float] | None = None, *, ahead: bool = False
    ) -> None:
        """`chains` are the seconds of the longest chain of actions from each on. With `ahead`, those that can be
        computed `in_order` do not wait for those that they come after."""
        self._actions = actions
        self._rank = [-urgency(chains.get(action.name, 0.0)) if chains else 0 for action in actions]
        self._index = {action.name: i for i, action in enumerate(actions)}
        self._needed_by: dict[str, list[str]] = {action.name: [] for action in actions}
        self._readers = Counter(name for action in actions for name in set(action.reads))  # that have not ended
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
        self._ready = [self._turn(name) for name, missing in self._missing.items() if not missing]
        heapq.heapify(self._ready)

    def __len__(self) -> int:
        """How many actions are ready now."""
        return len(self._ready)

    def pop(self) -> Action:
        return self._actions[heapq.heappop(self._ready)[1]]

    def _turn(self, name: str) -> tuple[int, int]:
        index = self._index[name]
        return self._rank[index], index

    def ended(self, name: str) -> list[str]:
        """Notes that an action ended; actions that waited for nothing else become ready. Returns the actions above it
        that no other reads any more."""
        for above in self._needed_by[name]:
            self._missing[above] -= 1
            if not self._missing[above]:
                heapq.heappush(self._ready, self._turn(above))
        read = {above for above in self.action(name).reads if above in self._index}
        self._readers.subtract(read)
        return [above for above in read if not self._readers[above]]

    def place(self, name: str) -> int:
        """The position of an action in the graph's list."""
        return self._index[name]

    def action(self, name: str) -> Action:
        return self._actions[self._index[name]]

    def below(self, name: str) -> list[str]:
        """The actions directly downstream of this one, or ordered after it."""
        return self._needed_by[name] + self._before[name]
