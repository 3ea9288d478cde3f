"""A parquet file's footer: reads it by column, and builds one from row groups.

The constants are field ids of the structs in parquet.thrift of parquet-format.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from daedalus.parquet.thrift import BINARY, I16, I64, LIST, STRUCT, Struct, read_struct, write_struct

MAGIC = b"PAR1"
VERSION, SCHEMA, ROWS, GROUPS, CREATED_BY, ORDERS = 1, 2, 3, 4, 6, 7  # FileMetaData
TYPE, NAME, CHILDREN = 1, 4, 5  # SchemaElement
COLUMNS, BYTES, GROUP_ROWS, GROUP_START, COMPRESSED, ORDINAL = 1, 2, 3, 5, 6, 7  # RowGroup
FILE_OFFSET, META = 2, 3  # ColumnChunk
# ColumnMetaData; its type is as in SchemaElement
ENCODINGS, PATH, CODEC, VALUES, UNPACKED, PACKED, DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE = 2, 3, 4, 5, 6, 7, 9, 10, 11
# `created_by`, in the form that readers parse. The version is that of the written format, not the package's.
MADE_BY = b"daedalus version 1.0.0 (build 1)"
PAGES = (DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE)  # offsets in the file of the first page of each kind


class ParquetFooter:
    """The footer of an open file, by top-level column.

    `groups` are the row groups; `schema` has each column's schema elements; `leaves` has the indices of its leaf
    columns, which are those of its column chunks in a row group.
    """

    def __init__(self, file: BinaryIO | Any) -> None:
        self.file = file
        size = file.seek(0, os.SEEK_END)
        file.seek(size - 8)
        length = int.from_bytes(file.read(4), "little")
        file.seek(size - 8 - length)
        self.footer = read_struct(file.read(length))
        self.groups: list[Struct] = self.footer[GROUPS][1][1]
        self.group_rows: list[int] = [group[GROUP_ROWS][1] for group in self.groups]
        self.schema: dict[str, list[Struct]] = {}
        self.leaves: dict[str, range] = {}
        self._take_apart(self.footer[SCHEMA][1][1])

    def _take_apart(self, elements: list[Struct]) -> None:
        """Splits the schema, which is a tree in depth-first order, into the subtrees of the root."""
        at, leaf = 1, 0  # element 0 is the root
        while at < len(elements):
            begin, first, open_nodes = at, leaf, 1
            while open_nodes:
                children = elements[at].get(CHILDREN, (0, 0))[1]
                leaf += not children
                open_nodes += children - 1
                at += 1
            name = elements[begin][NAME][1].decode()
            self.schema[name], self.leaves[name] = elements[begin:at], range(first, leaf)

    def chunks(self, group: int, name: str) -> Iterator[Struct]:
        """The column chunks of a column in a row group, one per leaf."""
        columns = self.groups[group][COLUMNS][1][1]
        return (columns[leaf] for leaf in self.leaves[name])


def row_group(chunks: Sequence[Struct], rows: int, start: int, ordinal: int) -> Struct:
    """The RowGroup struct for column chunks, as `column_chunk` returns them, that begin at `start` in the file."""
    unpacked, packed = (sum(chunk[META][1][size][1] for chunk in chunks) for size in (UNPACKED, PACKED))
    return {
        COLUMNS: (LIST, (STRUCT, list(chunks))),
        BYTES: (I64, unpacked),
        GROUP_ROWS: (I64, rows),
        GROUP_START: (I64, start),
        COMPRESSED: (I64, packed),
        ORDINAL: (I16, ordinal),
    }


def column_chunk(meta: Struct) -> Struct:
    """The ColumnChunk struct for a ColumnMetaData struct."""
    return {FILE_OFFSET: (I64, 0), META: (STRUCT, meta)}


def with_groups(footer: Struct, groups: Sequence[Struct]) -> Struct:
    """The footer with other row groups, and us as its creator."""
    rows = sum(group[GROUP_ROWS][1] for group in groups)
    return {**footer, ROWS: (I64, rows), GROUPS: (LIST, (STRUCT, list(groups))), CREATED_BY: (BINARY, MADE_BY)}


def finish(out: BinaryIO, footer: Struct) -> None:
    """Writes the footer, its length and the magic number: the end of a file."""
    data = write_struct(footer)
    out.write(data + len(data).to_bytes(4, "little") + MAGIC)
