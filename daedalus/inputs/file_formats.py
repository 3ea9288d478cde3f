"""The formats of input files: how a file's name shows its format, how its schema is read, and the SQL that scans it.
And the formats of tables: how a folder shows that it is one.

A new format is a row of FORMATS, and what that row calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from daedalus.inputs.files import Names


class Scan(Protocol):
    """SQL that reads the files bound as `bound`, see `sql.text.parquet`."""

    def __call__(self, bound: str, *, positions: bool = False, files: bool = False) -> str: ...


class FileFormat(Struct, frozen=True):
    """One format. `glob` matches its files in upper and lower case; `read_footer` takes a local file."""

    ending: str
    glob: str
    read_footer: Callable[[str], dict]
    scan: Scan


def _read_parquet_footer(path: str) -> dict:
    from daedalus.inputs.footers import read_footer  # not above: an unchanged run needs names alone

    return read_footer(path)


def _scan_parquet(bound: str, *, positions: bool = False, files: bool = False) -> str:
    from daedalus.sql.text import parquet

    return parquet(bound, positions=positions, files=files)


FORMATS = {
    "parquet": FileFormat(".parquet", "*.[pP][aA][rR][qQ][uU][eE][tT]", _read_parquet_footer, _scan_parquet),
}


def format_of(name: str) -> str | None:
    """The format that a file's name shows, in upper or lower case; None for other files."""
    return next((known for known, kind in FORMATS.items() if name.lower().endswith(kind.ending)), None)


def table_format(files: Names, folder: str) -> str:
    """Delta or Iceberg, if a folder is such a table; "" for other folders. One that is both is read as Delta."""
    if files.is_folder(f"{folder}/_delta_log"):
        return "Delta"
    return "Iceberg" if files.matching(f"{folder}/metadata/*.metadata.json*") else ""
