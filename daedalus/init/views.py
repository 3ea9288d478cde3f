"""Looks at somebody's views and pool: their columns, whose they are, and when their rows are from."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from daedalus.base.errors import DaedalusError
from daedalus.config.columns import SPINE_COLUMNS
from daedalus.init import names
from daedalus.init.columns import Known
from daedalus.init.feed import FeedLook, refusal
from daedalus.init.layout import text_format
from daedalus.init.questions import Ask, Guess, Reading, chosen
from daedalus.init.rewrite import view_line
from daedalus.init.values import Columns, Sample, family
from daedalus.inputs.file_formats import FORMATS, format_of, table_format
from daedalus.inputs.input_file import Inputs
from daedalus.inputs.lake.open import open_at
from daedalus.inputs.lake.table import Place
from daedalus.sql.column_types import is_integer, is_time, widen

_NAMES_SHOWN = 5
_PLAIN = ("UBIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR", "JSON", "BLOB")
_ROLES = {"artwork_id": names.ITEM, "user_id": names.USER}


@dataclass(frozen=True)
class ViewLook:
    name: str
    source: str  # a folder or a glob
    columns: Columns
    passed_over: Mapping[str, str]  # column -> why it cannot be read
    everywhere: frozenset[str]  # the columns that all files have
    files: Sequence[str] = ()
    entry: Path = Path()  # of the catalog's folder

    @cached_property
    def sample(self) -> Sample:
        return Sample.of(self.files)

    def role(self, column: str) -> str | None:
        """Whose ids a column has by its name, or by the view's where it is only called id."""
        own = column if names.core(column) else self.name.removesuffix("s")
        places = {role: names.rank(own, tiers, last=True) for role, tiers in _ROLES.items()}
        told = {role: place for role, place in places.items() if place is not None}
        return min(told, key=lambda role: told[role]) if told else None


@dataclass(frozen=True)
class ViewGuess:
    name: str
    source: str
    entity: str
    own_entity: str  # the view's own name of it
    timestamp_field: str
    features: Mapping[str, str]  # name -> type


def look_at_views(path: str | None, inputs: Inputs, besides: Sequence[str]) -> tuple[list[ViewLook], list[str]]:
    """Views, and what is no parquet; a view is a folder with parquet files, or a single file, `besides` feed and pool.

    Raises DaedalusError when there is none.
    """
    if path is None:
        return [], []
    root, found, others = Path(path), dict[str, ViewLook](), list[str]()
    for entry in sorted(root.iterdir()) if root.is_dir() else []:
        if entry.name.startswith((".", "_")) or any(Path(other).is_relative_to(entry) for other in besides):
            continue
        source, files = _files(entry, inputs)
        name = (entry.stem if entry.is_file() else entry.name).replace(":", "_")  # view:feature is a reference to it
        while name in found:
            name += "_"
        if files and _is_text(name):
            found[name] = ViewLook(name, source, *_columns(files, inputs), files, entry)
        elif not files:
            others += _to_rewrite(entry)
    if not found and not others:
        there = _some(sorted(entry.name for entry in root.iterdir())) if root.is_dir() else "no folder"
        raise DaedalusError("there is no catalog view", where=f"--catalog {path}", found=there,
                            expected="a folder with parquet files for each view")  # fmt: skip
    return list(found.values()), others


def known_ids(views: Sequence[ViewLook], pool: frozenset) -> Known:
    """The ids of users and of items that views and the pool hold."""
    ids: dict[str, list[tuple[str, frozenset]]] = {role: [] for role in _ROLES}
    ids["artwork_id"] += [("the pool", pool)] * bool(pool)
    for view in views:
        for column in (column for column, kind in view.sample.kinds.items() if family(kind)):
            if role := view.role(column):
                ids[role].append((f"the view {view.name}", view.sample.distinct(column)))
    return Known(**ids)


