"""Which rows of a partition were added, removed or changed since another one, in DuckDB, which spills what is large.

Rows are told by some columns and by their order among equals. What is found is kept in files: pairs of row numbers
first, then for each pair which columns differ. Row numbers count over all parts of a partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.ports import Scratch
from daedalus.sql.duck import Bindings, Duck, unreadable
from daedalus.sql.text import POSITION, Sql, columns, literal, name, parquet

if TYPE_CHECKING:
    import pyarrow as pa

CHANGE, DIFFERING = "daeda:change", "daeda:columns"  # columns of an export
_PAIRS, _CELLS = "daeda:pairs", "daeda:cells"
_OLD, _NEW, _NTH, _AT = '"daeda:old"', '"daeda:new"', '"daeda:nth"', '"daeda:at"'
_DIFFER = '"daeda:differ"'
_SOME = 3  # examples of each kind


@dataclass(frozen=True)
class Side:
    """One of two partitions: its parts with their rows, and its columns with their names in the files."""

    label: str
    parts: Sequence[tuple[Path, int]]
    columns: Mapping[str, str]

    @property
    def bound(self) -> dict[str, list[Path]]:
        return {f"{self.label}{i}": [part] for i, (part, _) in enumerate(self.parts)}

    def rows(self, wanted: Iterable[str]) -> str:
        """SQL of some of its columns, and `_AT`, the number of each row."""
        ahead = accumulate((rows for _, rows in self.parts), initial=0)
        listed = "".join(f"{name(self.columns[one])} AS {name(one)}, " for one in wanted)
        return "(" + " UNION ALL ".join(
            f"SELECT {listed}{POSITION} + {before} AS {_AT} FROM {parquet(bound, positions=True)}"
            for bound, before in zip(self.bound, ahead, strict=False)
        ) + ")"  # fmt: skip


class RowChanges:
    """What differs between two partitions whose rows are told by `keys`, columns of both; `compared` are others that
    both have."""

    def __init__(self, duck: Duck, scratch: Scratch, sides: tuple[Side, Side], keys: Sequence[str]) -> None:
        self._duck, self._scratch, self._keys = duck, scratch, keys
        self.old, self.new = sides
        self._bound: dict[str, Sequence[Path]] = {**self.old.bound, **self.new.bound}
        self._bound[_PAIRS] = [self._copied(self._pairs())]
        self._cells: list[Path] = []
        self._compared: list[str] = []

    def compare(self, batches: Iterable[Sequence[str]]) -> None:
        """Compares columns, some at a time: a batch is read at once, of large columns take few."""
        for batch in batches:
            self._cells.append(self._copied(self._differing(batch, len(self._compared))))
            self._compared += batch
        self._bound[_CELLS] = self._cells

    def _copied(self, select: str) -> Path:
        path = self._scratch.path(".parquet")
        self._written(select, path)
        return path

    def _written(self, select: str, path: Path) -> int:
        with unreadable():
            return self._duck.copy(Sql(select), Bindings(self._bound), path)["rows"]

    def _table(self, select: str) -> pa.Table:
        with unreadable():
            return self._duck.table(Sql(select), Bindings(self._bound))

    def _pairs(self) -> str:
        """The numbers of rows that are the same row, then and now; NULL where it is not there."""
        among = f"PARTITION BY {columns(self._keys)} " if self._keys else ""
        numbered = {
            side.label: f"(SELECT *, row_number() OVER ({among}ORDER BY {_AT}) AS {_NTH} FROM {side.rows(self._keys)})"
            for side in (self.old, self.new)
        }
        same = " AND ".join(f"o.{key} IS NOT DISTINCT FROM n.{key}" for key in [*map(name, self._keys), _NTH])
        return (f"SELECT o.{_AT} AS {_OLD}, n.{_AT} AS {_NEW} FROM {numbered[self.old.label]} o "
                f"FULL JOIN {numbered[self.new.label]} n ON {same}")  # fmt: skip

    def _differing(self, batch: Sequence[str], first: int) -> str:
        """Of the rows of both, those that differ in a batch of columns, and in which, by number."""
        unlike = (
            f"CASE WHEN o.{name(one)} IS DISTINCT FROM n.{name(one)} THEN {first + i} END"
            for i, one in enumerate(batch)
        )
        return (f"SELECT * FROM (SELECT {_OLD}, {_NEW}, list_filter([{', '.join(unlike)}], lambda x: x IS NOT NULL) "
                f"AS {_DIFFER} FROM {parquet(_PAIRS)} JOIN {self.old.rows(batch)} o ON o.{_AT} = {_OLD} "
                f"JOIN {self.new.rows(batch)} n ON n.{_AT} = {_NEW}) WHERE len({_DIFFER}) > 0")  # fmt: skip

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many rows were `added`, `removed` and `changed`, and how many are in `both`."""
        kinds = {"added": f"{_OLD} IS NULL", "removed": f"{_NEW} IS NULL", "both": f"{_OLD} + {_NEW} IS NOT NULL"}
        counted = (f"count(*) FILTER ({which}) AS {name(kind)}" for kind, which in kinds.items())
        select = f"SELECT {', '.join(counted)} FROM {parquet(_PAIRS)}"
        found = self._table(select).to_pylist()[0]
        if not self._cells:
            return {**found, "changed": 0}
        return {
            **found,
            **self._table(f"SELECT count(DISTINCT {_NEW}) AS changed FROM {parquet(_CELLS)}").to_pylist()[0],
        }

    @cached_property
    def differing(self) -> dict[str, int]:
        """In how many rows of both each compared column differs, where it does."""
        if not self._cells:
            return {}
        each = f"SELECT unnest({_DIFFER}) AS i FROM {parquet(_CELLS)}"
        rows = self._table(f"SELECT i, count(*) AS rows FROM ({each}) GROUP BY i").to_pylist()
        return {self._compared[row["i"]]: row["rows"] for row in sorted(rows, key=lambda row: row["i"])}

    def some_changed(self) -> dict[str, list[tuple[int, int]]]:
        """(row then, row now) of the first few rows in which each compared column differs."""
        if not self._cells:
            return {}
        each = f"SELECT unnest({_DIFFER}) AS i, {_OLD} AS old, {_NEW} AS new FROM {parquet(_CELLS)}"
        first = f"row_number() OVER (PARTITION BY i ORDER BY new) <= {_SOME}"
        found: dict[str, list[tuple[int, int]]] = {}
        for row in self._table(f"SELECT * FROM ({each}) QUALIFY {first} ORDER BY i, new").to_pylist():
            found.setdefault(self._compared[row["i"]], []).append((row["old"], row["new"]))
        return found

    def some_alone(self, side: Side) -> pa.Table:
        """The keys of the first few rows that only one side has."""
        here, there = (_OLD, _NEW) if side is self.old else (_NEW, _OLD)
        alone = f"SELECT {here} AS place FROM {parquet(_PAIRS)} WHERE {there} IS NULL ORDER BY place LIMIT {_SOME}"
        listed = columns(self._keys) or "NULL AS none"
        return self._table(
            f"SELECT {listed} FROM {side.rows(self._keys)} JOIN ({alone}) ON {_AT} = place ORDER BY {_AT}"
        )

    def values(self, side: Side, wanted: Sequence[str], places: Iterable[int]) -> tuple[pa.Table, dict[int, int]]:
        """(columns of a few rows of a side, where in that table each of these is, by its number)."""
        ordered = sorted({*places})
        listed = columns(wanted)
        among = ", ".join(map(str, ordered)) or "NULL"
        table = self._table(f"SELECT {listed} FROM {side.rows(wanted)} WHERE {_AT} IN ({among}) ORDER BY {_AT}")
        return table, {place: i for i, place in enumerate(ordered)}

    def export(self, path: Path, as_text: Iterable[str]) -> int:
        """Writes every row that was added, removed or changed, the last as it is now; returns how many.

        `as_text` are columns whose types differ between the two.
        """
        text = {*as_text}
        names = [*dict.fromkeys([*self.new.columns, *self.old.columns])]
        parts = [self._exported("added", self.new, names, text), self._exported("removed", self.old, names, text)]
        parts += [self._exported("changed", self.new, names, text)] if self._cells else []
        return self._written(" UNION ALL BY NAME ".join(parts), path)  # unsorted: to sort wide rows takes memory

    def _exported(self, change: str, side: Side, names: Sequence[str], text: set[str]) -> str:
        here = [one for one in names if one in side.columns]
        values = (f"CAST({name(one)} AS VARCHAR) AS {name(one)}" if one in text else name(one) for one in here)
        listed = ", ".join(self._compared_names()) or "''"
        differ, chosen = "CAST([] AS VARCHAR[])", self._alone(side)
        if change == "changed":
            differ = f"list_transform({_DIFFER}, lambda i: [{listed}][i + 1])"
            chosen = (f"SELECT {_NEW} AS place, flatten(list({_DIFFER} ORDER BY {_DIFFER})) AS {_DIFFER} "
                      f"FROM {parquet(_CELLS)} GROUP BY place")  # fmt: skip
        head = f"{literal(change)} AS {name(CHANGE)}, {differ} AS {name(DIFFERING)}"
        return f"SELECT {head}, {', '.join(values)} FROM {side.rows(here)} JOIN ({chosen}) ON {_AT} = place"

    def _alone(self, side: Side) -> str:
        here, there = (_OLD, _NEW) if side is self.old else (_NEW, _OLD)
        return f"SELECT {here} AS place FROM {parquet(_PAIRS)} WHERE {there} IS NULL"

    def _compared_names(self) -> Iterator[str]:
        return (literal(one) for one in self._compared)
