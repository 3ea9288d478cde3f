"""An enriched partition: the skeleton's part files with columns of vectors in their places.

All other columns go over as compressed bytes. A column of vectors is written a page at a time, straight from where its
vectors lie, so memory is that of a row group's means and of a few pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from daedalus.enrich.means_file import Means, MeansFile
from daedalus.enrich.unusable import unequal, unusable
from daedalus.enrich.vectors_file import VectorsFile, take_rows
from daedalus.parquet.footer import Assembled, Chunk, ParquetFooter, joined
from daedalus.parquet.vector_writer import Vectors, form, write_vectors
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.sql.text import ROW
from daedalus.tables.artifacts import read_table
from daedalus.tables.side_by_side import side_by_side

if TYPE_CHECKING:
    import numpy as np
    import pyarrow.parquet as pq

_QID = "qid"  # the last column of a skeleton whose feed has sessions
_NOT_USABLE = -2  # for a place in `VectorsFile.find`


class Entry(NamedTuple):
    """A column of vectors: those `of` an id column of the partition, or means where `of` is None. `where` is its key in
    the configuration."""

    name: str
    of: str | None
    where: str


@dataclass(frozen=True)
class Enriched:
    """Writes enriched partitions, with vectors of `dtype`."""

    entries: tuple[Entry, ...]
    dtype: str

    def write(
        self, folder: Path, parts: Sequence[Path], vectors: Mapping[str, Path], means: Mapping[str, Path],
        content: Path | None,
    ) -> int:  # fmt: skip
        """Writes to a new folder a file for each part of the skeleton's partition, of its name and with its row groups;
        returns the rows.

        `vectors` and `means` are artifacts by entry; only entries of means have these, and need `content`, which says
        which rows of the sessions the parts have. Raises DayError for a row that needs a vector which is not usable.
        """
        folder.mkdir()
        kept = read_table(content, [ROW.strip('"')]).column(0).to_numpy() if content else None
        with ExitStack() as stack:
            sources: dict[str, _VectorsOf | _MeansOf] = {}
            for entry in self.entries:
                if entry.of is not None:
                    sources[entry.name] = _VectorsOf(entry, stack.enter_context(VectorsFile(vectors[entry.name])))
                else:
                    assert kept is not None
                    file = stack.enter_context(MeansFile(means[entry.name]))
                    sources[entry.name] = _MeansOf(entry, file, kept, vectors[entry.name])
            rows = 0
            for part in parts:
                rows += self._write_part(part, folder / part.name, rows, sources)
            _check_lengths(list(sources.values()))
        if kept is not None and rows != len(kept):
            raise ValueError(f"{rows} rows where {len(kept)} ship")
        return rows

    def _write_part(
        self, part: Path, path: Path, begin: int, sources: Mapping[str, _VectorsOf | _MeansOf]
    ) -> int:  # fmt: skip
        """Writes one part, whose first row is row `begin` of the partition; returns its rows."""
        import pyarrow.parquet as pq

        with part.open("rb") as opened, pq.ParquetFile(part) as rows, path.open("wb") as out:
            skeleton = ParquetFooter(opened)
            columns = in_place(skeleton, {name: form(name, self.dtype) for name in sources})
            file = Assembled(out, joined(columns))
            for group, size in enumerate(skeleton.group_rows):
                row_group = RowGroup(rows, group, begin + file.rows, size)
                file.add(self._chunks(out, columns, skeleton, row_group, sources), size)
            return file.finish()

    def _chunks(
        self, out: BinaryIO, columns: Sequence[tuple[str, ParquetFooter]], skeleton: ParquetFooter, group: RowGroup,
        sources: Mapping[str, _VectorsOf | _MeansOf],
    ) -> Iterator[Chunk]:  # fmt: skip
        """The chunks of a row group, each asked for when those before it are written; vectors are written here."""
        run = partial(side_by_side, rows=group.part.metadata.num_rows)
        for name, file in columns:
            if file is skeleton:
                yield from skeleton.chunks(group.number, name)
            else:
                yield write_vectors(out, name, self.dtype, sources[name].pieces(group), run)


def _check_lengths(sources: Sequence[_VectorsOf | _MeansOf]) -> None:
    """Raises DayError when the vectors that rows used in two columns have unequal lengths; in one they are alike."""
    used = [source for source in sources if source.length is not None]
    for one, other in pairwise(used):
        if one.length != other.length:
            raise unequal(other.where, [(source.length or 0, source.some_id()) for source in (other, one)])


def in_place(skeleton: ParquetFooter, forms: Mapping[str, ParquetFooter]) -> list[tuple[str, ParquetFooter]]:
    """The columns of an enriched part, each with the file that it is of: those in `forms` in the places of the
    skeleton's columns of their names, or behind them all, before qid."""
    columns = [(name, forms.get(name, skeleton)) for name in skeleton.columns]
    end = len(columns) - (_QID in skeleton.columns)
    more = [(name, file) for name, file in forms.items() if name not in skeleton.columns]
    return [*columns[:end], *more, *columns[end:]]


