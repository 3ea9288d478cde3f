"""What a snapshot says of itself, `_snapshot.json`: its name, stage, range, and the digests of all that it holds.

    {"form": 1, "name", "stage", "made", "range": [first, last], "compile", "dataset", "qid_map": {"bytes", "digest"},
     "days": {day: {"rows", "bytes", "digest", "compile", "parts": [{"name", "rows", "bytes", "digest"}]}}, "check"}

Digests are SHA-256, but for `check`, which is that of the rest. `days` are those of `_dataset.json`, `dataset` the
digest of that file, `compile` that of the configuration that ran last, and `qid_map` is null where there is none.
On an object store it also says which objects these are: see output/claims.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct, ValidationError, convert, to_builtins

from daedalus.base import digest
from daedalus.base.days import DayRange
from daedalus.base.durable import SNAPSHOTS
from daedalus.base.errors import DaedalusError, did_you_mean
from daedalus.objectstore.part_list import write_json
from daedalus.output.claims import RECORD, WHOLE

QID_MAP = "qid_map.parquet"
_FORM = 1
_LONGEST = 100  # characters of a name
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{_LONGEST - 1}}}")
_NAMES = f"up to {_LONGEST} letters, digits, '.', '_' and '-', beginning with none of '.' and '-'"


class File(Struct, frozen=True):
    """Size and SHA-256 of a file."""

    bytes: int
    digest: str


class Part(File, frozen=True, kw_only=True):
    """A part of a partition."""

    name: str
    rows: int


class DayHeld(File, frozen=True, kw_only=True):
    """A day's partition; `digest` is that of its parts' bytes joined in order, `compile` what it was published with."""

    rows: int
    compile: str | None
    parts: tuple[Part, ...]


class Snapshot(Struct, frozen=True):
    """A snapshot's record. `made` is in UTC; `state`, `manifests` and `files` are of those on object stores."""

    name: str
    stage: str
    made: str
    range: tuple[str, str]
    compile: str
    dataset: str
    qid_map: File | None
    days: Mapping[str, DayHeld]
    form: int = 0
    state: str = WHOLE
    manifests: Mapping[str, dict] = {}  # what part_list.py reads, by day
    files: Mapping[str, str] = {}  # keys of the other two files, by name

    @property
    def rows(self) -> int:
        return sum(day.rows for day in self.days.values())

    @property
    def bytes(self) -> int:
        return sum(day.bytes for day in self.days.values()) + (self.qid_map.bytes if self.qid_map else 0)

    @property
    def folder(self) -> str:
        """Where it is, below the output root."""
        return f"{SNAPSHOTS}/{self.name}"

    def as_json(self) -> dict[str, Any]:
        return {**to_builtins(self), "form": _FORM}

    @classmethod
    def of(cls, value: Mapping[str, Any], where: str) -> Snapshot:
        """Raises DaedalusError for what is no record of a snapshot."""
        try:
            return convert(value, cls)
        except ValidationError as error:
            raise _damaged(where, error) from None


def new_record(
    name: str, stage: str, span: tuple[str, str], entries: Mapping[str, dict], dataset: bytes, qid_map: dict | None,
    **more: Any,
) -> Snapshot:  # fmt: skip
    """The record of what is described by a `_dataset.json`, made now; `more` is that of one on an object store."""
    return convert({
        "name": name, "stage": stage, "made": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "range": span,
        "compile": json.loads(dataset)["digest"], "dataset": hashlib.sha256(dataset).hexdigest(),
        "qid_map": qid_map, "days": entries, **more,
    }, Snapshot)  # fmt: skip


def file_of(path: Path) -> dict:
    """Size and SHA-256 of a file."""
    return {"bytes": path.stat().st_size, "digest": digest.sha256_of(path)}


def days_in(days: Iterable[str], span: DayRange | None) -> list[str]:
    """Those of the days that are in a range; with none, all."""
    return [day for day in days if span is None or str(span.first) <= day <= str(span.last)]


def span_of(span: DayRange | None, days: Sequence[str]) -> tuple[str, str]:
    """The first and the last day of a range; with none, of the days."""
    return (str(span.first), str(span.last)) if span else (days[0], days[-1])


def check_name(name: str, where: str) -> None:
    """Raises DaedalusError for what cannot be the name of a snapshot."""
    if not _NAME.fullmatch(name):
        raise DaedalusError("no name for a snapshot", where=where, found=repr(name), expected=_NAMES)


def unknown(name: str, known: Iterable[str], where: str) -> DaedalusError:
    """The error for a snapshot that there is not."""
    names = sorted(known)
    hint = did_you_mean(name, names) or "daeda snapshot list"
    return DaedalusError("there is no such snapshot", where=where, found=name,
                         expected=", ".join(names[:8]) or "one that daeda snapshot create made", hint=hint)  # fmt: skip


def names_in(root: str) -> list[str]:
    """The snapshots in a local output root."""
    folder = Path(root, SNAPSHOTS)
    try:
        return sorted(path.name for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path / RECORD).exists())
    except OSError:
        return []


def read_record(folder: Path) -> Snapshot:
    """What a local snapshot says of itself. Raises DaedalusError."""
    path = folder / RECORD
    try:
        value = json.loads(path.read_bytes())
        if value.pop("check") == digest.of_json(value):
            return Snapshot.of(value, str(path))
        raise ValueError("its bytes do not match its digest")
    except OSError as error:
        raise _damaged(str(path), error.strerror) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(str(path), error) from None


def written(record: Snapshot) -> bytes:
    """The bytes of a record."""
    return write_json(record.as_json())


def _damaged(where: str, error: object) -> DaedalusError:
    return DaedalusError("the record of a snapshot cannot be read", where=where, found=error,
                         expected="what daeda snapshot create wrote",
                         hint="copy the files that you need, then: daeda snapshot remove")  # fmt: skip
