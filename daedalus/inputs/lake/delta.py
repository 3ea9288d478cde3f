"""Delta tables: the files of a version, as its log lists them."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import unquote

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from daedalus.inputs.lake.table import Columns, LakeFile, LakeTable, Place, first_line, labelled
from daedalus.objectstore.object_store import is_uri

_MAPPING = "delta.columnMapping.mode"


def read_table(place: Place) -> LakeTable:
    """Reads the log. Raises DaedalusError (exit 2) for a table, or a version, that cannot be read as it is meant."""
    _check_version(place)
    uri = place.folder if is_uri(place.folder) else os.path.abspath(place.folder)
    try:
        table = DeltaTable(uri, version=place.version, storage_options=dict(place.options) or None)
        fields = json.loads(table.schema().to_json())["fields"]
        partitioned = table.metadata().partition_columns
        files = _files(place, table, [field["name"] for field in fields if field["type"] == "date"])
    except Exception as error:  # the package raises many kinds
        wanted = "" if place.version is None else f"version {place.version}: "
        raise place.refuse("a Delta table cannot be read", f"{wanted}{first_line(error)}", "a whole Delta log",
                           "another version, or one that this deltalake knows") from None  # fmt: skip
    if (mode := table.metadata().configuration.get(_MAPPING, "none")) != "none":
        raise place.refuse("a Delta table with column mapping, which is not read", f"{_MAPPING} = {mode}",
                           "columns under their own names", "write the table anew without it")  # fmt: skip
    _refuse_deletion_vectors(place, table)
    outside = dict.fromkeys(partitioned, "a partition column, which Delta keeps outside the files")
    return LakeTable("Delta", place.folder, table.version(), files, partitioned, Columns(outside=outside))


def _check_version(place: Place) -> None:
    """Refuses a version beyond the newest, for which the package would look a commit after the other."""
    if place.version is None:
        return
    names = (path.rpartition("/")[2] for path in place.files.matching(f"{place.folder}/_delta_log/*"))
    newest = max((int(name[:20]) for name in names if name[:20].isdecimal()), default=-1)
    if place.version > newest:
        raise place.refuse("a version that the Delta table does not have", place.version, f"at most {newest}")


def _files(place: Place, table: DeltaTable, dates: list[str]) -> list[LakeFile]:
    actions = table.get_add_actions()
    paths = _listed(actions, "path")
    values = _listed(actions, "partition") if "partition" in actions.column_names else [{}] * len(paths)
    return [
        LakeFile(*_placed(place, path), own, frozenset(dates) & own.keys())
        for path, own in zip(paths, values, strict=True)
    ]


def _listed(actions: Any, column: str) -> list:
    return [value.as_py() for chunk in actions.column(column).chunks for value in chunk]


def _placed(place: Place, path: str) -> tuple[str, str]:
    """(path, label) of a file, whose path is a part of a URL, or a whole one where it lies elsewhere (a clone)."""
    own = unquote(path)
    if own.startswith("file:"):
        own = "/" + own.removeprefix("file:").lstrip("/")
    elif not is_uri(own) and not own.startswith("/"):
        return f"{place.folder}/{own}", own
    folder = place.folder if is_uri(own) else os.path.abspath(place.folder)
    return labelled(own, folder, lambda label: f"{place.folder}/{label}")


def _refuse_deletion_vectors(place: Place, table: DeltaTable) -> None:
    """Raises DaedalusError where rows of a file are deleted by a list beside it."""
    if "deletionVectors" not in (table.protocol().reader_features or []):
        return
    try:
        files = _listed(table.deletion_vectors().read_all(), "filepath")
        found = f"{len(files):,}, the first of {os.path.basename(files[0])}" if files else ""
    except DeltaError as error:  # there are some, and they cannot be read
        found = first_line(error)
    if found:
        raise place.refuse("a Delta table with deletion vectors, which are not read", found,
                           "files with all their rows", "purge them: REORG TABLE … APPLY (PURGE)")  # fmt: skip