class ViewGuesser:
    """Makes of the views what the catalog says of them."""

    def __init__(self, feed: FeedLook, ask: Ask) -> None:
        self.feed, self.ask = feed, ask
        self.views: list[ViewGuess] = []
        self.left_out: list[str] = []
        self.guesses: list[Guess] = []
        self.unsure: list[tuple[str, str, str]] = []  # (key, why, what to put)

    def guess(self, view: ViewLook) -> None:
        """Adds a view, or why it is left out."""
        entities, times = list(self._entities(view)), _times(view)
        if not entities or not times:
            lacks = "column with ids of users or items" if not entities else "column of times"
            more = _timed(view) if entities else ""
            self.left_out.append(f"{view.name}: it has no {lacks}{more}")
            return
        entity, own = self._choose(view, "entity", entities, "it has both ids", "user_id or artwork_id").split(" ", 1)
        time = self._choose(view, "timestamp_field", times, "it has several times, none named like an update",
                            f"one of {', '.join(reading.value for reading in times)}")  # fmt: skip
        kinds = {name: kind for name, kind in view.columns.items() if name not in (own, time)}
        unfit = {name: reason for name, kind in kinds.items() if (reason := self._no_feature(name, kind))}
        features = {name: kind for name, kind in kinds.items() if name not in unfit}
        if not features:
            self.left_out.append(f"{view.name}: apart from id and time, no column can be a feature")
            return
        passed_over = {**view.passed_over, **unfit}
        self.left_out += [f"{view.name}: its column {name} ({reason})" for name, reason in passed_over.items()]
        self.views.append(ViewGuess(view.name, view.source, entity, own, time, features))

    def _choose(self, view: ViewLook, key: str, readings: Sequence[Reading], why: str, put: str) -> str:
        question = {
            "entity": "Which id identifies the rows of the view",
            "timestamp_field": "Which column is the time of a row of the view",
        }[key]
        choice = chosen(readings, f"{question} {view.name}?", self.ask)
        assert choice is not None
        reading, sure, rest = choice
        at = f"views.{view.name}.{key}"
        if rest:
            self.unsure.append((at, why, put))
        if not reading.by.startswith("the spine's") or rest:
            told = reading.value.replace(" ", ", called ", 1) if key == "entity" else reading.value
            self.guesses.append(Guess("catalog.yaml", at, told, reading.by, sure))
        return reading.value

    def _entities(self, view: ViewLook) -> Iterator[Reading]:
        """What a view's rows may be of: the spine's name and the view's own of it."""
        for entity in _ROLES:
            mine, own = family(self.feed.kind(entity)), self.feed.own(entity)
            ids = self.feed.sample.distinct(own)
            for column, kind in view.columns.items():
                if family(kind) != mine or column not in view.everywhere:
                    continue
                held = self.feed.sample.overlap(own, view.sample.distinct(column)) if column in view.sample.kinds else 0
                points, by = self._told(view, entity, column)
                if points or held >= 0.5:
                    unique = 10 * (bool(ids) and column in view.sample.kinds and view.sample.is_unique(column))
                    named = 6 * (entity == "user_id" and view.name.startswith("user"))
                    by = " and ".join([by] * bool(points) + ["its values, which the feed has"] * (held >= 0.5))
                    yield Reading(f"{entity} {column}", points + 35 * held + unique + named, by)

    def _told(self, view: ViewLook, entity: str, column: str) -> tuple[int, str]:
        """(points for a name, by what) of a column that may hold an entity."""
        if column == entity:
            return 80, "the spine's name"
        if column.casefold() == self.feed.own(entity).casefold():
            return 75, "the feed's name"
        return (50, "its name") if (view.role(column) == entity and names.is_id(column)) or (
            view.role(column) == entity and names.rank(column, _ROLES[entity]) is not None) else (0, "")  # fmt: skip

    def _no_feature(self, name: str, kind: str) -> str:
        """Why a column of a view is not proposed as a feature; "" for one that is."""
        spelled = name.casefold()
        if spelled in {*SPINE_COLUMNS, "file_row_number", "qid", "dt"} or spelled.startswith("daeda:") or not name:
            return "its name is reserved"
        if spelled in (column.casefold() for column in self.feed.keys.extra_columns):
            return "the feed has a column of that name"
        plain = is_integer(kind) or is_time(kind) or kind.startswith("DECIMAL(") or kind in _PLAIN
        listed = kind.endswith("[]") and not self._no_feature("item", kind[:-2])
        return "" if plain or listed else f"its type is {kind}"


