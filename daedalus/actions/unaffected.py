"""Which days a change of a view, of the pool or of the publications touches: one pass for the whole range.

A step that joins a keyed table reads only the rows of its day's entities. When nothing else of its
manifest changed, and no entity whose rows changed occurs on its day, it would give the same bytes: the
day is not even read. Which entities changed is the difference of the two artifacts; on which days they
occur is asked of all spines at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from daedalus.sql.duck import Bindings, Ducks
from daedalus.sql.text import FILE, Sql, name, parquet


@dataclass(frozen=True)
class Keyed:
    """A table that steps join: its action, its key, and the spine's column that the key is joined to."""

    action: str
    key: str
    joined: str


class Unaffected:
    """Answers for the feed days of one graph.

    `known(action)` is the artifact that an action had last, or None; `whole(artifact)` where it lies, or
    None when it cannot be used.
    """

    def __init__(self, ducks: Ducks, known: Callable[[str], str | None], whole: Callable[[str], Path | None]) -> None:
        self._ducks, self._known, self._whole = ducks, known, whole
        self._days: set[str] = set()
        self._answers: dict[tuple[str, str, str], _Answer] = {}

    def watch(self, day: str) -> None:
        """A feed day of the graph."""
        self._days.add(day)

    def is_unaffected(self, day: str, tables: Sequence[Keyed], old: Mapping[str, str], new: Mapping[str, str]) -> bool:
        """Whether a step of `day` that joins `tables` makes of the `new` ingredients what it made of the `old`."""
        differing = [label for label in old.keys() | new.keys() if old.get(label) != new.get(label)]
        by_label = {f"upstream:{table.action}": table for table in tables}
        if not differing or any(label not in by_label or label not in old for label in differing):
            return False
        return all(self._spared(day, by_label[label], old[label], new[label]) for label in differing)

    def _spared(self, day: str, table: Keyed, old: str, new: str) -> bool:
        change = (table.action, old, new)
        if change not in self._answers:
            self._answers[change] = self._ask(table, old, new)
        answer = self._answers[change]
        spine = self._known(f"spine@{day}")
        return spine is not None and answer.spines.get(day) == spine and day not in answer.touched

    def _ask(self, table: Keyed, old: str, new: str) -> _Answer:
        before, after = self._whole(old), self._whole(new)
        spines = {day: spine for day in sorted(self._days) if (spine := self._known(f"spine@{day}"))}
        paths = {spine: path for spine in set(spines.values()) if (path := self._whole(spine))}
        if before is None or after is None or not paths:
            return _Answer({}, set())
        if not _same_columns(before, after):  # equal values of another type are other bytes
            return _Answer({}, set())
        try:
            with self._ducks.lease() as duck:
                changed = duck.table(changed_keys(table.key), Bindings({"old": [before], "new": [after]}))
                bindings = Bindings({"spines": list(paths.values())}, {"changed": changed})
                files = set(duck.table(days_with(table.joined), bindings)["file"].to_pylist())
        except Exception:  # such as other columns: then the steps run
            return _Answer({}, set())
        looked_at = {day: spine for day, spine in spines.items() if spine in paths}
        return _Answer(looked_at, {day for day, spine in looked_at.items() if str(paths[spine]) in files})


@dataclass(frozen=True)
class _Answer:
    """The spines that were looked at, by day, and the days that have a changed entity."""

    spines: Mapping[str, str]
    touched: Set[str]


def _same_columns(one: Path, other: Path) -> bool:
    """Whether two files have the same columns, by name and type and in this order."""
    import pyarrow.parquet as pq

    return pq.read_metadata(one).schema.equals(pq.read_metadata(other).schema)


def changed_keys(key: str) -> Sql:
    """Keys whose rows differ between `old` and `new`, which have the same columns.

    They are told by their text too, for GROUP BY takes -0.0 for 0.0, and NaN for NaN of another sign. Names of our own
    keep apart from columns, which may have any.
    """
    row, text, sign = map(name, ("daeda:row", "daeda:text", "daeda:sign"))
    rows = f"SELECT {row}.*, CAST({row} AS VARCHAR) AS {text}, {{}} AS {sign} FROM {{}} {row}"
    old, new = (rows.format(number, parquet(side)) for side, number in (("old", 1), ("new", -1)))
    differing = f"SELECT * EXCLUDE ({sign}) FROM ({old} UNION ALL {new}) GROUP BY ALL HAVING sum({sign}) <> 0"
    return Sql(f"SELECT DISTINCT {name(key)} AS key FROM ({differing})")


def days_with(column: str) -> Sql:
    """Files among `spines` with a row that has one of the keys `changed`."""
    rows = f"SELECT {name(column)} AS key, {FILE} AS file FROM {parquet('spines', files=True)}"
    return Sql(f"SELECT DISTINCT file FROM ({rows}) WHERE key IN (SELECT key FROM changed)")
