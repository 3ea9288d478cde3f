"""Puts a parquet file together from columns of others, without decoding them.

The files are aligned: the same rows, cut into the same row groups (parquet.py writes nothing else). A
row group that goes over whole is copied as it lies there, compressed; one of which only a part is wanted
is written anew. Encoding long lists is most of what a partition costs, so it is done once, where they are made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from daedalus.skeleton.parquet import ROWS_PER_GROUP, write_parquet
from daedalus.skeleton.thrift import BINARY, I16, I32, I64, LIST, STRUCT, Struct, read_struct, write_struct

_MAGIC = b"PAR1"
# Field ids of parquet.thrift.
_VERSION, _SCHEMA, _ROWS, _GROUPS, _CREATED_BY, _ORDERS = 1, 2, 3, 4, 6, 7  # FileMetaData
_NAME, _CHILDREN = 4, 5  # SchemaElement
_COLUMNS, _BYTES, _GROUP_ROWS, _GROUP_START, _COMPRESSED, _ORDINAL = 1, 2, 3, 5, 6, 7  # RowGroup
_FILE_OFFSET, _META = 2, 3  # ColumnChunk
_UNPACKED, _PACKED, _DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE = 6, 7, 9, 10, 11  # ColumnMetaData


class Spliced:
    """A file being put together; `columns` are (name, source) in order, `sources` the aligned files by name."""

    def __init__(self, columns: Sequence[tuple[str, str]], sources: Mapping[str, Path]) -> None:
        self._stack = ExitStack()
        self._paths = {source: sources[source] for _, source in columns}
        self._used = {s: _Source(self._stack.enter_context(path.open("rb"))) for s, path in self._paths.items()}
        self._columns = [(name, self._used[source]) for name, source in columns]
        lengths = {source: file.rows for source, file in self._used.items()}
        self.rows = max(lengths.values())
        if len(set(lengths.values())) > 1:
            raise ValueError(f"files that do not align: {lengths}")

    def __enter__(self) -> Spliced:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, path: Path, begin: int, end: int) -> None:
        """Writes rows `begin` to `end`, exclusive."""
        with open(path, "wb") as out, ExitStack() as pieces:
            out.write(_MAGIC)
            groups: list[Struct] = []
            for group, first, last in _spans(begin, end):
                columns = self._columns
                if last - first < min(ROWS_PER_GROUP, self.rows - group * ROWS_PER_GROUP):
                    columns, group = self._cut(pieces, group, first, last), 0
                groups.append(_copy_group(out, columns, group, len(groups)))
            _end(out, self._footer(groups, end - begin))

    def _cut(self, pieces: ExitStack, group: int, first: int, last: int) -> list[tuple[str, _Source]]:
        """The columns with rows `first` to `last` of a row group alone in new files, in memory."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        cut = {}
        for source, path in self._paths.items():
            names = [name for name, file in self._columns if file is self._used[source]]
            with pq.ParquetFile(path) as file:
                table = file.read_row_group(group, columns=names, use_threads=False).slice(first, last - first)
            written = pa.BufferOutputStream()
            write_parquet(written, table.schema, [table])
            cut[id(self._used[source])] = _Source(pieces.enter_context(pa.BufferReader(written.getvalue())))
        return [(name, cut[id(file)]) for name, file in self._columns]

    def _footer(self, groups: list[Struct], rows: int) -> Struct:
        elements = [element for name, file in self._columns for element in file.schema[name]]
        leaves = sum(len(file.leaves[name]) for name, file in self._columns)
        some = self._columns[0][1].footer
        root = {**some[_SCHEMA][1][1][0], _CHILDREN: (I32, len(self._columns))}
        return {
            _VERSION: some[_VERSION],
            _SCHEMA: (LIST, (STRUCT, [root, *elements])),
            _ROWS: (I64, rows),
            _GROUPS: (LIST, (STRUCT, groups)),
            _CREATED_BY: some.get(_CREATED_BY, (BINARY, b"")),
            _ORDERS: (LIST, (STRUCT, [{1: (STRUCT, {})}] * leaves)),  # each by its type's own order
        }


