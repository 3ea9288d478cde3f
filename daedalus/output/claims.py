"""What snapshots of an output on an object store hold on to: objects that nothing may delete.

A snapshot begins as a claim: `_snapshots/NAME/_snapshot.json` with the keys of all its objects. Nothing that a claim
names is deleted, as long as both sides keep to an order. Who makes a snapshot

1. reads the manifests of its days, and the state of the qid map;
2. puts the claim;
3. reads the manifests and the state again. What they name now as before is held; what changed is claimed anew,
   and read again. Only when nothing changed the claim becomes a snapshot (WHOLE), by compare-and-swap.

Who deletes replaces the manifest first, so that it does not name the objects any more; then reads all claims; then
deletes what none of them names. Names of objects are never used again, so one that a manifest does not name at one
moment is not named at any later one. If step 3 found an object named, its manifest was replaced after that, hence
after step 2, and whoever replaced it sees the claim.

The store must show what was put to whoever asks later, as S3, Google and Azure do. What remains: a process that dies
between 2 and 3 leaves a claim that holds its objects for a day; then the next run that deletes withdraws it, by
compare-and-swap, so that one which is only slow fails instead of becoming a snapshot with holes. Claims are never
deleted, only replaced, since stores cannot delete on condition: of a removed snapshot a few bytes stay. A claim that
cannot be read stops all deleting.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from daedalus.base.durable import SNAPSHOTS
from daedalus.base.errors import DaedalusError
from daedalus.objectstore.object_store import Conflict, Object

RECORD = "_snapshot.json"  # which each snapshot has
MAKING, WHOLE, REMOVING, REMOVED = "making", "whole", "removing", "removed"  # the state of a claim
_CLAIM = re.compile(rf"{SNAPSHOTS}/([^/]+)/{re.escape(RECORD)}")
_ABANDONED = 86_400  # seconds after which a claim that is no snapshot yet is from a process that died


class Output(Protocol):
    """What of remote_output.py is needed here."""

    def now(self, prefix: str) -> list[Object]: ...

    def key(self, found: Object) -> str: ...

    def json_of(self, found: Object) -> tuple[dict, str] | None: ...

    def swap_json(self, key: str, value: dict, replaces: str | None) -> str: ...


def claim_key(name: str) -> str:
    return f"{SNAPSHOTS}/{name}/{RECORD}"


def claims(output: Output) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, value) of every claim as it is now; those of processes that died long ago are withdrawn first.

    Raises DaedalusError for one that cannot be read.
    """
    for found in output.now(f"{SNAPSHOTS}/"):
        key = output.key(found)
        if not (match := _CLAIM.fullmatch(key)) or (read := output.json_of(found)) is None:
            continue
        value, etag = read
        if "state" not in value:
            raise DaedalusError("the record of a snapshot cannot be read", where=found.uri, found="not complete JSON",
                                expected="what daeda wrote")  # fmt: skip
        if value["state"] == MAKING and found.modified < time.time() - _ABANDONED:
            with suppress(Conflict):  # it was not that dead
                output.swap_json(key, {"state": REMOVED}, etag)
                continue
        yield match[1], value


def keys_of(claim: Mapping[str, Any]) -> set[str]:
    """The objects that a claim holds."""
    parts = {f"dt={day}/{part['key']}" for day, one in claim.get("manifests", {}).items() for part in one["parts"]}
    return {*parts, *claim.get("files", {}).values()}


def unclaimed(output: Output, keys: Iterable[str], but: str = "") -> list[str]:
    """Those of the keys that no snapshot, but for the one of that name, holds. Raises DaedalusError."""
    held = [keys_of(claim) for name, claim in claims(output) if name != but and claim["state"] in (MAKING, WHOLE)]
    return [key for key in keys if not any(key in some for some in held)]