def _times(view: ViewLook) -> list[Reading]:
    """The times of a view's rows; one that is named like an update is the likeliest."""
    times = [name for name, kind in view.columns.items() if is_time(kind) and name in view.everywhere]
    found = []
    for name in times:
        spelled = " ".join(names.words(name))
        known = names.UPDATED.index(spelled) if spelled in names.UPDATED else None
        points = 90 - 8 * known if known is not None else 80 * any(word in spelled for word in ("updat", "modif"))
        by = "the spine's name" if known is not None else "its name" if points else "its type"
        found.append(Reading(name, points if points or len(times) > 1 else 50, by))
    return found


def _timed(view: ViewLook) -> str:
    """The line that gives the rows of a view a time: that of all that was ever known."""
    source = str(view.entry) if view.entry.is_file() else f"{view.entry}/**/*.parquet"
    target = str(view.entry.with_name(f"{view.name}_timed.parquet"))
    return f"; in DuckDB: {view_line(source, 'parquet', target, False)}"


def _to_rewrite(entry: Path) -> list[str]:
    """What to do with a view that is CSV or JSON."""
    files = [entry] if entry.is_file() else sorted(entry.glob("*"))
    kinds = {
        str(file): kind for file in files if (kind := text_format(file.name)) and not file.name.startswith((".", "_"))
    }
    if not kinds:
        return []
    file, kind = next(iter(kinds.items()))
    source = file if entry.is_file() else f"{entry}/*{Path(file).suffix}"
    target = str(entry.parent / f"{entry.stem if entry.is_file() else entry.name}.parquet")
    named = any(word in _head(file) for word in ("updated", "modified", "created_at", "timestamp"))
    return [f"{entry.name}: {kind.upper()}, not parquet; in DuckDB: {view_line(source, kind, target, named)}"]


def _head(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return opened.read(4096).decode(errors="replace").lower()
    except OSError:
        return ""


def _files(entry: Path, inputs: Inputs) -> tuple[str, list[str]]:
    """The `source` of the view at a path, and the files that it matches."""
    exact = glob.escape(str(entry))
    if entry.is_dir() and (table := table_format(inputs.files, str(entry))):
        found = open_at(Place(str(entry), None, f"--catalog: {entry.name}", inputs.files, {}), table)
        return str(entry), [file.path for file in found.files]
    if entry.is_file():
        return exact, [str(entry)] * bool(format_of(entry.name))
    kind = FORMATS["parquet"]
    files = inputs.files.matching(f"{exact}/**/{kind.glob}")
    name = f"*{kind.ending}" if all(file.endswith(kind.ending) for file in files) else kind.glob
    if any(Path(file).parent != entry for file in files):
        return f"{exact}/**/{name}", files
    return (f"{exact}/{name}" if glob.has_magic(str(entry)) else exact), files


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "") or "nothing"


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False  # bytes that are not UTF-8


def _columns(files: Sequence[str], inputs: Inputs) -> tuple[Columns, Mapping[str, str], frozenset[str]]:
    """Columns of a view with a type that holds the values of all its files; those left out, with reasons; and which all
    files have.
    """
    columns, passed_over, count = dict[str, str](), dict[str, str](), Counter[str]()
    inputs.prepare(files)
    for file in files:
        look = inputs.look(file, file, lambda path, schema: None)
        if look.error:
            raise refusal(look.error)
        count.update(list(look.schema))
        for name, kind in look.schema.items():
            if (wider := widen(columns.setdefault(name, kind), kind)) is None:
                passed_over[name] = f"{columns[name]} in one file, {kind} in another"
            columns[name] = wider or columns[name]
    spelled = Counter(name.casefold() for name in columns)
    passed_over |= {name: "another differs only in case" for name in columns if spelled[name.casefold()] > 1}
    everywhere = frozenset(name for name, files_with in count.items() if files_with == len(files))
    return {name: kind for name, kind in columns.items() if name not in passed_over}, passed_over, everywhere
