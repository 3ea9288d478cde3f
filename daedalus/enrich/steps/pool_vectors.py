"""pool_vectors: the ids of the pool, with the length and digest of the vector that counts for each.

Where a vector lies is left to pool_places: a table that is compacted, or made again with the same rows, gives the
same bytes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from daedalus.config.columns import spine_columns
from daedalus.enrich import pool_rows
from daedalus.skeleton.context import Make
from daedalus.sql.text import Sql
from daedalus.stagecache.action_name import ActionName
from daedalus.tables.artifacts import Files, write_table


def last_vectors(fragments: bool, kind: str = "BIGINT") -> Sql:
    """SQL of each id, of type `kind`, with the length and digest of its last vector; both are NULL if it has only NULL
    vectors."""
    if not fragments:
        return pool_rows.empty(id=kind, length="INTEGER", digest="BLOB")
    rows = f"({pool_rows.RANKED}) SEMI JOIN ({pool_rows.LAST}) AS last USING (rank)"
    return Sql(f"SELECT id, length, digest FROM {rows} ORDER BY id")


def write_last_vectors(files: Files, out: Path) -> Mapping[str, int] | None:
    """The same on Arrow tables."""
    import pyarrow as pa

    last = pool_rows.last_rows(files["fragments"], ["id", "length", "digest"])
    if last is None:
        return None
    digests = last.rows["digest"].cast(pa.binary())  # as DuckDB writes them
    return {"rows": write_table(out, last.rows.set_column(2, "digest", digests))}


def build(make: Make) -> str:
    """Reads all fragments."""
    reading = pool_rows.reading(make)
    sql = last_vectors(bool(reading.pieces), spine_columns(make.context.config)["artwork_id"])
    arrow = partial(write_last_vectors) if reading.pieces else None
    return make.sql(ActionName("pool_vectors"), sql, reading, {}, extra=pool_rows.order(make), arrow=arrow)
