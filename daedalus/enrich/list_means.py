"""Means of the vectors of lists: reads lists by row group and the vectors that they need, and writes a `MeansFile`.

Memory is that of a row group of means, and of all vectors, which are prepared once; where these do not fit, of the
vectors of a slice of the row group, which is as small as it must be. As means are correctly rounded, neither slices nor
threads change a bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.errors import DayError
from daedalus.enrich.list_groups import ListGroup, list_groups
from daedalus.enrich.means_file import Means, write_means
from daedalus.tables.held import HELD
from daedalus.tables.side_by_side import side_by_side

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from daedalus.enrich.compiled_means import Prepared
    from daedalus.enrich.vectors_file import VectorsFile

_LEAST = 1 << 20  # bytes for the vectors of a slice, however little memory there is
_USUAL = 64  # items, for which vectors are prepared at least: so once a file, and at the cost of no bit that is needed
_WORKED_ON = {2: 10, 4: 8, 8: 16}  # bytes for a component, by those of its type: as read, as floats, and rounded


@dataclass(frozen=True)
class ListMeans:
    """The means of an entry: of the vectors of the first `max_items` ids of each list of `column`, as `dtype`."""

    column: str
    max_items: int | None
    dtype: str


def mean_lists(entry: ListMeans, lists: Path, vectors: Path, out: Path) -> dict[str, int]:
    """Writes the means of an artifact of lists (windows_file.py), row by row; returns the action's counts.

    `vectors` is a VectorsFile with all ids of the lists that have a vector.
    """
    from daedalus.enrich.vectors_file import VectorsFile

    with VectorsFile(vectors) as pool:
        return {"rows": write_list_means(entry, lists, pool, out)}


def write_list_means(entry: ListMeans, lists: Path, pool: VectorsFile, out: Path) -> int:
    """The same with an open pool; returns the number of rows."""
    import pyarrow.parquet as pq

    rows, whole = pq.read_metadata(lists).num_rows, _Whole(pool)
    groups = list_groups(lists, entry.column, entry.max_items)  # read by the one thread that asks for them
    parts = (partial(_means_of, entry, group, pool, whole.prepared(group)) for group in groups)
    return write_means(out, side_by_side(parts, rows), pool.dim, entry.dtype)


class _Whole:
    """All vectors of a pool, prepared once, where they fit into memory."""

    def __init__(self, pool: VectorsFile) -> None:
        self._pool = pool
        self._fits = pool.count * _worked_on(pool) <= HELD.each // 2
        self._ready: Prepared | None = None

    def prepared(self, group: ListGroup) -> Prepared | None:
        """The vectors prepared for the lists of a row group; None where they do not fit."""
        from daedalus.enrich.compiled_means import prepared

        longest = int(group.sizes.max(initial=_USUAL))
        if self._fits and (self._ready is None or self._ready.most < longest):
            self._ready = prepared(self._pool.whole, longest)
        return self._ready


def _worked_on(pool: VectorsFile) -> int:
    """Bytes that a vector takes in all its forms."""
    return max(pool.dim * _WORKED_ON[pool.dtype.itemsize], 1)


def _means_of(entry: ListMeans, group: ListGroup, pool: VectorsFile, ready: Prepared | None) -> Means:
    """The means of a row group. `ready` are all vectors of the pool; None: a slice's are read when it is its turn."""
    import numpy as np

    places, whole = _places(group.values, pool, entry), slice(0, len(group.sizes))
    if ready is not None:
        numbers = _numbered(places, np.flatnonzero(places >= 0), pool.ranks[places[places >= 0]])
        return _piece(entry, group, whole, numbers, ready)
    most = max(HELD.each // 2 // HELD.workers, _LEAST) // _worked_on(pool)  # vectors at a time
    return _joined([_slice(entry, group, rows, places, pool) for rows in _slices(group, places, most, whole)])


def _places(values: pa.Array, pool: VectorsFile, entry: ListMeans) -> np.ndarray:
    """Where the vectors of ids are in the pool; see `VectorsFile.find`."""
    import numpy as np
    import pyarrow as pa

    from daedalus.enrich.compiled_means import NO_VECTOR

    if not pa.types.is_integer(values.type):
        raise DayError("a list that holds no ids", where=entry.column, found=values.type, expected="a list of integers")
    ids = values.cast(pa.int64(), safe=False).to_numpy()
    places = pool.find(ids)
    return places if values.type != pa.uint64() else np.where(ids < 0, NO_VECTOR, places)  # ids are BIGINT


def _numbered(places: np.ndarray, codes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """By code the number of its vector: `numbers` for `codes`; and for others that there is none, or no usable one."""
    import numpy as np

    from daedalus.enrich.compiled_means import NO_VECTOR

    found = np.where(places < 0, places, NO_VECTOR).astype(np.int32)
    found[codes] = numbers
    return found


def _slices(group: ListGroup, places: np.ndarray, most: int, rows: slice) -> Iterator[slice]:
    """The rows in slices that need at most so many vectors, or are a single row."""
    middle = (rows.start + rows.stop) // 2
    if middle == rows.start or len(_needed(group, rows, places)) <= most:
        yield rows
    else:
        yield from _slices(group, places, most, slice(rows.start, middle))
        yield from _slices(group, places, most, slice(middle, rows.stop))


def _needed(group: ListGroup, rows: slice, places: np.ndarray) -> np.ndarray:
    """The codes in the lists of `rows` whose values have a vector that is usable, ascending."""
    import numpy as np

    return np.flatnonzero(group.occurring(rows) & (places >= 0))


def _slice(entry: ListMeans, group: ListGroup, rows: slice, places: np.ndarray, pool: VectorsFile) -> Means:
    """The means of some rows, whose vectors are read for them."""
    import numpy as np

    from daedalus.enrich.compiled_means import prepared

    needed = _needed(group, rows, places)
    ready = prepared(pool.take(places[needed]), int(group.sizes[rows].max(initial=0)))
    return _piece(entry, group, rows, _numbered(places, needed, np.arange(len(needed))), ready)


def _piece(entry: ListMeans, group: ListGroup, rows: slice, numbers: np.ndarray, ready: Prepared) -> Means:
    """The means of some rows; `numbers` are those of vectors, by code."""
    import numpy as np
    import pyarrow as pa

    from daedalus.enrich.compiled_means import means

    sizes, begins = group.sizes[rows], group.begins[rows]
    first = begins.min(initial=len(group.codes))
    codes = group.codes[first : (begins + sizes).max(initial=first)]
    index, values, refused = means(ready, numbers[codes], begins - first, sizes)
    with np.errstate(over="ignore"):  # beyond float16 is infinite
        values = values.astype(entry.dtype, copy=False)
    if (refused < 0).all():
        return Means(index, values)
    unusable = group.values.cast(pa.int64(), safe=False).take(pa.array(codes[refused], mask=refused < 0))
    return Means(index, values, unusable)


def _joined(pieces: Sequence[Means]) -> Means:
    """The rows of all pieces."""
    import numpy as np
    import pyarrow as pa

    if len(pieces) == 1:
        return pieces[0]
    bases = np.cumsum([0, *(len(piece.values) for piece in pieces[:-1])])
    index = [np.where(piece.index < 0, -1, piece.index + base) for piece, base in zip(pieces, bases, strict=True)]
    unusable = [pa.nulls(len(p.index), pa.int64()) if p.unusable is None else p.unusable for p in pieces]
    return Means(np.concatenate(index), np.concatenate([p.values for p in pieces]), pa.concat_arrays(unusable))
