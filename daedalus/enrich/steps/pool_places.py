"""pool_places: where in the pool the vector of each id lies. It changes with every version of the table."""

from __future__ import annotations

from dataclasses import replace

from daedalus.config.columns import spine_columns
from daedalus.enrich import pool_rows
from daedalus.skeleton.context import Make
from daedalus.sql.text import Sql, literal
from daedalus.stagecache.action_name import ActionName


def last_places(fragments: bool, kind: str = "BIGINT") -> Sql:
    """SQL of each id with the fragment of its last vector, and its place there; for the ids of pool_vectors, of type
    `kind`."""
    if not fragments:
        return pool_rows.empty(id=kind, fragment="BIGINT", place="BIGINT")
    return Sql(f"SELECT id, {pool_rows.FRAGMENT} AS fragment, {pool_rows.PLACE} AS place "
               f"FROM ({pool_rows.LAST}) ORDER BY id")  # fmt: skip


def build(make: Make) -> str:
    """Reads all fragments."""
    reading = pool_rows.reading(make)
    sql = last_places(bool(reading.pieces), spine_columns(make.context.config)["artwork_id"])
    numbers = {pool_rows.NUMBERS: literal(pool_rows.numbers(make))}
    return make.sql(ActionName("pool_places"), sql, replace(reading, variables=numbers), {})
