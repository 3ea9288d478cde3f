"""Looks ids up in pool_vectors and pool_places, which have the same ids in the same order, and brings their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.base.errors import DayError
from daedalus.enrich.lance_rows import OpenFragment
from daedalus.enrich.rows_at_hand import RowsAtHand
from daedalus.enrich.vectors_file import NO_VECTOR
from daedalus.tables.artifacts import fits_whole, read_table
from daedalus.tables.held_rows import HELD_ROWS

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_CHUNK = 1 << 24  # bytes of vectors that are taken at once


class Found(NamedTuple):
    """What the pool has of some ids, row by row: whether it knows the id at all; the length of its vector, NO_VECTOR
    for none, its digest, and where it lies."""

    known: np.ndarray
    lengths: np.ndarray
    digests: np.ndarray  # bytes
    fragments: np.ndarray
    places: np.ndarray


class Pool(NamedTuple):
    """What vectors are read from: `open(number, free path)` opens a fragment, the column with vectors, and numpy's name
    of its type."""

    open: Callable[[int, Path], AbstractContextManager[OpenFragment]]
    column: str
    dtype: str


def look_up(ids: np.ndarray, vectors: Path, places: Path) -> Found:
    """Finds ids, which are ascending and distinct, a row group of the pool at a time where it does not fit."""
    import numpy as np

    count = len(ids)
    found = Found(np.zeros(count, np.bool_), np.full(count, NO_VECTOR), np.full(count, None, object),
                  np.zeros(count, np.int64), np.zeros(count, np.int64))  # fmt: skip
    for of_vectors, of_places in _pieces(vectors, places):
        known = of_vectors["id"].to_numpy()
        if len(known):
            begin, end = np.searchsorted(ids, known[0]), np.searchsorted(ids, known[-1], side="right")
            _note(found, ids, slice(int(begin), int(end)), known, of_vectors, of_places)
    return found


def _note(found: Found, ids: np.ndarray, part: slice, known: np.ndarray, vectors: pa.Table, places: pa.Table) -> None:
    """Notes what a piece of the pool has of the ids in `part`."""
    import numpy as np

    wanted = ids[part]
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    hits = np.flatnonzero(known[at] == wanted)
    rows, into = at[hits], part.start + hits
    vectors, places = vectors.take(rows), places.take(rows)
    found.known[into] = True
    found.lengths[into] = vectors["length"].cast("int64").fill_null(NO_VECTOR).to_numpy()
    found.digests[into] = vectors["digest"].to_numpy()
    found.fragments[into] = places["fragment"].to_numpy()
    found.places[into] = places["place"].to_numpy()


def _pieces(vectors: Path, places: Path) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Both files, as a whole or by row group."""
    import pyarrow.parquet as pq

    if fits_whole(vectors) and fits_whole(places):
        yield read_table(vectors, ["id", "length", "digest"]), read_table(places, ["fragment", "place"])
        return
    with pq.ParquetFile(vectors) as one, pq.ParquetFile(places) as other:
        for group in range(one.num_row_groups):
            yield one.read_row_group(group, use_threads=False), other.read_row_group(group, use_threads=False)


def bring(pool: Pool, found: Found, wanted: np.ndarray, dim: int, rows: RowsAtHand, folder: Path) -> None:
    """Puts the vectors of the rows `wanted` of `found`, all of `dim` components, to `rows`: those that another day or
    column had are in memory, the others are read. `folder` is a free path. Raises DayError if they are not what
    pool_vectors says."""
    import numpy as np

    if not dim:
        return
    digests, missing = found.digests[wanted], np.arange(len(wanted))
    if rows.whole is not None:  # else there are too many to be held either
        missing = HELD_ROWS.take(digests.tolist(), rows.whole)
    for places, read in _read(pool, found, wanted[missing], dim, folder):
        rows.put(missing[places], read)
        if rows.whole is not None:
            HELD_ROWS.put(digests[missing[places]].tolist(), read)


def _read(
    pool: Pool, found: Found, wanted: np.ndarray, dim: int, folder: Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The vectors out of the pool: (which of the wanted, their vectors), some at a time, each fragment opened once."""
    import numpy as np

    fragments, places = found.fragments[wanted], found.places[wanted]
    order = np.lexsort((places, fragments))
    numbers, firsts = np.unique(fragments[order], return_index=True)
    rows = max(_CHUNK // max(dim * np.dtype(pool.dtype).itemsize, 1), 1)
    for number, part in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=False):  # of nothing one is nothing
        with pool.open(number, folder) as fragment:
            for begin in range(0, len(part), rows):
                chunk = part[begin : begin + rows]
                yield chunk, _vectors(fragment, pool.column, places[chunk], found.digests[wanted[chunk]], dim)


def _vectors(fragment: OpenFragment, column: str, places: np.ndarray, digests: np.ndarray, dim: int) -> np.ndarray:
    """The vectors at some places of a fragment, a row each, if they have these digests."""
    vectors = fragment.vectors(column, places)
    if vectors.digests() != digests.tolist():
        raise DayError("the embedding pool changed while it was being read", where=column, hint="run again")
    return vectors.matrix(dim)
