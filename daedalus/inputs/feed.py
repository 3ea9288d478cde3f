"""The feed: the files of its partitions by day, and checks of their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from daedalus.base.counted_off import counted_off
from daedalus.base.days import ONE_DAY, Day
from daedalus.base.errors import DaedalusError, DayError, did_you_mean
from daedalus.config import CATALOG, Config
from daedalus.config.columns import CODES, IDS, REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.config.reach import Reach
from daedalus.config.schema import Lateness
from daedalus.inputs.footers import FAR_DATE, TOO_FAR
from daedalus.inputs.input_file import UNREADABLE, InputFile, Inputs, unreadable
from daedalus.inputs.listing import FeedFolder
from daedalus.inputs.schemas import checked_names, refuse_other_names
from daedalus.sql.column_types import canonical, fits, id_type, is_integer, is_plain, is_text, widen
from daedalus.sql.own_columns import TIME, OwnColumns, is_whole_number


@dataclass(frozen=True)
class Feed:
    """The feed's partitions, by day."""

    partitions: Mapping[Day, tuple[InputFile, ...]]

    def files(self, day: Day, lateness: Lateness) -> dict[int, list[InputFile]]:
        """Files that may have rows of `day`, by how many days late their partition is; 0 is the day's own."""
        return {late: list(self.partitions.get(day + late * ONE_DAY, ())) for late in lateness.partitions}

    def with_sessions(self, days: Sequence[Day]) -> Day | None:
        """The first of these days whose partition has a column feed_session."""
        return next((d for d in days for file in self.partitions.get(d, ()) if "feed_session" in file.schema), None)


def look_at_feed(
    inputs: Inputs, folder: FeedFolder, days: Sequence[Day], say: Callable[[str], None] = lambda line: None
) -> Feed:
    """Looks at the partitions of `days`: the digests and schemas of their files.

    `say` is told how far a long look is.
    """
    labels = {day: folder.days[day] for day in days if day in folder.days}
    inputs.prepare([folder.path(name) for names in labels.values() for name in names if name not in folder.errors])

    count = sum(map(len, labels.values()))
    check = partial(check_feed_schema, own=folder.own, extra=folder.extra)
    own = folder.own or OwnColumns()
    wanted = [own.own(column) for column in (*SPINE_COLUMNS, *folder.extra)]

    def look(label: str) -> InputFile:
        path = folder.path(label)
        if why := folder.errors.get(label):
            return InputFile(path, label, UNREADABLE, None, {}, unreadable(path, why))
        found = checked_names(inputs, folder.table, inputs.look(path, label, check), wanted)
        return _as_the_spine_has_it(found, folder)

    named = ((day, name) for day, names in labels.items() for name in names)
    files = counted_off(named, count, say, "looked at {done:,} of {total:,} feed files")
    found: dict[Day, list[InputFile]] = {day: [] for day in labels}
    for day, name in files:
        found[day].append(look(name))
    return Feed({day: tuple(looked) for day, looked in found.items()})


def with_feed_types(
    config: Config, inputs: Inputs, folder: FeedFolder, days: Sequence[Day], feed: Feed | None = None
) -> Config:
    """The config with the types that the feed's files decide: of ids that are text, and of extra columns.

    Those of ids follow from the files of `feed`, which were looked at; where there are none, from the first others that
    can be read. Those of extra columns from the files that the config's days and `days` read. Raises DaedalusError
    (exit 2) for an extra column that none of the files has, or whose types cannot be widened.
    """
    files, configured = _good_files(feed or Feed({})), config.session_range(days)
    for day in sorted(folder.days, key=lambda day: (day not in configured, day)):
        if files:
            break
        files = _good_files(look_at_feed(inputs, folder, [day]))
    types = {column: "VARCHAR" for column in IDS if _id_type(column, files) == "VARCHAR"}
    if folder.extra:
        read = Reach.of(config).around(configured, folder.days)
        if files := _good_files(look_at_feed(inputs, folder, read)):
            types |= {column: _extra_type(config, column, files) for column in folder.extra}
    return replace(config, feed_types=types) if types else config


def _good_files(feed: Feed) -> list[InputFile]:
    return [file for day in sorted(feed.partitions) for file in feed.partitions[day] if not file.error]


def _id_type(column: str, files: Sequence[InputFile]) -> str | None:
    """The type of an id by the first file that says one."""
    kinds = (id_type(file.schema[column]) for file in files if file.schema[column] != "NULL")
    return next(kinds, None)


def with_ids_of_one_kind(feed: Feed) -> Feed:
    """The feed, in which all ids of a column are whole numbers, or all are text.

    Where the files of a single day have the other kind than those of several, they are what is wrong, and become bad
    files. Raises DaedalusError (exit 2) for a feed that is of two kinds.
    """
    for column in IDS:
        kinds: dict[str | None, dict[Day, list[InputFile]]] = {}
        for day in sorted(feed.partitions):
            for file in feed.partitions[day]:
                if not file.error and file.schema[column] != "NULL":
                    kinds.setdefault(id_type(file.schema[column]), {}).setdefault(day, []).append(file)
        if len(kinds) < 2:
            continue
        (_, some), (_, most) = sorted(kinds.items(), key=lambda item: len(item[1]))
        other = next(iter(most.values()))[0]
        wrong = {file.path: _of_two_kinds(column, file, other) for files in some.values() for file in files}
        if len(some) > 1 or len(most) < 2:
            error = next(iter(wrong.values()))
            raise DaedalusError(error.what, where=error.where, found=error.found, expected=error.expected,
                                hint=error.hint)  # fmt: skip
        feed = Feed({day: tuple(replace(file, schema={}, error=wrong[file.path]) if file.path in wrong else file
                                for file in files) for day, files in feed.partitions.items()})  # fmt: skip
    return feed


