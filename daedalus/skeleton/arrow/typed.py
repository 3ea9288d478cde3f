"""Which columns of input files Arrow reads as DuckDB does."""

from __future__ import annotations

_WHOLE = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT")
# By the type of a column those of files that it is read of. A number that does not fit after all is left to the SQL.
_READ = {
    **dict.fromkeys(("BIGINT", "INTEGER", "SMALLINT", "TINYINT"), _WHOLE), "VARCHAR": ("VARCHAR",), "DATE": ("DATE",),
    "TIMESTAMP": ("TIMESTAMP", "TIMESTAMPTZ"), "BOOLEAN": ("BOOLEAN",), "FLOAT": ("FLOAT",),
    "DOUBLE": ("DOUBLE", "FLOAT"),
}  # fmt: skip


def is_read(found: str, wanted: str) -> bool:
    """Whether a column of type `found` can be read as `wanted`; a list can, of elements of one type."""
    if wanted.endswith("[]"):
        return found == wanted and wanted[:-2] in _READ
    return found in _READ.get(wanted, ())
