"""A feed day's rows as SQL: from its own partition, and from neighbours' as far as rows come late or early."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from daedalus.actions.actions import Reading
from daedalus.base.days import Day
from daedalus.config.columns import CODES, REQUIRED_COLUMNS, SPINE_COLUMNS, spine_columns, text_ids
from daedalus.config.schema import Lateness
from daedalus.inputs.input_file import InputFile
from daedalus.inputs.schemas import Group, OwnGroup, group_by_schema
from daedalus.skeleton.arrow.feed_files import FeedPart
from daedalus.skeleton.context import Make
from daedalus.skeleton.countries import country_code, country_codes
from daedalus.skeleton.feed_ranges import has_ranges, parts_of_users
from daedalus.sql.column_types import as_text, is_integer, is_text, read_as
from daedalus.sql.text import Sql, columns, literal, name
from daedalus.stagecache.action_name import ActionName, escaped
from daedalus.stagecache.fingerprint import version

Schema = Mapping[str, str]


@dataclass(frozen=True)
class FeedDay:
    """A feed day's files by schema, and how the spine is cleaned.

    Groups are bound as `feed_i` from i = `first` on. The day is `at` days after the variable `day_start`.
    """

    groups: tuple[Group, ...]
    lateness: Lateness
    deduplicate: bool
    platforms: tuple[tuple[str, int], ...]
    columns: tuple[tuple[str, str], ...] = tuple(SPINE_COLUMNS.items())
    first: int = 0
    at: int = 0

    @property
    def names(self) -> list[str]:
        return [column for column, _ in self.columns]

    @property
    def doubles(self) -> list[str]:
        """The columns with 0.0 and -0.0, which SQL takes for equal and rows do not."""
        return [column for column, kind in self.columns if kind in ("FLOAT", "DOUBLE")]

    def raw(self, also: str = "", *, files: bool = False) -> str:
        """SELECT of every row: the spine's columns, `own` (from the day's own partition), `late` (days), and `also`."""
        several = len(self.lateness.partitions) > 1
        return " UNION ALL ".join(
            f"SELECT {_columns_of(group.schema, dict(self.platforms), self.columns)}, {literal(not group.late)} AS own"
            f"{f', {group.late} AS late' if several else ''}{also} FROM {group.scan(f'feed_{i}', files=files)}"
            for i, group in enumerate(self.groups, self.first)
        )

    def clean(self, raw: str, also: str = "TRUE") -> str:
        """SELECT of the day's rows that have all keys, without duplicates; `also` is a further condition."""
        texts = "".join(f", {code}_text" for code in CODES)
        texts += "".join(f", {is_minus_zero(column)}" for column in self.doubles)
        rows = f"DISTINCT {columns(self.names)}{texts}" if self.deduplicate else columns(self.names)
        return f"SELECT {rows} FROM {raw} WHERE {_KEYED} AND {self.in_day} AND {also}"

    @property
    def in_day(self) -> str:
        """The condition that a row's time is in the day."""
        start = f"{_DAY} + INTERVAL {self.at} DAY" if self.at else _DAY
        return f"event_timestamp >= {start} AND event_timestamp < {_DAY} + INTERVAL {self.at + 1} DAY"


def clean_days(feeds: Sequence[FeedDay], also: str) -> str:
    """SELECT of the clean rows of several days."""
    return " UNION ALL ".join(feed.clean(f"({feed.raw()})", also) for feed in feeds)


_DAY = "getvariable('day_start')"


_KEYED = " AND ".join(f"{column} IS NOT NULL" for column in REQUIRED_COLUMNS)


def is_minus_zero(column: str) -> str:
    """SQL that tells -0.0 from 0.0; of NaN and NULL it says what is no zero."""
    return f"coalesce({name(column)} = 0 AND signbit({name(column)}), FALSE)"


def _columns_of(schema: Schema, platforms: Mapping[str, int], wanted: Sequence[tuple[str, str]]) -> str:
    """The spine's columns from files of one schema, and the codes' original texts.

    Rows are duplicates if they are equal in the feed, so 'tw' and 'TW' are two rows though both become 158.
    """
    plain = [
        f"{_one_nan(read_as(column, schema.get(column), kind), kind)} AS {name(column)}"
        for column, kind in wanted
        if column not in CODES
    ]
    texts = [f"{read_as(code, schema.get(code), 'VARCHAR')} AS {code}_text" for code in CODES]
    known = [country_code(schema.get("country_code")), _platform(schema.get("platform_code"), platforms)]
    return ", ".join([*plain, *known, *texts])


def _one_nan(value: str, kind: str) -> str:
    """SQL of a value whose NaN has one form, whatever bits it has in the file."""
    if kind not in ("FLOAT", "DOUBLE"):
        return value
    return f"CASE WHEN isnan({value}) THEN CAST('nan' AS {kind}) ELSE {value} END"


def _platform(kind: str | None, platforms: Mapping[str, int]) -> str:
    code = "0"
    if kind and is_integer(kind):
        code = "coalesce(TRY_CAST(platform_code AS INTEGER), 0)"
    elif kind and is_text(kind) and platforms:
        whens = " ".join(f"WHEN {literal(k)} THEN {literal(v)}" for k, v in sorted(platforms.items()))
        code = f"CAST(CASE {as_text('platform_code', kind)} {whens} ELSE 0 END AS INTEGER)"
    return f"{code} AS platform_code"