def stack(whole: Path, kept: int, more: Path, out: Path) -> None:
    """Writes the first `kept` row groups of a file, and below them those of another with the same columns.

    Raises ValueError when the columns differ.
    """
    with whole.open("rb") as above, more.open("rb") as below, out.open("wb") as written:
        first, second = _Source(above), _Source(below)
        if first.schema != second.schema:
            raise ValueError("files with other columns")
        written.write(_MAGIC)
        groups: list[Struct] = []
        for source, count in ((first, kept), (second, len(second.groups))):
            columns = [(name, source) for name in source.schema]
            groups += [_copy_group(written, columns, i, len(groups) + i) for i in range(count)]
        rows = sum(group[_GROUP_ROWS][1] for group in groups)
        _end(written, {**second.footer, _ROWS: (I64, rows), _GROUPS: (LIST, (STRUCT, groups))})


def _end(out: BinaryIO, footer: Struct) -> None:
    data = write_struct(footer)
    out.write(data + len(data).to_bytes(4, "little") + _MAGIC)


class _Source:
    """A parquet file's footer, taken apart by top-level column."""

    def __init__(self, file: BinaryIO | Any) -> None:
        self.file = file
        size = file.seek(0, os.SEEK_END)
        file.seek(size - 8)
        length = int.from_bytes(file.read(4), "little")
        file.seek(size - 8 - length)
        self.footer = read_struct(file.read(length))
        self.rows: int = self.footer[_ROWS][1]
        self.groups: list[Struct] = self.footer[_GROUPS][1][1]
        self.schema: dict[str, list[Struct]] = {}
        self.leaves: dict[str, range] = {}
        self._take_apart(self.footer[_SCHEMA][1][1])

    def _take_apart(self, elements: list[Struct]) -> None:
        at, leaf = 1, 0
        while at < len(elements):
            begin, first, open_nodes = at, leaf, 1
            while open_nodes:
                children = elements[at].get(_CHILDREN, (I32, 0))[1]
                leaf += not children
                open_nodes += children - 1
                at += 1
            name = elements[begin][_NAME][1].decode()
            self.schema[name], self.leaves[name] = elements[begin:at], range(first, leaf)

    def chunks(self, group: int, name: str) -> Iterator[Struct]:
        columns = self.groups[group][_COLUMNS][1][1]
        return (columns[leaf] for leaf in self.leaves[name])


def _spans(begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(row group, its first row wanted, its last, exclusive) for rows of a file."""
    for group in range(begin // ROWS_PER_GROUP, -(-end // ROWS_PER_GROUP)):
        start = group * ROWS_PER_GROUP
        yield group, max(begin - start, 0), min(end - start, ROWS_PER_GROUP)


def _copy_group(out: BinaryIO, columns: Sequence[tuple[str, _Source]], group: int, ordinal: int) -> Struct:
    """Copies a row group of each column, and returns what the footer says of them together."""
    start = out.tell()
    copied = [_copy_chunk(out, file, chunk) for name, file in columns for chunk in file.chunks(group, name)]
    unpacked = sum(chunk[_META][1][_UNPACKED][1] for chunk in copied)
    return {
        _COLUMNS: (LIST, (STRUCT, copied)),
        _BYTES: (I64, unpacked),
        _GROUP_ROWS: columns[0][1].groups[group][_GROUP_ROWS],
        _GROUP_START: (I64, start),
        _COMPRESSED: (I64, out.tell() - start),
        _ORDINAL: (I16, ordinal),
    }


def _bytes_of(source: _Source, meta: Struct) -> tuple[int, bytes]:
    """Where a column chunk begins, and its pages."""
    start = min(meta[field][1] for field in (_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE) if field in meta)
    source.file.seek(start)
    return start, source.file.read(meta[_PACKED][1])


def _copy_chunk(out: BinaryIO, source: _Source, chunk: Struct) -> Struct:
    meta: Struct = chunk[_META][1]
    start, data = _bytes_of(source, meta)
    shift = out.tell() - start
    out.write(data)
    moved = {
        field: (kind, value + shift) if field in (_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE) else (kind, value)
        for field, (kind, value) in meta.items()
    }
    return {_FILE_OFFSET: (I64, 0), _META: (STRUCT, moved)}
