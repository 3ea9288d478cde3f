"""Builds a parquet file from columns of others, without decoding them.

The files must be aligned: the same rows in the same row groups. A whole row group is copied compressed, as it is; a
row group of which only some rows are wanted is decoded and written again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from daedalus.parquet import footer
from daedalus.parquet.footer import META, PAGES, ParquetFooter
from daedalus.parquet.thrift import I32, LIST, STRUCT, Struct
from daedalus.parquet.writer import write_parquet


class Spliced:
    """Columns of several aligned files, to be written as one file.

    `columns` are (name, source) in order, `sources` are the files by name. Raises ValueError if they do not align.
    """

    def __init__(self, columns: Sequence[tuple[str, str]], sources: Mapping[str, Path]) -> None:
        self._stack = ExitStack()
        self._paths = [(name, sources[source]) for name, source in columns]
        opened = {path: self._stack.enter_context(path.open("rb")) for path in {path for _, path in self._paths}}
        files = {path: ParquetFooter(file) for path, file in opened.items()}
        self._columns = [(name, files[path]) for name, path in self._paths]
        lengths = {source: files[sources[source]].group_rows for _, source in columns}
        self._group_rows = next(iter(lengths.values()))
        self.rows = sum(self._group_rows)
        if any(rows != self._group_rows for rows in lengths.values()):
            raise ValueError(f"files that do not align: {lengths}")

    def __enter__(self) -> Spliced:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, path: Path, begin: int, end: int) -> None:
        """Writes rows `begin` to `end`, exclusive."""
        with open(path, "wb") as out, ExitStack() as pieces:
            out.write(footer.MAGIC)
            groups: list[Struct] = []
            for group, first, last in _spans(self._group_rows, begin, end):
                columns = self._columns
                if last - first < self._group_rows[group]:
                    columns, group = self._cut(pieces, group, first, last), 0
                groups.append(_copy_group(out, columns, group, len(groups)))
            footer.finish(out, footer.with_groups(self._footer(), groups))

    def _cut(self, pieces: ExitStack, group: int, first: int, last: int) -> list[tuple[str, ParquetFooter]]:
        """Writes rows `first` to `last` of a row group to new files in memory; returns the columns in those."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        cut = {}
        for path in dict.fromkeys(path for _, path in self._paths):
            names = [name for name, of in self._paths if of == path]
            with pq.ParquetFile(path) as file:
                table = file.read_row_group(group, columns=names, use_threads=False).slice(first, last - first)
            written = pa.BufferOutputStream()
            write_parquet(written, table.schema, [table])
            cut[path] = ParquetFooter(pieces.enter_context(pa.BufferReader(written.getvalue())))
        return [(name, cut[path]) for name, path in self._paths]

    def _footer(self) -> Struct:
        """The footer without row groups: the columns' schema elements below one root."""
        elements = [element for name, file in self._columns for element in file.schema[name]]
        leaves = sum(len(file.leaves[name]) for name, file in self._columns)
        some = self._columns[0][1].footer
        root = {**some[footer.SCHEMA][1][1][0], footer.CHILDREN: (I32, len(self._columns))}
        return {
            footer.VERSION: some[footer.VERSION],
            footer.SCHEMA: (LIST, (STRUCT, [root, *elements])),
            footer.ORDERS: (LIST, (STRUCT, [{1: (STRUCT, {})}] * leaves)),  # TypeDefinedOrder of each leaf's statistics
        }


def stack(whole: Path, kept: int, more: Path, out: Path) -> None:
    """Writes to `out` the first `kept` row groups of a file, then all of another file with the same columns.

    Raises ValueError when the columns differ.
    """
    with whole.open("rb") as above, more.open("rb") as below, out.open("wb") as written:
        first, second = ParquetFooter(above), ParquetFooter(below)
        if first.schema != second.schema:
            raise ValueError("files with other columns")
        written.write(footer.MAGIC)
        groups: list[Struct] = []
        for source, count in ((first, kept), (second, len(second.groups))):
            columns = [(name, source) for name in source.schema]
            groups += [_copy_group(written, columns, i, len(groups) + i) for i in range(count)]
        footer.finish(written, footer.with_groups(second.footer, groups))


def _spans(group_rows: Sequence[int], begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The parts of row groups that are rows `begin` to `end` of a file: (row group, first row in it, end in it)."""
    start = 0
    for group, rows in enumerate(group_rows):
        first, last = max(begin - start, 0), min(end - start, rows)
        if first < last:
            yield group, first, last
        start += rows


def _copy_group(out: BinaryIO, columns: Sequence[tuple[str, ParquetFooter]], group: int, ordinal: int) -> Struct:
    """Copies the chunks of a row group, column by column; returns their RowGroup struct."""
    start = out.tell()
    copied = [_copy_chunk(out, file, chunk) for name, file in columns for chunk in file.chunks(group, name)]
    return footer.row_group(copied, columns[0][1].groups[group][footer.GROUP_ROWS][1], start, ordinal)


def _copy_chunk(out: BinaryIO, source: ParquetFooter, chunk: Struct) -> Struct:
    """Copies the bytes of a column chunk; returns its struct with the offsets of pages moved."""
    meta: Struct = chunk[META][1]
    start = min(meta[field][1] for field in PAGES if field in meta)
    shift = out.tell() - start
    source.file.seek(start)
    out.write(source.file.read(meta[footer.PACKED][1]))
    moved = {field: (kind, value + shift if field in PAGES else value) for field, (kind, value) in meta.items()}
    return footer.column_chunk(moved)