def files_of(make: Make, day: Day) -> dict[int, list[InputFile]]:
    """Files that may have rows of a day, by how many days late their partition is."""
    return make.context.sources.feed.files(day, make.context.runtime.spine.lateness)


def sql_of_feed(
    make: Make,
    name: ActionName,
    days: Sequence[Day],
    render: Callable[[tuple[FeedDay, ...]], Sql],
    config: Mapping[str, object],
    reads: Mapping[str, Sequence[str]] | None = None,
    arrow: Callable[[tuple[FeedPart, ...]], partial] | None = None,
    *,
    by_user: bool = False,
) -> str | None:
    """Adds an action that reads the feed files of `days`, in a row, and the actions in `reads`; None if there are none.

    `render` makes its statement, of the days that have files, and `arrow` what may run in its place; `config` are
    further values that it depends on. `by_user` says that one day's may be computed in parts of users.
    """
    wanted = spine_columns(make.context.config)
    feeds, bound = _feeds(make, days, wanted)
    if not feeds:
        return None
    groups = [group for feed in feeds for group in feed.groups]
    spine, platforms = make.context.runtime.spine, make.context.runtime.platforms
    late = spine.lateness
    one_sided = late.after if not late.before else {"before": late.before, "after": late.after}
    settings: dict[str, object] = {"spine.lateness_days": one_sided, "spine.deduplicate": spine.deduplicate}
    if _has_text(groups, "platform_code"):
        settings["platforms"] = platforms
    settings |= _own_settings(groups)
    further = {column: kind for column, kind in wanted.items() if column not in SPINE_COLUMNS}
    if further:
        settings["feed.extra_columns"] = further
    if ids := text_ids(make.context.config):
        settings["feed.ids"] = ids
    by_name = _has_text(groups, "country_code")
    reading = Reading(
        reads or {},
        files=bound,
        tables={"countries": country_codes} if by_name else {},
        variables=day_start(days[0]),
        columns=wanted,
    )
    extra = {"engine:pycountry": version("pycountry"), **make.code_of_input(country_codes)} if by_name else {}
    made = tuple(_part(feed, days[feed.at], bound) for feed in feeds)
    parts = partial(parts_of_users, made[0], arrow) if by_user and has_ranges(groups) else None
    return make.sql(name, render(feeds), reading, {**settings, **config}, extra=extra, arrow=arrow and arrow(made),
                    parts=parts)  # fmt: skip


def _feeds(
    make: Make, days: Sequence[Day], wanted: Mapping[str, str]
) -> tuple[tuple[FeedDay, ...], dict[str, list[InputFile]]]:
    """(the days that have files, the files of their groups by the names that these are bound to)."""
    spine, platforms = make.context.runtime.spine, tuple(sorted(make.context.runtime.platforms.items()))
    feeds: list[FeedDay] = []
    bound: dict[str, list[InputFile]] = {}
    for at, day in enumerate(days):
        found = [group for late, files in files_of(make, day).items()
                 for group in group_by_schema(files, list(wanted), late)]  # fmt: skip
        groups, first = tuple(group for group, _ in found), len(bound)
        if groups:
            columns = tuple(wanted.items())
            feeds.append(FeedDay(groups, spine.lateness, spine.deduplicate, platforms, columns, first, at))
        bound |= {f"feed_{i}": members for i, (_, members) in enumerate(found, first)}
    return tuple(feeds), bound


def _own_settings(groups: Sequence[Group]) -> dict[str, object]:
    """The values of the catalog by which files of other names and times are read."""
    owns = [group.own for group in groups if isinstance(group, OwnGroup)]
    names = {column: own for one in owns for column, own in one.names}
    unit = next((one.unit for one in owns if one.unit), "")
    return {**({"feed.columns": names} if names else {}), **({"feed.timestamp_unit": unit} if unit else {})}


def _part(feed: FeedDay, day: Day, bound: Mapping[str, Sequence[InputFile]]) -> FeedPart:
    names = [f"feed_{i}" for i, _ in enumerate(feed.groups, feed.first)]
    digests = {name: [file.digest for file in bound[name]] for name in names}
    rows = sum(file.rows for name in names for file in bound[name])
    extra = tuple((column, kind) for column, kind in feed.columns if column not in SPINE_COLUMNS)
    return FeedPart(feed.groups, feed.lateness, feed.deduplicate, feed.platforms, day, digests, rows, feed.first, extra)


def _has_text(groups: Sequence[Group], code: str) -> bool:
    return any(is_text(group.schema.get(code, "")) for group in groups)


def day_start(day: Day) -> dict[str, str]:
    """The variable that has the day, of several the first, in statements."""
    return {"day_start": f"TIMESTAMP '{day}'"}


def events_part(events: Sequence[str], column: str, *, flatten: bool = False, contributor: bool = False) -> str:
    """The part of an action's name for events and a column, such as `click+like.artwork_id`.

    Arguments that differ give different parts.
    """
    named = "+".join(escaped(event, "+.") for event in events)
    plain = escaped(column, ".[")
    plain = plain.removesuffix("-self") + "%2Dself" if plain.endswith("-self") else plain
    return f"{named}.{plain}{'[]' * flatten}{'-self' * contributor}"
