"""A parquet file's footer, taken apart by column and put together from row groups.

Source: parquet.thrift of parquet-format, of which the ids below are the fields' numbers.
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
# Who put a file together, in the form that readers parse. The version is of what is written here, not the package's.
MADE_BY = b"daedalus version 1.0.0 (build 1)"
PAGES = (DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE)  # where the first page of each kind begins in the file


class ParquetFooter:
    """A parquet file's footer, taken apart by top-level column."""

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
        at, leaf = 1, 0
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
        columns = self.groups[group][COLUMNS][1][1]
        return (columns[leaf] for leaf in self.leaves[name])


def row_group(chunks: Sequence[Struct], rows: int, start: int, ordinal: int) -> Struct:
    """What the footer says of a row group whose column chunks, as `column_chunk` has them, lie from `start` on."""
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
    return {FILE_OFFSET: (I64, 0), META: (STRUCT, meta)}


def with_groups(footer: Struct, groups: Sequence[Struct]) -> Struct:
    """A footer of the same columns over other row groups, put together here."""
    rows = sum(group[GROUP_ROWS][1] for group in groups)
    return {**footer, ROWS: (I64, rows), GROUPS: (LIST, (STRUCT, list(groups))), CREATED_BY: (BINARY, MADE_BY)}


def finish(out: BinaryIO, footer: Struct) -> None:
    """Writes what a file ends with."""
    data = write_struct(footer)
    out.write(data + len(data).to_bytes(4, "little") + MAGIC)
