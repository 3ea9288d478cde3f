"""Which columns of a feed are the spine's: by their types, their names and what their values tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from daedalus.base.days import Day
from daedalus.config.columns import CODES, REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.init import names
from daedalus.init.questions import GUESSED, SURE, Ask, Guess, Reading, chosen
from daedalus.init.rewrite import time_sql
from daedalus.init.values import Columns, Sample, Unit, family, is_epoch
from daedalus.sql.column_types import fits, is_integer, is_number, is_text, is_time, is_whole
from daedalus.sql.text import name

TIME = "event_timestamp"
IDS = ("user_id", "artwork_id")
_FEW = 100  # distinct events, at most
_EXTRA = 12  # extra columns, at most
_EPOCH = Day(1970, 1, 1).toordinal()
_WHAT = {"user_id": "the user", "artwork_id": "the item", TIME: "the time of an event", "event": "the kind of an event",
         "feed_session": "the session"}  # fmt: skip


@dataclass
class Found:
    """The feed's own columns by the spine's, how they were found, and what a rewrite of the files has to do."""

    columns: dict[str, str] = field(default_factory=dict)
    unit: Unit | None = None
    extra: list[str] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    unsure: list[tuple[str, str]] = field(default_factory=list)  # (column of the spine, what else it may be)
    changed: dict[str, str] = field(default_factory=dict)  # column -> SQL
    added: dict[str, str] = field(default_factory=dict)  # column -> SQL
    day: str | None = None  # SQL of the time
    notes: list[str] = field(default_factory=list)

    @property
    def mapped(self) -> dict[str, str]:
        """Those whose name is not the spine's."""
        return {column: self.columns[column] for column in SPINE_COLUMNS if self.columns.get(column, column) != column}


@dataclass(frozen=True)
class Known:
    """What else is there: the ids of users and of items in views and pool, each with the name of what holds them."""

    user_id: Sequence[tuple[str, frozenset]] = ()
    artwork_id: Sequence[tuple[str, frozenset]] = ()


