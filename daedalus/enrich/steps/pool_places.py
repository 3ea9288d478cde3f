"""pool_places: where in the pool the vector of each id lies. It changes with every version of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from daedalus.config.columns import spine_columns
from daedalus.enrich import pool_rows
from daedalus.skeleton.context import Make
from daedalus.sql.text import Sql, literal
from daedalus.stagecache.action_name import ActionName
from daedalus.tables.artifacts import Files, write_table


def last_places(fragments: bool, kind: str = "BIGINT") -> Sql:
    """SQL of each id with the fragment of its last vector, and its place there; for the ids of pool_vectors, of type
    `kind`."""
    if not fragments:
        return pool_rows.empty(id=kind, fragment="BIGINT", place="BIGINT")
    return Sql(f"SELECT id, {pool_rows.FRAGMENT} AS fragment, {pool_rows.PLACE} AS place "
               f"FROM ({pool_rows.LAST}) ORDER BY id")  # fmt: skip


def write_places(numbers: Sequence[int], files: Files, out: Path) -> Mapping[str, int] | None:
    """The same on Arrow tables, for fragments of these numbers."""
    import numpy as np
    import pyarrow as pa

    last = pool_rows.last_rows(files["fragments"], ["id", "place"])
    if last is None:
        return None
    fragment = pa.array(np.array(numbers, np.int64)[last.fragments])
    return {"rows": write_table(out, last.rows.add_column(1, "fragment", fragment))}


def build(make: Make) -> str:
    """Reads all fragments."""
    reading = pool_rows.reading(make)
    sql = last_places(bool(reading.pieces), spine_columns(make.context.config)["artwork_id"])
    numbers = pool_rows.numbers(make)
    variables = {pool_rows.NUMBERS: literal(numbers)}
    arrow = partial(write_places, numbers) if numbers else None
    return make.sql(ActionName("pool_places"), sql, replace(reading, variables=variables), {}, arrow=arrow)