def _of_two_kinds(column: str, file: InputFile, other: InputFile) -> DayError:
    told = (file.own or OwnColumns()).told(column)
    return DayError("ids that are whole numbers in some files and text in others", where=f"{file.path}: {told}",
                    found=file.schema[column], expected=f"{other.schema[column]}, as {told} of {other.path}",
                    hint="rewrite one of them with the type of the other")  # fmt: skip


def _extra_type(config: Config, column: str, files: Sequence[InputFile]) -> str:
    """The narrowest type that holds an extra column of all files; UUIDs are text."""
    kind, first = None, files[0].path
    for file in (file for file in files if column in file.schema):
        found = "VARCHAR" if file.schema[column] == "UUID" else file.schema[column]
        wider = found if kind is None else widen(kind, found)
        if wider is None:
            own = (file.own or OwnColumns()).told(column)
            raise DaedalusError("an extra column has types that cannot be widened", where=f"{file.path}: {own}",
                                found=found, expected=f"{kind}, as in {first}")  # fmt: skip
        kind, first = wider, file.path if kind is None else first
    if kind is None:
        own = config.catalog.feed.columns.get(column, column)
        known = sorted({name for file in files for name in file.schema})
        raise DaedalusError("an extra column that no file of the feed has", found=own, hint=did_you_mean(own, known),
                            where=config.where(CATALOG, f"feed.extra_columns: {column}"),
                            expected=f"one of {', '.join(known)}")  # fmt: skip
    return canonical(kind)


def _as_the_spine_has_it(file: InputFile, folder: FeedFolder) -> InputFile:
    """The file with the spine's names in its schema; its statistics are those of a column that may not be read."""
    own = folder.own
    if own is None or file.error:
        return file
    times = file.times if own.own(TIME) == TIME and not own.unit else ()
    return replace(file, schema=own.seen(file.schema, [*SPINE_COLUMNS, *folder.extra]), times=times, own=own)


def check_feed_schema(
    path: str, schema: Mapping[str, str], own: OwnColumns | None = None, extra: Sequence[str] = ()
) -> None:
    """Raises DayError, naming the file and the column, if a column is missing or cannot be read as the spine needs."""
    own = own or OwnColumns()
    spine_names = {own.own(column): column for column in (*SPINE_COLUMNS, *extra)}
    refuse_other_names(path, schema, spine_names, lambda name: own.told(spine_names[name]))
    for column in REQUIRED_COLUMNS:
        if own.own(column) not in schema:
            raise DayError("a required feed column is missing", where=f"{path}: {own.told(column)}",
                           found=", ".join(schema), expected=own.own(column))  # fmt: skip
    for column, wanted in SPINE_COLUMNS.items():
        found, where = schema.get(own.own(column), "NULL"), f"{path}: {own.told(column)}"
        if column == TIME and (own.unit or is_whole_number(found)):
            _check_unit(where, found, own.unit)
            continue
        coded = column in CODES and (is_integer(found) or is_text(found))
        if not coded and not fits(found, wanted) and not (column in IDS and id_type(found) == "VARCHAR"):
            also = " or VARCHAR" if column in (*CODES, *IDS) else ""
            raise DayError(
                "a feed column has a type that cannot be widened",
                where=where,
                found=found,
                expected=f"{wanted}{also}",
                hint="rewrite the file with that type",
            )
    for column in extra:
        check_extra(f"{path}: {own.told(column)}", schema.get(own.own(column), "NULL"))


def check_extra(where: str, kind: str) -> None:
    """Raises DayError for a type that an extra column cannot have: values are told apart, and have an order."""
    if kind in (TOO_FAR, FAR_DATE):
        raise DayError("a time that cannot be read", where=where, found=kind, expected="TIMESTAMP")
    if kind != "NULL" and not is_plain(kind):
        raise DayError("an extra column of a type that is not plain", where=where, found=kind,
                       expected="a number, a text, a boolean, a time or a date")  # fmt: skip


def _check_unit(where: str, found: str, unit: str) -> None:
    """Times are whole numbers where the catalog gives their unit, and only there."""
    if not unit:
        raise DayError("times that are whole numbers, without a unit", where=where, found=found, expected="TIMESTAMP",
                       hint="timestamp_unit under feed in catalog.yaml: s, ms, us or ns since 1970")  # fmt: skip
    if found != "NULL" and not is_whole_number(found):
        raise DayError("a time that is not a whole number", where=where, found=found,
                       expected=f"whole {unit} since 1970, as feed.timestamp_unit says",
                       hint="leave timestamp_unit out for a TIMESTAMP")  # fmt: skip
