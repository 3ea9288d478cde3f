"""Finds the days that a change of a view, of the pool or of the publications affects, for the whole range at once.

A step that joins a keyed table reads only the rows of its day's entities. If nothing else in its manifest
changed, and no entity whose rows changed occurs on its day, it would give the same bytes and need not run.
The changed entities are the difference of the two artifacts; a look into all artifacts that have the days' entities,
such as their spines, finds the days on which they occur.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.days import Day
from daedalus.sql.duck import Bindings, Ducks
from daedalus.sql.text import FILE, Sql, name, parquet
from daedalus.tables.differences import Changed, changed_among, has_any

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Keyed:
    """A table that steps join by key: its action, its key, and the column that is joined to the key, of the artifact
    that the actions `entities` of their days, or spans of days, made last.

    Where the table has a row per key and `time`, a step reads those before the end of its day."""

    action: str
    key: str
    joined: str
    entities: str = "spine"
    time: str = ""


class Unaffected:
    """Tells unaffected steps of one graph's feed days.

    `known(action)` is the artifact of an action's last run or hit, or None; `whole(artifact)` is its path, or
    None if it cannot be used.
    """

    def __init__(self, ducks: Ducks, known: Callable[[str], str | None], whole: Callable[[str], Path | None]) -> None:
        self._ducks, self._known, self._whole = ducks, known, whole
        self._days: set[str] = set()
        self._answers: dict[tuple[Keyed, str, str], _Answer] = {}

    def watch(self, day: str) -> None:
        """Adds a feed day, or a span of days, of the graph."""
        self._days.add(day)

    def is_unaffected(self, day: str, tables: Sequence[Keyed], old: Mapping[str, str], new: Mapping[str, str]) -> bool:
        """Whether a step of `day` that joins `tables` certainly gives the same bytes for the `new` manifest as for the
        `old` one."""
        differing = [label for label in old.keys() | new.keys() if old.get(label) != new.get(label)]
        by_label = {f"upstream:{table.action}": table for table in tables}
        if not differing or any(label not in by_label or label not in old for label in differing):
            return False
        return all(self._without_changes(day, by_label[label], old[label], new[label]) for label in differing)

    def _without_changes(self, day: str, table: Keyed, old: str, new: str) -> bool:
        change = (table, old, new)
        if change not in self._answers:
            self._answers[change] = self._ask(table, old, new)
        answer = self._answers[change]
        last = self._known(f"{table.entities}@{day}")
        return last is not None and answer.searched.get(day) == last and day not in answer.touched

    def _ask(self, table: Keyed, old: str, new: str) -> _Answer:
        before, after = self._whole(old), self._whole(new)
        last = {day: made for day in sorted(self._days) if (made := self._known(f"{table.entities}@{day}"))}
        paths = {made: path for made in set(last.values()) if (path := self._whole(made))}
        if before is None or after is None or not paths:
            return _Answer({}, set())
        if not _same_columns(before, after):  # equal values of another type have other bytes
            return _Answer({}, set())
        looked_at = {day: made for day, made in last.items() if made in paths}
        try:
            touched = self._with_changes(table, before, after, {day: paths[made] for day, made in looked_at.items()})
        except Exception:  # whatever it is: the steps run
            return _Answer({}, set())
        return _Answer(looked_at, touched)

    def _with_changes(self, table: Keyed, before: Path, after: Path, searched: Mapping[str, Path]) -> set[str]:
        """The days of the files `searched` in which a key is whose rows differ."""
        changed = changed_among(before, after, table.key, table.time)
        if changed is not None:
            return {day for day, path in searched.items() if has_any(path, table.joined, _seen(changed, table, day))}
        with self._ducks.lease() as duck:
            keys = duck.table(changed_keys(table.key), Bindings({"old": [before], "new": [after]}))
            bindings = Bindings({"searched": list({*searched.values()})}, {"changed": keys})
            files = set(duck.table(days_with(table.joined), bindings)["file"].to_pylist())
        return {day for day, path in searched.items() if str(path) in files}


def _seen(changed: Changed, table: Keyed, day: str) -> pa.Array:
    """The changed keys whose rows a step of `day` may read."""
    return changed.until(Day.fromisoformat(day)) if table.time else changed.keys


@dataclass(frozen=True)
class _Answer:
    """The artifacts that were searched, by day, and the days with a changed entity."""

    searched: Mapping[str, str]
    touched: Set[str]


def _same_columns(one: Path, other: Path) -> bool:
    """Whether two files have the same columns: names, types and order."""
    import pyarrow.parquet as pq

    return pq.read_metadata(one).schema.equals(pq.read_metadata(other).schema)


def changed_keys(key: str) -> Sql:
    """SQL of the keys whose rows differ between `old` and `new`, which have the same columns.

    Rows are compared by their text too, since to GROUP BY -0.0 equals 0.0, and NaN equals NaN of another sign. Our own
    columns have names that no column of a view has.
    """
    row, text, sign = map(name, ("daeda:row", "daeda:text", "daeda:sign"))
    rows = f"SELECT {row}.*, CAST({row} AS VARCHAR) AS {text}, {{}} AS {sign} FROM {{}} {row}"
    old, new = (rows.format(number, parquet(side)) for side, number in (("old", 1), ("new", -1)))
    differing = f"SELECT * EXCLUDE ({sign}) FROM ({old} UNION ALL {new}) GROUP BY ALL HAVING sum({sign}) <> 0"
    return Sql(f"SELECT DISTINCT {name(key)} AS key FROM ({differing})")


def days_with(column: str) -> Sql:
    """SQL of the files among `searched` that have a row with one of the keys in `changed`."""
    rows = f"SELECT {name(column)} AS key, {FILE} AS file FROM {parquet('searched', files=True)}"
    return Sql(f"SELECT DISTINCT file FROM ({rows}) WHERE key IN (SELECT key FROM changed)")
