"""pool_vectors: the ids of the pool, with the length and digest of the vector that counts for each.

Where a vector lies is left to pool_places: a table that is compacted, or made again with the same rows, gives the
same bytes here.
"""

from __future__ import annotations

from daedalus.config.columns import spine_columns
from daedalus.enrich import pool_rows
from daedalus.skeleton.context import Make
from daedalus.sql.text import Sql
from daedalus.stagecache.action_name import ActionName


def last_vectors(fragments: bool, kind: str = "BIGINT") -> Sql:
    """SQL of each id, of type `kind`, with the length and digest of its last vector; both are NULL if it has only NULL
    vectors."""
    if not fragments:
        return pool_rows.empty(id=kind, length="INTEGER", digest="BLOB")
    rows = f"({pool_rows.RANKED}) SEMI JOIN ({pool_rows.LAST}) AS last USING (rank)"
    return Sql(f"SELECT id, length, digest FROM {rows} ORDER BY id")


def build(make: Make) -> str:
    """Reads all fragments."""
    reading = pool_rows.reading(make)
    sql = last_vectors(bool(reading.pieces), spine_columns(make.context.config)["artwork_id"])
    return make.sql(ActionName("pool_vectors"), sql, reading, {}, extra=pool_rows.order(make))
