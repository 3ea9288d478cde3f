"""`_dataset.json` beside a stage's partitions: what a trainer needs to build its inputs without opening a file.

    {"range": [first, last], "digest", "columns": [{"name", "type", "nullable", "source", "meaning"}],
     "partitions": {day: {"rows", "bytes", "digest", "compile", "parts": [{"name", "rows", "bytes", "digest"}]}}}

Digests are SHA-256, a partition's that of its parts' bytes joined in order. `digest` and `columns` are those of the
configuration that ran last; `compile` is the digest that a partition was published with, null where nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from daedalus.base.days import DayRange
from daedalus.base.durable import DATASET
from daedalus.compile.document import columns_of
from daedalus.config.steps import SKELETON
from daedalus.output.part_file import PartitionSum, PartSum
from daedalus.output.partition_home import PartitionHome

_AT_ONCE = 2  # partitions whose bytes are read


def keep_dataset(
    home: PartitionHome, document: Mapping[str, Any], span: DayRange, given: Collection[str],
    stage: str = SKELETON.name,
) -> bool:  # fmt: skip
    """Brings `_dataset.json` in line with the partitions that lie there now; whether it had to be replaced.

    `document` is that of the run over `span`. `given` are the days whose partitions its configuration gives as they
    lie there: where nothing is noted of one, it counts as published with it. Partitions are read only where they were
    published by this run, where nothing is noted of them, and where they have changed since.
    """

    def change(before: bytes | None, since: int) -> bytes | None:
        old = parsed(before)
        partitions = _partitions(home, old.get("partitions", {}), since, document["digest"], given)
        days = [*partitions, str(span.first), str(span.last)]
        new = {
            "range": [min(days), max(days)],
            "digest": document["digest"],
            "columns": columns_of(document, stage),
            "partitions": partitions,
        }
        if all(old.get(key) == new[key] for key in new if key != "range"):
            return None
        return _written(new)

    return home.edit(DATASET, change)


def entry_of(found: PartitionSum, noted: Any) -> dict:
    """The entry of a partition; `noted` is what `_dataset.json` says of that day."""
    return _entry(found, noted.get("compile") if found == noted_sum(noted) else None)


def described(before: bytes | None, span: Sequence[str], entries: Mapping[str, dict]) -> bytes | None:
    """`_dataset.json` of some partitions alone, a range with their entries; None where `before` does not say enough."""
    old = parsed(before)
    if not {"digest", "columns"} <= old.keys():
        return None
    return _written({"range": [*span], "digest": old["digest"], "columns": old["columns"], "partitions": entries})


def _written(found: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(found, indent=1)}\n".encode()


def _partitions(
    home: PartitionHome, noted: Mapping[str, Any], since: int, digest: str, given: Collection[str]
) -> dict[str, dict]:
    """The entries of all partitions, days ascending."""
    known = {day: found for day, entry in noted.items() if (found := noted_sum(entry))}
    days = home.days()

    def summed(day: str) -> PartitionSum | None:
        return home.summed(day, None if day in home.written else known.get(day), since)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sums = dict(zip(days, pool.map(summed, days), strict=True))
    entries = {}
    for day, found in sums.items():
        if found is None:
            continue
        published = digest if day in given or day in home.written else None
        if day not in home.written and found == known.get(day):
            published = noted[day].get("compile") or published
        entries[day] = _entry(found, published)
    return entries


def _entry(found: PartitionSum, published: str | None) -> dict:
    parts = [asdict(part) for part in found.parts]
    totals = {key: sum(part[key] for part in parts) for key in ("rows", "bytes")}
    return {**totals, "digest": found.digest, "compile": published, "parts": parts}


def noted_sum(entry: Any) -> PartitionSum | None:
    """What an entry says of its partition; None for one that is damaged."""
    try:
        return PartitionSum(entry["digest"], tuple(PartSum(**part) for part in entry["parts"]))
    except (TypeError, KeyError):
        return None


def parsed(data: bytes | None) -> dict[str, Any]:
    """The file's content; nothing for one that is damaged."""
    try:
        found = json.loads(data or b"{}")
    except ValueError:
        return {}
    good = isinstance(found, dict) and isinstance(found.get("partitions", {}), dict)
    return found if good else {}
