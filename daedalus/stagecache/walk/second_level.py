"""What a walk asks of a second level of the cache; the one here is none."""

from __future__ import annotations

from collections.abc import Sequence

from daedalus.stagecache.action import Action
from daedalus.stagecache.records.traces import Trace


class SecondLevel:
    """A second level that knows nothing."""

    def known(self, action: Action, key: str) -> Trace | None:
        """The trace that would answer, as far as it is known without asking anyone. Never waits."""
        return None

    def cached_answer(self, action: Action, key: str) -> Trace | None:
        """A `known` trace that can be taken as it is, with nothing to fetch now. Never waits."""
        return None

    def ask(self, action: Action, key: str) -> Trace | None:
        """The trace that answers, with whatever it needs in place. Called in a worker; may wait, never raises OSError
        for the level's own sake."""
        return None

    def share(self, action: Action, trace: Trace) -> None:
        """Offers what is kept here under a trace to others. Never waits."""

    def news(self) -> Sequence[str]:
        """Sentences for the person who waits, each once."""
        return ()
