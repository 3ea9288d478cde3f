"""The part files of a snapshot, for who reads them: found in output roots, without a cache or a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from daedalus.base.days import DayRange
from daedalus.base.durable import SNAPSHOTS
from daedalus.base.errors import DaedalusError
from daedalus.objectstore.object_store import ObjectStore, is_uri, variables
from daedalus.objectstore.part_list import PartList, read_json
from daedalus.output.claims import RECORD, WHOLE, claim_key
from daedalus.snapshots.record import Snapshot, check_name, days_in, names_in, read_record, unknown


def snapshot_parts(
    homes: Sequence[tuple[str, Mapping[str, Any]]], name: str, span: DayRange | None, where: str
) -> tuple[list[str], Mapping[str, Any]]:
    """Paths or URIs of the parts of a range, in order, and how to reach them; `homes` are output roots with options.

    Raises DaedalusError for a snapshot that no root has, and for a range of which it has no day.
    """
    check_name(name, where)
    for root, options in homes:
        record = _record(root, options, name)
        if record is None:
            continue
        days = days_in(record.days, span)
        if not days:
            there = f"days of {min(record.days)} to {max(record.days)}"
            raise DaedalusError("the snapshot has no day of the range", where=where, found=f"{name}: {there}",
                                hint="load without a range, or another snapshot")  # fmt: skip
        paths = [path for day in days for path in _paths(root, record, day)]
        return paths, options
    raise unknown(name, [one for root, options in homes for one in _names(root, options)], where)


def _record(root: str, options: Mapping[str, Any], name: str) -> Snapshot | None:
    """What a snapshot in a root says of itself; None where there is none of that name."""
    if not is_uri(root):
        return read_record(Path(root, SNAPSHOTS, name)) if name in names_in(root) else None
    store = ObjectStore(root, options)
    try:
        value, _ = read_json(store, claim_key(name))
    except FileNotFoundError:
        return None
    except OSError as error:
        hint = f"give load() the config's object_store, or set {variables(root)} in the environment"
        raise DaedalusError("the output cannot be read", where=root, found=error.strerror or error,
                            expected="a bucket that can be read", hint=hint) from None  # fmt: skip
    return Snapshot.of(value, store.of(claim_key(name))) if value.get("state", WHOLE) == WHOLE else None


def _paths(root: str, record: Snapshot, day: str) -> list[str]:
    if not is_uri(root):
        return [str(Path(root, record.folder, f"dt={day}", part.name)) for part in record.days[day].parts]
    keys = {part.name: part.key for part in PartList.of(record.manifests[day], root).parts}
    return [f"{root.rstrip('/')}/dt={day}/{keys[part.name]}" for part in record.days[day].parts]


def _names(root: str, options: Mapping[str, Any]) -> list[str]:
    if not is_uri(root):
        return names_in(root)
    store = ObjectStore(root, options)
    keys = [store.key(one.uri).split("/") for one in store.list(f"{SNAPSHOTS}/")]
    return [key[1] for key in keys if key[2:] == [RECORD]]
