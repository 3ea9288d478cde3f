"""Looks at somebody's embedding pool: its tables, and which of their columns holds the items' ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daedalus.base.errors import DaedalusError
from daedalus.init import names
from daedalus.init.feed import FeedLook
from daedalus.init.values import Columns, family
from daedalus.inputs.input_file import Inputs
from daedalus.inputs.lance.table import ERRORS, open_table, said
from daedalus.inputs.pool import newest_manifest
from daedalus.sql.column_types import type_name

_ROWS = 100_000


@dataclass(frozen=True)
class PoolLook:
    uri: str
    tables: Mapping[str, Columns]
    ids: Mapping[str, frozenset]  # some of a column that may hold ids, of the first table

    @property
    def items(self) -> frozenset:
        """Ids of a column that is named like those of items, or the only one."""
        named = [column for column in self.ids if names.rank(column, names.ITEM, last=True) is not None]
        column = named[0] if named else next(iter(self.ids), "")
        return self.ids.get(column, frozenset())

    def id_column(self, feed: FeedLook) -> tuple[str, bool]:
        """(the column with the items' ids, whether that is sure)."""
        own, kind = feed.own("artwork_id"), family(feed.kind("artwork_id"))
        first = next(iter(self.tables.values()))
        fits = [column for column, type in first.items() if family(type) == kind]
        for name in ("artwork_id", own):
            if name in fits:
                return name, True
        held = {column: feed.sample.overlap(own, self.ids[column]) for column in fits}
        if held and max(held.values()) >= 0.5:
            return max(held, key=lambda column: held[column]), True
        named = [column for column in fits if names.rank(column, names.ITEM, last=True) is not None]
        return (named or fits or ["artwork_id"])[0], bool(named)


def look_at_pool(path: str, inputs: Inputs) -> PoolLook:
    """The tables of a Lance database. Raises DaedalusError when there is none."""
    tables, ids = dict[str, Columns](), dict[str, frozenset]()
    for folder in sorted(Path(path).glob("*.lance")):
        newest_manifest(inputs.files, path, folder.stem, f"--pool {path}")
        try:
            table = open_table(str(folder))
            columns = {field.name: type_name(field.type) for field in table.schema}
            if not tables:
                ids = {name: frozenset(table.head(_ROWS, columns=[name])[name].to_pylist()) - {None}
                       for name, kind in columns.items() if family(kind) and kind != "UUID"}  # fmt: skip
        except ERRORS as error:
            found = said(error)
            raise DaedalusError("a Lance table cannot be read", where=f"--pool {path}: {folder.stem}", found=found,
                                expected="a whole table", hint="restore or move it") from None  # fmt: skip
        tables[folder.stem] = columns
    if not tables:
        raise DaedalusError("there is no Lance table", where=f"--pool {path}", expected="NAME.lance folders in it")
    return PoolLook(path, tables, ids)
