"""Renames columns of a parquet file: the same pages, with another footer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from daedalus.parquet.footer import CHILDREN, COLUMNS, GROUPS, MAGIC, NAME, PATH, SCHEMA
from daedalus.parquet.thrift import BINARY, Struct, read_struct, write_struct

_CHUNK_META = 3  # ColumnMetaData in a ColumnChunk


def rename_columns(path: Path, names: Mapping[str, str]) -> None:
    """Gives top-level columns of a file other names, by those that they have; two may change places."""
    to = {old.encode(): new.encode() for old, new in names.items()}
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END) - 8
        file.seek(end)
        begin = end - int.from_bytes(file.read(4), "little")
        file.seek(begin)
        footer = read_struct(file.read(end - begin))
        _rename_elements(footer[SCHEMA][1][1], to)
        for group in footer[GROUPS][1][1]:
            for chunk in group[COLUMNS][1][1]:
                place = chunk[_CHUNK_META][1][PATH][1][1]
                place[0] = to.get(place[0], place[0])
        data = write_struct(footer)
        file.seek(begin)
        file.write(data + len(data).to_bytes(4, "little") + MAGIC)
        file.truncate()


def _rename_elements(elements: list[Struct], to: Mapping[bytes, bytes]) -> None:
    """Renames the children of a schema's root, which is a tree in depth-first order."""
    at = 1
    while at < len(elements):
        name = elements[at][NAME][1]
        elements[at][NAME] = (BINARY, to.get(name, name))
        open_nodes = 1
        while open_nodes:
            open_nodes += elements[at].get(CHILDREN, (0, 0))[1] - 1
            at += 1
