"""The rows of all fragments of the pool: of those with one id the one that counts, in SQL and on Arrow tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.actions.actions import Reading
from daedalus.base import digest
from daedalus.skeleton.context import Make
from daedalus.sql.text import Sql, parquet
from daedalus.tables.artifacts import read_file, rows_of
from daedalus.tables.held import HELD
from daedalus.tables.sorting import sort_keys

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

NUMBERS = "numbers"  # the variable with the fragments' numbers, in the order in which they are bound
_INDEX, _HAS_VECTOR = 1 << 32, 1 << 62
# The rank of a row is its place in the table, above all that have no vector; places in a fragment are below 2^32.
RANKED = f"""SELECT *, CAST(file_index AS BIGINT) * {_INDEX} + place
    + CASE WHEN length IS NULL THEN 0 ELSE {_HAS_VECTOR} END AS rank FROM {parquet("fragments")}"""
LAST = f"SELECT id, max(rank) AS rank FROM ({RANKED}) GROUP BY id"
FRAGMENT = f"CAST(getvariable('{NUMBERS}')[rank % {_HAS_VECTOR} // {_INDEX} + 1] AS BIGINT)"
PLACE = f"rank % {_INDEX}"
_ROW_BYTES = 200  # of a row with an id in memory, with what sorting it takes


class LastRows(NamedTuple):
    """Columns of the rows that count, ids ascending, and for each the fragment it is of, as counted in the table."""

    rows: pa.Table
    fragments: np.ndarray


def last_rows(fragments: Sequence[Path | str], columns: Sequence[str]) -> LastRows | None:
    """As `LAST` has them; None where they do not fit into memory, or an id is of a type that is not sorted here."""
    import numpy as np
    import pyarrow as pa

    if sum(map(rows_of, fragments)) * _ROW_BYTES > HELD.each:
        return None
    read = [read_file(path, list(dict.fromkeys(["id", "length", *columns]))) for path in fragments]
    rows = pa.concat_tables(read).combine_chunks()
    words = sort_keys([rows["id"]])
    if words is None:
        return None
    has_none = np.asarray(rows["length"].is_null())
    order = np.lexsort((~has_none, *reversed(words)))  # equal ones stay in their order
    ends = np.zeros(len(order), np.bool_)
    ends[-1:] = True
    for word in words:
        ends[:-1] |= word[order[1:]] != word[order[:-1]]
    last = order[ends]
    begins = np.cumsum([0, *(len(table) for table in read)])
    return LastRows(rows.select(list(columns)).take(last), np.searchsorted(begins, last, side="right") - 1)


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
