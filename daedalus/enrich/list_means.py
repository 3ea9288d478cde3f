"""Means of the vectors of lists: reads lists by row group and the vectors that they need, and writes a `MeansFile`.

Memory is that of a row group of means, and of the vectors of a slice of its rows, which is as small as it must be. As
means are correctly rounded, neither slices nor threads change a bit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.errors import DayError
from daedalus.enrich.means_file import Means, write_means
from daedalus.tables.held import HELD
from daedalus.tables.side_by_side import side_by_side
from daedalus.windows.windows_file import WindowsFile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from daedalus.enrich.vectors_file import VectorsFile

_LEAST = 1 << 20  # bytes for the vectors of a slice, however little memory there is
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

    footer = pq.read_metadata(lists)
    with WindowsFile(lists) as windows:
        parts = (partial(_means_of, entry, group, pool) for group in _groups(windows, footer.num_row_groups, entry))
        return write_means(out, side_by_side(parts, footer.num_rows), entry.dtype)


def _groups(windows: WindowsFile, groups: int, entry: ListMeans) -> Iterator[_Group]:
    """The lists by row group, read by the one thread that asks for them."""
    import numpy as np

    column, most = windows.schema.get_field_index(entry.column), entry.max_items or sys.maxsize
    for number in range(groups):
        lists = windows.group(number)
        # Arrays of one type each: for others the kernel would be compiled once more.
        sizes = np.minimum(lists.sizes[:, column], most).astype(np.int64)
        yield _Group(lists.codes.astype(np.int32), lists.begins.astype(np.int64), sizes, lists.values)


@dataclass(frozen=True)
class _Group:
    """The lists of a row group, as `Lists` has them: numbers of `values`, of each row `sizes` from `begins` on."""

    codes: np.ndarray
    begins: np.ndarray
    sizes: np.ndarray
    values: pa.Array

    def needed(self, rows: slice, places: np.ndarray) -> np.ndarray:
        """The codes in the lists of `rows` whose values have a vector that is usable, ascending; `places` are those
        of vectors, by code, or negative."""
        import numpy as np

        from daedalus.enrich.compiled_means import occurring

        found = occurring(self.codes, self.begins[rows], self.sizes[rows], len(places))
        return np.flatnonzero(found & (places >= 0))


def _means_of(entry: ListMeans, group: _Group, pool: VectorsFile) -> Means:
    places = _places(group.values, pool, entry)
    width = max(pool.dim * _WORKED_ON[pool.dtype.itemsize], 1)
    most = max(HELD.each // 2 // HELD.workers, _LEAST) // width  # vectors at a time
    slices = _slices(group, places, most, slice(0, len(group.sizes)))
    return _joined([_piece(entry, group, rows, places, pool) for rows in slices])


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


def _slices(group: _Group, places: np.ndarray, most: int, rows: slice) -> Iterator[slice]:
    """The rows in slices that need at most so many vectors, or are a single row."""
    middle = (rows.start + rows.stop) // 2
    if middle == rows.start or len(group.needed(rows, places)) <= most:
        yield rows
    else:
        yield from _slices(group, places, most, slice(rows.start, middle))
        yield from _slices(group, places, most, slice(middle, rows.stop))


def _piece(entry: ListMeans, group: _Group, rows: slice, places: np.ndarray, pool: VectorsFile) -> Means:
    """The means of some rows."""
    import numpy as np
    import pyarrow as pa

    from daedalus.enrich.compiled_means import NO_VECTOR, means

    sizes, begins = group.sizes[rows], group.begins[rows]
    first = begins.min(initial=len(group.codes))
    codes = group.codes[first : (begins + sizes).max(initial=first)]
    needed = group.needed(rows, places)
    numbers = np.where(places < 0, places, NO_VECTOR).astype(np.int32)
    numbers[needed] = np.arange(len(needed))
    index, values, refused = means(pool.take(places[needed]), numbers[codes], begins - first, sizes)
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
