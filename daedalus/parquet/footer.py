"""A parquet file's footer: reads it by column, and builds one from row groups.

The constants are field ids of the structs in parquet.thrift of parquet-format.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from daedalus.parquet.thrift import (
    BINARY,
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    Encoded,
    Struct,
    read_shallow,
    read_structs,
    write_struct,
    write_varint,
)
from daedalus.parquet.writer import write_groups

if TYPE_CHECKING:
    import pyarrow as pa

MAGIC = b"PAR1"
VERSION, SCHEMA, ROWS, GROUPS, CREATED_BY, ORDERS = 1, 2, 3, 4, 6, 7  # FileMetaData
TEXTS = 5  # the same: of the writer's own
TYPE, NAME, CHILDREN = 1, 4, 5  # SchemaElement
COLUMNS, BYTES, GROUP_ROWS, GROUP_START, COMPRESSED, ORDINAL = 1, 2, 3, 5, 6, 7  # RowGroup
# ColumnMetaData; its type is as in SchemaElement
ENCODINGS, PATH, CODEC, VALUES, UNPACKED, PACKED, DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE = 2, 3, 4, 5, 6, 7, 9, 10, 11
# `created_by`, in the form that readers parse. The version is that of the written format, not the package's.
MADE_BY = b"daedalus version 1.0.0 (build 1)"
PAGES = (DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE)  # offsets in the file of the first page of each kind
_CHUNK_HEAD, _CHUNK_END = b"\x26\x00\x1c", b"\x00\x00"  # of a ColumnChunk: file_offset is 0, then its ColumnMetaData


class Chunk(NamedTuple):
    """A column chunk and what a footer says of it.

    Its ColumnMetaData is `said`, without the end's zero, with the `offsets` of pages between the texts of it, which
    here count from where the chunk begins.
    """

    data: Sequence[Any]
    said: Sequence[bytes]
    offsets: Sequence[int]
    unpacked: int
    packed: int


class Column(NamedTuple):
    """A top-level column: its schema elements, and the indices of its leaves, which are those of its column chunks."""

    elements: Sequence[Struct]
    encoded: Sequence[Encoded]
    leaves: range


class ParquetFooter:
    """The footer of an open file, by top-level column. `group_rows` has the rows of each row group."""

    def __init__(self, file: BinaryIO | Any) -> None:
        import numpy as np

        from daedalus.parquet import compiled_thrift

        self.file = file
        size = file.seek(0, os.SEEK_END)
        file.seek(size - 8)
        length = int.from_bytes(file.read(4), "little")
        file.seek(size - 8 - length)
        self._data: bytes = file.read(length)
        self.footer = read_shallow(self._data)
        self.root, self.columns = _columns(self.footer[SCHEMA][1])
        leaves = sum(len(column.leaves) for column in self.columns.values())
        rows, found = compiled_thrift.row_groups(np.frombuffer(self.footer[GROUPS][1], np.uint8), 0, leaves)
        self.group_rows: list[int] = rows.tolist()
        self._found: list[list[list[int]]] = found.tolist()

    def chunks(self, group: int, name: str) -> list[Chunk]:
        """The column chunks of a column in a row group, one per leaf."""
        return [self._chunk(self._found[group][leaf]) for leaf in self.columns[name].leaves]

    def _chunk(self, found: Sequence[int]) -> Chunk:
        """`found` is what compiled_thrift.py says of a chunk."""
        at, end, unpacked, packed, *places = found
        groups, said, offsets = self.footer[GROUPS][1], [], []
        for begin, behind, offset in zip(places[::3], places[1::3], places[2::3], strict=True):
            if begin >= 0:
                said.append(groups[at:begin])
                offsets.append(offset)
                at = behind
        start = min(offsets)
        self.file.seek(start)
        data = self.file.read(packed)
        return Chunk((data,), (*said, groups[at:end]), [offset - start for offset in offsets], unpacked, packed)


@lru_cache(256)
def _columns(schema: bytes) -> tuple[Struct, dict[str, Column]]:
    """(the root of a schema; its columns by name). A schema is a tree in depth-first order; days have the same."""
    (root, _), *elements = read_structs(schema)
    columns = {}
    at = leaf = 0
    while at < len(elements):
        begin, first, open_nodes = at, leaf, 1
        while open_nodes:
            children = elements[at][0].get(CHILDREN, (0, 0))[1]
            leaf += not children
            open_nodes += children - 1
            at += 1
        structs, encoded = zip(*elements[begin:at], strict=True)
        columns[structs[0][NAME][1].decode()] = Column(structs, tuple(map(Encoded, encoded)), range(first, leaf))
    return root, columns


def in_memory(
    schema: pa.Schema, tables: Iterable[pa.Table], encodings: Mapping[str, Any] | None = None
) -> ParquetFooter:
    """The footer of a file in memory that pyarrow writes of these row groups; see `write_groups`."""
    import pyarrow as pa

    out = pa.BufferOutputStream()
    write_groups(out, schema, tables, encodings)
    return ParquetFooter(pa.BufferReader(out.getvalue()))


def joined(columns: Sequence[tuple[str, ParquetFooter]]) -> Struct:
    """The footer without row groups of a file with these columns, each of the file that it comes from."""
    found = [file.columns[name] for name, file in columns]
    elements = [element for column in found for element in column.encoded]
    some = columns[0][1]
    root = {**some.root, CHILDREN: (I32, len(columns))}
    leaves = sum(len(column.leaves) for column in found)
    return {
        VERSION: some.footer[VERSION],
        SCHEMA: (LIST, (STRUCT, [root, *elements])),
        ORDERS: (
            LIST,
            (STRUCT, [Encoded(write_struct({1: (STRUCT, {})}))] * leaves),
        ),  # TypeDefinedOrder: of statistics
    }


def texts(of_file: Mapping[str, str]) -> Struct:
    """What a footer has, beside what is `joined`, to say these texts by key of its file."""
    pairs = [{1: (BINARY, key.encode()), 2: (BINARY, text.encode())} for key, text in of_file.items()]
    return {TEXTS: (LIST, (STRUCT, pairs))}


class Assembled:
    """A parquet file that is put together of column chunks. `footer` is what it will say but for the row groups."""

    def __init__(self, out: BinaryIO, footer: Struct) -> None:
        self._out, self._footer = out, footer
        self._groups: list[Encoded] = []
        self.rows = 0
        self._at = out.write(MAGIC)

    def add(self, chunks: Iterable[Chunk], rows: int) -> None:
        """Writes a row group: the chunks of all leaves, in order."""
        start, said, count, unpacked = self._at, bytearray(), 0, 0
        for chunk in chunks:
            count, unpacked = count + 1, unpacked + chunk.unpacked
            said += _CHUNK_HEAD
            for text, offset in zip(chunk.said, chunk.offsets, strict=False):
                said += text
                write_varint(said, (self._at + offset) << 1)
            said += chunk.said[-1] + _CHUNK_END
            self._out.writelines(chunk.data)
            self._at += chunk.packed
        group: Struct = {
            COLUMNS: (LIST, Encoded(_list_head(count) + said)),
            BYTES: (I64, unpacked),
            GROUP_ROWS: (I64, rows),
            GROUP_START: (I64, start),
            COMPRESSED: (I64, self._at - start),
            ORDINAL: (I16, len(self._groups)),
        }
        self._groups.append(Encoded(write_struct(group)))
        self.rows += rows

    def finish(self) -> int:
        """Writes the footer, its length and the magic number; returns the rows of the file. We are its creator."""
        groups = (LIST, (STRUCT, self._groups))
        data = write_struct({**self._footer, ROWS: (I64, self.rows), GROUPS: groups, CREATED_BY: (BINARY, MADE_BY)})
        self._out.write(data + len(data).to_bytes(4, "little") + MAGIC)
        return self.rows


def _list_head(count: int) -> bytes:
    """The start of a list of so many structs."""
    head = bytearray([min(count, 15) << 4 | STRUCT])
    if count >= 15:
        write_varint(head, count)
    return bytes(head)
