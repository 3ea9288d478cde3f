"""How far objects that only ever go forward had come when they were last seen.

A signature says who wrote an object, not when: an older one, put back, is as well signed. What was seen is a fact of
the local cache, so whoever has seen a state takes no state before it.
"""

from __future__ import annotations

from daedalus.stagecache.records.traces import Traces


class Seen:
    """What was seen of the objects of one shared cache."""

    def __init__(self, traces: Traces, uri: str) -> None:
        self._traces, self._uri = traces, uri

    def last(self, key: str) -> int:
        """How far an object had come; 0 when it was never seen."""
        return self._known(key)["at"]

    def problem(self, key: str, at: int, history: str = "") -> str:
        """Why a state cannot be the newest, or ""; `history` is the name of what it continues."""
        known = self._known(key)
        older = at < known["at"] if history == known["history"] else history in known["past"]
        return "older than what was seen" if older else ""

    def note(self, key: str, at: int, history: str = "") -> None:
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
