"""Builds a parquet file from columns of others, without decoding them.

The files must be aligned: the same rows in the same row groups. A whole row group is copied compressed, as it is; a
row group of which only some rows are wanted is decoded and written again.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from daedalus.parquet.footer import Assembled, Chunk, ParquetFooter, in_memory, joined

Source = Path | io.BytesIO  # a file, on disk or in memory


class Spliced:
    """Columns of several aligned files, to be written as one file.

    `columns` are (name, source) in order, `sources` are the files by name. Raises ValueError if they do not align.
    """

    def __init__(self, columns: Sequence[tuple[str, str]], sources: Mapping[str, Source]) -> None:
        self._stack = ExitStack()
        files = {at: ParquetFooter(self._opened(at)) for at in {sources[source] for _, source in columns}}
        self._columns = [(name, files[sources[source]]) for name, source in columns]
        lengths = {source: files[sources[source]].group_rows for _, source in columns}
        self._group_rows = next(iter(lengths.values()))
        self.rows = sum(self._group_rows)
        if any(rows != self._group_rows for rows in lengths.values()):
            raise ValueError(f"files that do not align: {lengths}")

    def _opened(self, source: Source) -> BinaryIO:
        return self._stack.enter_context(source.open("rb")) if isinstance(source, Path) else source

    def __enter__(self) -> Spliced:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, path: Path, begin: int, end: int) -> None:
        """Writes rows `begin` to `end`, exclusive."""
        with path.open("wb") as out:
            file = Assembled(out, joined(self._columns))
            for group, first, last in _spans(self._group_rows, begin, end):
                if last - first < self._group_rows[group]:
                    file.add(_chunks(self._cut(group, first, last), 0), last - first)
                else:
                    file.add(_chunks(self._columns, group), last - first)
            file.finish()

    def _cut(self, group: int, first: int, last: int) -> Iterator[tuple[str, ParquetFooter]]:
        """The columns of rows `first` to `last` of a row group, each written to a new file in memory when it is asked
        for: all lists of a row group at once take gigabytes."""
        import pyarrow.parquet as pq

        with ExitStack() as stack:
            opened: dict[ParquetFooter, pq.ParquetFile] = {}
            for name, whole in self._columns:
                if whole not in opened:
                    whole.file.seek(0)
                    opened[whole] = stack.enter_context(pq.ParquetFile(whole.file))
                table = opened[whole].read_row_group(group, columns=[name], use_threads=False)
                table = table.slice(first, last - first)
                yield name, in_memory(table.schema, [table.combine_chunks()])


def stacked(files: Sequence[Path], out: Path, skipped: int = 0) -> int:
    """Writes to `out` the row groups of files with the same columns, without the first `skipped` of each; returns the
    number of rows.

    Raises ValueError when the columns differ.
    """
    import pyarrow.parquet as pq

    groups = {file: range(skipped, pq.read_metadata(file).num_row_groups) for file in files}
    return picked([(file, group) for file in files for group in groups[file]], files[0], out)


def picked(groups: Sequence[tuple[Path, int]], like: Path, out: Path) -> int:
    """Writes to `out` row groups of files with the same columns, each by its number in its file; returns the number of
    rows. All else that `like`, which has these columns too, says of itself is said of it.

    Raises ValueError when the columns differ.
    """
    with like.open("rb") as source, out.open("wb") as written:
        model = ParquetFooter(source)
        file = Assembled(written, model.footer)
        for path, several in groupby(groups, itemgetter(0)):
            with ExitStack() as stack:  # one at a time: a map has a file of each day
                footer = model if path == like else ParquetFooter(stack.enter_context(path.open("rb")))
                if footer.columns != model.columns:
                    raise ValueError("files with other columns")
                for _, group in several:
                    file.add(_chunks([(name, footer) for name in footer.columns], group), footer.group_rows[group])
        return file.finish()


def _spans(group_rows: Sequence[int], begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The parts of row groups that are rows `begin` to `end` of a file: (row group, first row in it, end in it)."""
    start = 0
    for group, rows in enumerate(group_rows):
        first, last = max(begin - start, 0), min(end - start, rows)
        if first < last:
            yield group, first, last
        start += rows


def _chunks(columns: Iterable[tuple[str, ParquetFooter]], group: int) -> Iterator[Chunk]:
    """The chunks of a row group, column by column, each read when it is asked for."""
    return (chunk for name, file in columns for chunk in file.chunks(group, name))
