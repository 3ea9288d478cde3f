"""The sample of an audit: some users of some days, and the raw rows that those users' output depends on.

All computation is in reference.py; this only selects the rows that it reads. A session may have rows of several
users, recent publications can be any artwork, and aggregations with a key may see anybody's events, so these are read
beyond the sampled users.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_a

from daedalus.audit.reference import Reference, as_micros, read_rows, schema_of, values_of

Reading = Callable[[str | Path], AbstractContextManager[None]]
Users = Mapping[dt.date, set[int]]  # of each sampled day
_ROWS_A_DAY = 20  # with fewer, fewer days are chosen


def choose_days(days: Sequence[dt.date], rows: int, chance: random.Random) -> list[dt.date]:
    """Random days, at most so many that about _ROWS_A_DAY rows are compared on each."""
    count = min(len(days), max(rows // _ROWS_A_DAY, 1))
    return sorted(chance.sample(list(days), count))


def choose_users(
    shipped: Counter[int], seen: Collection[int], rows: int, chance: random.Random
) -> tuple[set[int], set[int]]:
    """(users with about `rows` output rows in all, up to as many users of the feed without output rows)."""
    users, total = set(), 0
    for user in chance.sample(sorted(shipped), len(shipped)):
        if total >= rows:
            break
        users.add(user)
        total += shipped[user]
    without = sorted(set(seen) - set(shipped))
    return users, set(chance.sample(without, min(len(users), len(without))))


class SampledReference(Reference):
    """The reference over the rows of some users only. Memory grows with those users, not with the feed.

    `late` are the partitions that rows of a day may lie in, by how many days they are after it; `back` is how many days
    the longest window reaches. `reading` gives, for a file of the feed or of a view, what words the errors of reading
    it.
    """

    def __init__(self, config: Path, users: Users, late: range, back: int, cumulative: bool, reading: Reading) -> None:
        self._of_day, self._reading = users, reading
        self._users: Set = set().union(*users.values())
        self._targets = {day + dt.timedelta(days=i) for day in users for i in late}
        reach = range(late[0] - back, late[-1] + 1)
        self._windows = {day + dt.timedelta(days=i) for day in users for i in reach}
        self._last = max(self._targets) if cumulative else None
        self._sessions: Set = set()
        self._others: list[tuple[set[str], str, set | None]] = []
        super().__init__(config, sorted(users))

    def feed_files(self):  # type: ignore[no-untyped-def]
        files = [(day, file) for day, file in super().feed_files() if self._is_read(day)]
        sessions = self._values("feed_session", files)
        self._others = [(set(agg["events"]), *self._shared(agg["key"], files)) for agg in self.aggs
                        if "user_id" not in (agg.get("key", "user_id"), agg.get("match"))]  # fmt: skip
        self._sessions = sessions
        return iter(files)

    def _values(self, column: str, files: Sequence[tuple[dt.date, Path]]) -> set:
        """The values of a column in the sampled users' rows that may be of target days."""
        own = self.names[column]
        read = [file for day, file in files if day in self._targets]
        rows = (row for file in read for row in self._rows(file, [self.names["user_id"], own], self._of_users))
        return {row.get(own) for row in rows} - {None}

    def _shared(self, key: str, files: Sequence[tuple[dt.date, Path]]) -> tuple[str, set | None]:
        """(a feed column, its values in all events that share a sampled row's value of `key`, or None for any)."""
        view = next(
            (name for name, one in (ref.split(":") for ref in self.runtime.get("enrich", [])) if one == key), ""
        )
        if not view:
            found = None if key in ("country_code", "platform_code") else self._values(key, files)
            return self.names[key], None if found is None or any(isinstance(one, float) for one in found) else found
        entity = self.catalog["views"][view]["entity"]
        mine, own = self._values(entity, files), self.catalog["views"][view].get("entity_column") or entity
        rows = [row for path in self.view_files(view) for row in self._rows(path, [own, key], None)]
        if any(isinstance(row.get(key), float | dt.date) for row in rows):  # which are not told apart by their text
            return self.names[entity], None
        values = {repr(row.get(key)) for row in rows if row.get(own) in mine}
        return self.names[entity], {row.get(own) for row in rows if repr(row.get(key)) in values} - {None}

    def feed_rows(self, partition: dt.date, file: Path) -> list[dict]:
        keep = self._of_users_or_sessions if partition in self._targets else self._of_users
        return self._rows(file, list(self.names.values()), lambda table: self._or_of_others(table, keep(table)))

    def _or_of_others(self, table: pa.Table, mine: Any) -> Any:
        """A mask of rows, and of the events that aggregations with a key may see."""
        for events, column, values in self._others:
            some = among(table, self.names["event"], events)
            mine = pc.or_(mine, some if values is None else pc.and_(some, among(table, column, values)))
        return mine

    def schema(self, file: str | Path) -> pa.Schema:
        with self._reading(file):
            return schema_of(file)

    def _rows(
        self, file: str | Path, columns: Sequence[str], keep: Callable[[pa.Table], pa.Array] | None
    ) -> list[dict]:
        with self._reading(file):
            return read_rows(file, columns, keep)

    def wanted(self, day: dt.date, row: dict) -> bool:
        return row["user_id"] in self._of_day[day]

    def view_rows(self, name: str) -> list[dict]:
        view = self.catalog["views"][name]
        own = view.get("entity_column") or view["entity"]
        columns = [own, view["timestamp_field"], *view["features"]]
        wanted = self._entities(name, view["entity"], own)
        rows = []
        for path in self.view_files(name):
            rows += self._rows(path, columns, lambda table: among(table, own, wanted))
        return [self.named(name, row) for row in rows]

    def _entities(self, name: str, entity: str, own: str) -> set:
        found = {row[entity] for rows in self.by_day.values() for row in rows}
        recent = self.runtime.get("recent_published")
        if recent and recent["author"].split(":")[0] == name:
            author = recent["author"].split(":")[1]
            for path in self.view_files(name):  # artworks of which a sampled user was ever the author
                mine = self._rows(path, [own, author], lambda table: among(table, author, self._users))
                found |= {row[own] for row in mine}
        return found - {None}

    def _is_read(self, partition: dt.date) -> bool:
        return partition in self._windows or (self._last is not None and partition <= self._last)

    def _of_users(self, table: pa.Table) -> pa.Array:
        return among(table, self.names["user_id"], self._users)

    def _of_users_or_sessions(self, table: pa.Table) -> pa.Array:
        own = self.names["feed_session"]
        if own not in table.column_names:
            return self._of_users(table)
        return pc.or_(self._of_users(table), among(table, own, self._sessions))


def among(table: pa.Table, column: str, wanted: Set) -> Any:
    """A mask of the rows with one of some values in a column; none if the file lacks the column."""
    if column not in table.column_names:
        return pa.array([False] * len(table))
    kind = table.schema.field(column).type
    kind = kind.value_type if is_a.is_dictionary(kind) else kind
    quick = pa.int64() if is_a.is_integer(kind) else pa.large_string() if _is_text(kind) else None
    if quick is None:
        return pa.array([as_micros(value) in wanted for value in values_of(table[column])], pa.bool_())
    return pc.is_in(table[column].cast(kind).cast(quick), value_set=pa.array(sorted(wanted), quick))


def _is_text(kind: pa.DataType) -> bool:
    return is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind)