class RowGroup(NamedTuple):
    """A row group of a part; its rows are `rows` from `begin` on of the partition."""

    part: pq.ParquetFile
    number: int
    begin: int
    rows: int


class _VectorsOf:
    """The vectors of a part's id column; `length` is that of the vectors which rows used, None when none did."""

    def __init__(self, entry: Entry, vectors: VectorsFile) -> None:
        self._entry, self._vectors = entry, vectors
        self.where = entry.where
        self.length: int | None = None
        self._some = 0

    def some_id(self) -> int:
        """An id whose vector a row used."""
        return int(self._vectors.ids[self._some])

    def pieces(self, group: RowGroup) -> list[Vectors]:
        """The rows of a row group. Raises DayError."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        column = group.part.read_row_group(group.number, columns=[self._entry.of], use_threads=False).column(0)
        ids = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
        places = self._vectors.find(ids)
        if column.null_count:
            places = np.where(pc.is_valid(column).to_numpy(), places, np.int32(-1))
        if (amiss := places == _NOT_USABLE).any():
            raise unusable(self._entry.where, self._vectors, int(ids[amiss.argmax()]))
        if len(places) and (most := int(places.max())) >= 0:
            self.length, self._some = self._vectors.dim, most
        return [Vectors(places, self._vectors.take, self._vectors.dim, self._vectors.dtype)]


class _MeansOf:
    """Means, of all rows of the sessions, by the rows that ship; `length` is as in `_VectorsOf`."""

    def __init__(self, entry: Entry, means: MeansFile, kept: np.ndarray, vectors: Path) -> None:
        """`kept` are the rows of the sessions that ship, `vectors` is read for what may be said of one."""
        self._entry, self._means, self._kept, self._vectors = entry, means, kept, vectors
        self._last: tuple[int, Means] | None = None
        self.where = entry.where
        self.length: int | None = None

    def some_id(self) -> int:
        """An id of a vector as rows used."""
        with VectorsFile(self._vectors) as vectors:
            return int(vectors.ids[vectors.usable][0])

    def pieces(self, group: RowGroup) -> list[Vectors]:
        """The rows of a row group, by the row group of the sessions that they are of. Raises DayError."""
        import numpy as np

        rows = self._kept[group.begin : group.begin + group.rows]
        of = rows // ROWS_PER_GROUP
        cuts = np.flatnonzero(np.diff(of)) + 1
        return [self._piece(int(some[0]) // ROWS_PER_GROUP, some % ROWS_PER_GROUP) for some in np.split(rows, cuts)]

    def _piece(self, group: int, rows: np.ndarray) -> Vectors:
        """Some rows of a row group of the sessions."""
        import numpy as np

        means = self._group(group)
        if means.unusable is not None and len(amiss := means.unusable.take(rows).drop_null()):
            with VectorsFile(self._vectors) as vectors:
                raise unusable(self._entry.where, vectors, amiss[0].as_py())
        index, values = means.index[rows], means.values
        if (index >= 0).any():
            self.length = values.shape[1]
        if 2 * len(rows) < len(means.index):  # there may be many such pieces in one row group of the partition
            used, inverse = np.unique(index[index >= 0], return_inverse=True)
            index[index >= 0], values = inverse, values[used]
        return Vectors(index, partial(take_rows, values), values.shape[1] if len(values) else 0, values.dtype)

    def _group(self, group: int) -> Means:
        """A row group of the sessions; the last is kept, since a part may end within it."""
        if self._last is None or self._last[0] != group:
            self._last = None
            self._last = group, self._means.group(group)
        return self._last[1]