class Finder:
    """Finds the columns of a feed, one after another: what is taken is nothing else."""

    def __init__(self, kinds: Columns, sample: Sample, days: Sequence[Day], known: Known, ask: Ask) -> None:
        self.kinds, self.sample, self.days, self.known, self.ask = kinds, sample, days, known, ask
        self.found = Found()

    def find(self) -> Found:
        for column in SPINE_COLUMNS:  # what has the spine's name is that, where its type can be
            if column in self.kinds and self._may_be(column, self.kinds[column]):
                self.found.columns[column] = column
        ways: dict[str, Callable[[], Iterator[Reading]]] = {
            TIME: self._times, "event": self._events, "feed_session": self._sessions,
            "artwork_id": lambda: self._ids("artwork_id", names.ITEM),
            "user_id": lambda: self._ids("user_id", names.USER),
        }  # fmt: skip
        for column, readings in ways.items():
            self._take(column, list(readings()) if column not in self.found.columns else [])
        for column in REQUIRED_COLUMNS:  # of another type, which a rewrite mends
            if column not in self.found.columns and self._mends(column):
                self.found.columns[column] = column
        for column in (column for column in names.OPTIONAL if column not in self.kinds):
            self._take(column, list(self._optional(column)))
        self._time()
        self._event()
        self._other_types()
        self.found.extra = self._extra()
        return self.found

    def _may_be(self, column: str, kind: str) -> bool:
        if column == TIME:
            return is_time(kind) or self._is_time(column)
        if column in IDS:
            return bool(family(kind))
        return column != "event" or is_text(kind)

    def _mends(self, column: str) -> bool:
        """Whether a cast makes of a column with the spine's name what the spine needs."""
        kind = self.sample.kinds.get(column, "")
        if column == TIME:
            return is_text(kind) and _are_times(self.sample, column)
        return is_number(kind) if column != "event" else is_integer(kind) or kind == "BOOLEAN"

    def _left(self) -> list[str]:
        """The columns of the sample that are nothing yet, and could be read by their name."""
        taken = {own.casefold() for own in self.found.columns.values()}
        read = [own for own in self.sample.kinds if own and own not in SPINE_COLUMNS and own.casefold() not in taken]
        spelled = Counter(column.casefold() for column in self.kinds)
        return [own for own in read if spelled[own.casefold()] == 1]

    def _take(self, column: str, readings: Sequence[Reading]) -> None:
        if (choice := chosen(readings, f"Which column is {_WHAT.get(column, column)}?", self.ask)) is None:
            return
        reading, sure, rest = choice
        self.found.columns[column] = reading.value
        self.found.guesses.append(Guess("catalog.yaml", f"feed.columns.{column}", reading.value, reading.by, sure))
        if sure == GUESSED:
            doubt = f"it could also be {' or '.join(rest)}" if rest else "its name is not a usual one"
            self.found.unsure.append((column, doubt))

    def _is_time(self, column: str) -> bool:
        kind = self.sample.kinds.get(column, "")
        return is_time(kind) or (is_epoch(kind) and self.sample.unit(column) is not None)

    def _times(self) -> Iterator[Reading]:
        for column in (column for column in self._left() if not self._is_named_id(column)):
            if self._is_time(column):
                agrees = self._agrees(column)
            elif is_text(self.sample.kinds[column]) and _are_times(self.sample, column):
                agrees = 0.0
            else:
                continue
            place = names.rank(column, names.TIME)
            ends = names.words(column)[-1:] in (["at"], ["time"])
            points = 60 - 10 * place if place is not None else 20 * ends
            points -= 30 * (self.kinds[column] == "DATE")
            by = "its name and type" if place is not None else "its type"
            yield Reading(column, points + 40 * agrees, by + (" and its folders' days" if agrees > 0.5 else ""))

    def _agrees(self, column: str) -> float:
        """The share of rows whose time is of the day of their folder."""
        if not self.days:
            return 0
        own = self.sample.days(column)
        same = [day is not None and day + _EPOCH == self.days[file].toordinal()
                for day, file in zip(own, self.sample.files, strict=True)]  # fmt: skip
        return sum(same) / len(same) if same else 0

    def _events(self) -> Iterator[Reading]:
        known = (*names.SEEN, *names.LIKED, *names.DISLIKED)
        for column in self._left():
            kind = self.sample.kinds[column]
            place = names.rank(column, names.EVENT)
            if not is_text(kind) and (place is None or place > 1 or not (is_integer(kind) or kind == "BOOLEAN")):
                continue
            values = self.sample.distinct(column)
            if not 0 < len(values) <= _FEW or self.sample.share(column) < 0.5:
                continue
            told = [value for value in values if is_text(kind) and names.of_event(str(value), known) is not None]
            share = len(told) / len(values)
            points = (60 - 15 * place if place is not None else 0) + 40 * share
            by = " and ".join(["its name"] * (place is not None) + ["its values"] * bool(told))
            if points and (place is None or place < 2 or told):
                yield Reading(column, points, by)

    def _sessions(self) -> Iterator[Reading]:
        for column in self._left():
            place = names.rank(column, names.SESSION)
            if place is None or not family(self.sample.kinds[column]):
                continue
            if not is_text(self.sample.kinds[column]):
                self.found.notes.append(f"{column}: a session must be text, and this is {self.sample.kinds[column]}")
                continue
            yield Reading(column, 60 - 15 * place, "its name")

    def _ids(self, role: str, tiers: names.Tiers) -> Iterator[Reading]:
        other = names.USER if role == "artwork_id" else names.ITEM
        left = [column for column in self._left() if family(self.sample.kinds[column])]
        left = [column for column in left if self._is_named_id(column) or not self._is_time(column)]
        for number, column in enumerate(left):
            place = names.rank(column, tiers, last=True)
            if place is None and names.rank(column, other, last=True) is not None:
                continue
            held, where = max([(self.sample.overlap(column, ids), holder) for holder, ids in getattr(self.known, role)],
                              default=(0.0, ""))  # fmt: skip
            if place is None and held < 0.5 and not self._unnamed(column, left):
                continue
            points = (70 - 10 * place if place is not None else 0) + 35 * held + 4 * names.is_id(column)
            points += 20 * self._owns_sessions(column) if role == "user_id" else 0
            points += number / 100 if role == "artwork_id" else 0  # users come first, where nothing tells
            told = ["its name"] * (place is not None) + [f"its values, which {where} has"] * (held >= 0.5)
            yield Reading(column, points, " and ".join(told) or "its type")

    def _is_named_id(self, column: str) -> bool:
        """Whether a column's name is that of ids: some are as large as times."""
        ranked = any(names.rank(column, tiers, last=True) is not None for tiers in (names.USER, names.ITEM))
        return family(self.sample.kinds[column]) != "" and (ranked or names.is_id(column))

    def _unnamed(self, column: str, left: Sequence[str]) -> bool:
        """Whether a column that no name tells may be an id: named like one, or text that is no few values."""
        if any(names.rank(column, tiers) is not None for tiers in (*names.OPTIONAL.values(), names.SESSION)):
            return False
        some = any(names.is_id(other) for other in left)
        return names.is_id(column) or (not some and len(self.sample.distinct(column)) > 1)

    def _owns_sessions(self, column: str) -> float:
        """Whether sessions belong to one value of a column, where other columns have several."""
        session = self.found.columns.get("feed_session")
        return self.sample.one_owner(session, column) if session and session != column else 0

    def _optional(self, column: str) -> Iterator[Reading]:
        for own in self._left():
            place, kind = names.rank(own, names.OPTIONAL[column]), self.sample.kinds[own]
            wanted = is_text(kind) if SPINE_COLUMNS[column] == "VARCHAR" else is_integer(kind)
            if column in CODES:
                wanted = is_integer(kind) or (is_text(kind) and _is_code(column, self.sample.distinct(own)))
            if place is not None and wanted:
                yield Reading(own, 60 - 20 * place, "its name and type")

    def _time(self) -> None:
        """The unit of times that are numbers, and what makes times of those that no configuration can name."""
        own = self.found.columns.get(TIME)
        if own is None:
            return
        kind, unit = self.kinds[own], self.sample.unit(own) if is_epoch(self.sample.kinds.get(own, "")) else None
        self.found.day = time_sql(own, kind, unit)
        if unit and is_whole(kind):
            self.found.unit = unit
            self.found.guesses.append(
                Guess("catalog.yaml", "feed.timestamp_unit", unit, "the size of its values", SURE)
            )
        elif not is_time(kind):
            self.found.changed[own] = self.found.day

    def _event(self) -> None:
        """What makes events where no column holds them, or one holds numbers."""
        own = self.found.columns.get("event")
        if own is None:
            rated = [own for own in self._left() if names.words(own) == ["rating"]]
            held = self.found.changed if "event" in self.kinds else self.found.added
            held["event"] = "'rating'" if rated else "'event'"
        elif not is_text(self.kinds[own]):
            self.found.changed[own] = f"CAST({name(own)} AS VARCHAR)"

    def _other_types(self) -> None:
        """Casts of columns whose type a run would refuse: ids that are decimals, sessions that are numbers."""
        for column, own in self.found.columns.items():
            kind, wanted = self.kinds[own], SPINE_COLUMNS[column]
            fit = bool(family(kind)) if column in IDS else fits(kind, wanted)
            coded = column in CODES and (is_integer(kind) or is_text(kind))
            if not (fit or coded or column in (TIME, "event")):
                self.found.changed[own] = f"CAST({name(own)} AS {wanted})"

    def _extra(self) -> list[str]:
        """Numbers that say something of an event, such as watch_seconds."""
        left = [own for own in self._left() if is_number(self.sample.kinds[own]) and is_number(self.kinds[own])]
        told = [own for own in left if not (names.is_id(own) or self._is_time(own) or _is_numbered(own))]
        ids = [own for own in told if names.rank(own, names.USER) is None and names.rank(own, names.ITEM) is None]
        return [own for own in ids if self.sample.share(own) > 0 and not _is_ours(own)][:_EXTRA]

    @property
    def missing(self) -> list[str]:
        """The columns that a feed needs and nothing was found for; events can be added."""
        return [column for column in REQUIRED_COLUMNS if column not in self.found.columns and column != "event"]


def _is_numbered(column: str) -> bool:
    return column.startswith("__") or " ".join(names.words(column)) in names.NUMBERED


def _is_ours(column: str) -> bool:
    spelled = column.casefold()
    return spelled in ("qid", "dt", "own", "late", "file", "file_row_number") or spelled.startswith("daeda:")


def _is_code(column: str, values: frozenset) -> bool:
    return 0 < len(values) <= (300 if column == "country_code" else 30) and (
        column != "country_code" or all(len(value) == 2 for value in values)
    )


def _are_times(sample: Sample, column: str) -> bool:
    """Whether texts are times as ISO 8601 writes them."""
    import datetime as dt

    values = [value for value in sample.values(column)[:200] if value is not None]
    try:
        return bool(values) and all(dt.datetime.fromisoformat(value) for value in values)
    except ValueError:
        return False


def told(found: Mapping[str, str]) -> str:
    """Columns with their types, for an error."""
    return ", ".join(f"{column} {kind}" for column, kind in found.items()) or "no column"
