"""The rows of all fragments of the pool, as SQL: of those with one id the one that counts."""

from __future__ import annotations

from daedalus.actions.actions import Reading
from daedalus.base import digest
from daedalus.skeleton.context import Make
from daedalus.sql.text import Sql, parquet

NUMBERS = "numbers"  # the variable with the fragments' numbers, in the order in which they are bound
_INDEX, _HAS_VECTOR = 1 << 32, 1 << 62
# The rank of a row is its place in the table, above all that have no vector; places in a fragment are below 2^32.
RANKED = f"""SELECT *, CAST(file_index AS BIGINT) * {_INDEX} + place
    + CASE WHEN length IS NULL THEN 0 ELSE {_HAS_VECTOR} END AS rank FROM {parquet("fragments")}"""
LAST = f"SELECT id, max(rank) AS rank FROM ({RANKED}) GROUP BY id"
FRAGMENT = f"CAST(getvariable('{NUMBERS}')[rank % {_HAS_VECTOR} // {_INDEX} + 1] AS BIGINT)"
PLACE = f"rank % {_INDEX}"


def empty(**columns: str) -> Sql:
    """SQL of no rows, for a table without fragments; types by column."""
    return Sql(f"SELECT {', '.join(f'CAST(NULL AS {kind}) AS {name}' for name, kind in columns.items())} WHERE FALSE")


def reading(make: Make) -> Reading:
    """All fragments, bound in the order of the table's rows."""
    names = [make.need("fragment", fragment) for fragment in make.context.sources.fragments]
    return Reading(pieces={"fragments": names} if names else {})


def numbers(make: Make) -> list[int]:
    """The fragments' numbers in the order of the table's rows."""
    return [fragment.id for fragment in make.context.sources.fragments]


def order(make: Make) -> dict[str, str]:
    """The ingredient for the order of the fragments."""
    return {"input:order of the fragments": digest.canonical_json(numbers(make))}
