"""The interface of a second level of the cache, as a null object."""

from __future__ import annotations

from collections.abc import Sequence

from daedalus.stagecache.action import Action
from daedalus.stagecache.records.traces import Trace


class SecondLevel:
    """A second level of the cache that has nothing; sharing/shared_cache.py has a real one."""

    def known(self, action: Action, key: str) -> Trace | None:
        """The trace that answers, if it is known without a request. Using it may need a download. Never blocks."""
        return None

    def cached_answer(self, action: Action, key: str) -> Trace | None:
        """A `known` trace that can be used now, with nothing to download first. Never blocks."""
        return None

    def ask(self, action: Action, key: str) -> Trace | None:
        """The trace that answers, with all that it needs downloaded. Called in a worker; may block. Failures of the
        level itself never raise OSError."""
        return None

    def share(self, action: Action, trace: Trace) -> None:
        """Offers a local trace and its artifact to others. Never blocks."""

    def news(self) -> Sequence[str]:
        """New sentences for the user."""
        return ()
