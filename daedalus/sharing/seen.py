"""Remembers the newest version seen of objects whose versions only increase, to detect replayed ones.

A signature says who wrote an object, not when: an older one that is put back still has a valid signature. What was
seen is stored in the local cache, so a machine that has seen a version accepts none before it.
"""

from __future__ import annotations

from daedalus.stagecache.records.traces import Traces


class Seen:
    """The newest versions seen of the objects of one shared cache."""

    def __init__(self, traces: Traces, uri: str) -> None:
        self._traces, self._uri = traces, uri

    def last(self, key: str) -> int:
        """The newest version seen of an object; 0 when it was never seen."""
        return self._known(key)["at"]

    def problem(self, key: str, at: int, history: str = "") -> str:
        """Why version `at` cannot be the newest, or ""; `history` names the sequence that it belongs to."""
        known = self._known(key)
        older = at < known["at"] if history == known["history"] else history in known["past"]
        return "older than what was seen" if older else ""

    def note(self, key: str, at: int, history: str = "") -> None:
        """Records a version as the newest; a change of `history` rules out the one before."""
        known = self._known(key)
        if history != known["history"] and known["history"]:
            known = {"past": [*known["past"], known["history"]]}
        elif at == known["at"] and history == known["history"]:
            return
        self._traces.remember_fact(self._fact(key), {**known, "history": history, "at": at})

    def _fact(self, key: str) -> str:
        return f"seen:{self._uri} {key}"  # a URI has no space

    def _known(self, key: str) -> dict:
        known = self._traces.fact(self._fact(key))
        return {"at": 0, "history": "", "past": [], **(known if isinstance(known, dict) else {})}
