"""Which rows: the clean spine of a feed day, coverage, and the target day's rows after the session filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daedalus.config.columns import REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.config.schema import Lateness
from daedalus.sql.text import POSITION, Sql, columns, in_list, literal, name, parquet
from daedalus.sql.types import is_integer, read_as

Schema = Mapping[str, str]
CODES = ("country_code", "platform_code")
# Output order: a query group's rows together, then the rest of the feed's columns as tie-break.
_ORDER = ["user_id", "feed_session", "event_timestamp", "artwork_id", "event"]
ROW_ORDER = [*_ORDER, *(column for column in SPINE_COLUMNS if column not in _ORDER)]


def order_by(names: Sequence[str]) -> str:
    return "ORDER BY " + ", ".join(f"{name(column)} NULLS LAST" for column in names)


@dataclass(frozen=True)
class FeedDay:
    """A feed day's files by schema, and how the spine is cleaned.

    `groups` are (schema, by how many days the partition of the files is late, below 0 for an earlier one); group i
    is bound as `feed_i`.
    The variable `day_start` is the day.
    """

    groups: Sequence[tuple[Schema, int]]
    lateness: Lateness
    deduplicate: bool
    platforms: Mapping[str, int]

    def raw(self, also: str = "", *, files: bool = False) -> str:
        """SELECT of every row, its columns as the spine has them, whether it is `own`, how `late` it is, and `also`."""
        several = len(self.lateness.partitions) > 1
        return " UNION ALL ".join(
            f"SELECT {_columns_of(schema, self.platforms)}, {literal(not late)} AS own"
            f"{f', {late} AS late' if several else ''}{also} FROM {parquet(f'feed_{i}', files=files)}"
            for i, (schema, late) in enumerate(self.groups)
        )

    def clean(self, raw: str, also: str = "TRUE") -> str:
        """SELECT of the day's rows with all keys, each once."""
        texts = "".join(f", {code}_text" for code in CODES)
        rows = f"DISTINCT {columns(SPINE_COLUMNS)}{texts}" if self.deduplicate else columns(SPINE_COLUMNS)
        return f"SELECT {rows} FROM {raw} WHERE {_KEYED} AND {_IN_DAY} AND {also}"


_DAY = "getvariable('day_start')"
_KEYED = " AND ".join(f"{column} IS NOT NULL" for column in REQUIRED_COLUMNS)
_IN_DAY = f"event_timestamp >= {_DAY} AND event_timestamp < {_DAY} + INTERVAL 1 DAY"


def build_time_window_entity_spine(feed: FeedDay) -> Sql:
    """The clean rows of one feed day: those of partitions `d - before .. d + after` whose time is in day `d`.

    Counts: read, null_keys and strays of the day's own partition, with `+1` of the next day's, `+-1` of the one
    before, and so on (see `feed_rows`); duplicates and spine of the day.
    """
    early = f"event_timestamp < {_DAY} - INTERVAL {feed.lateness.after} DAY"
    stray = f"{early} OR event_timestamp >= {_DAY} + INTERVAL {feed.lateness.before + 1} DAY"
    lates = sorted({late for _, late in feed.groups if late})
    late = "".join(_late_counts(i, feed.lateness) for i in lates)
    return Sql(
        tables=(("raw", feed.raw()), ("clean", feed.clean("raw"))),
        counts=f"""
            SELECT count(*) FILTER (own) AS read,
                count(*) FILTER (own AND NOT ({_KEYED})) AS null_keys,
                count(*) FILTER (own AND {_KEYED} AND ({stray})) AS strays,{late}
                count(*) FILTER ({_KEYED} AND {_IN_DAY}) - (SELECT count(*) FROM clean) AS duplicates,
                (SELECT count(*) FROM clean) AS spine
            FROM raw""",
        select=f"SELECT {columns(SPINE_COLUMNS)} FROM clean {order_by(ROW_ORDER)}",
    )


def _late_counts(late: int, lateness: Lateness) -> str:
    """The counts of a partition that is `late` days after the spine's."""
    first, end = late - lateness.after, late + lateness.before + 1  # the days whose rows are no strays there
    until = f"{_DAY} + INTERVAL {end if end >= 0 else f'({end})'} DAY"
    allowed = f"event_timestamp >= {_DAY} + INTERVAL ({first}) DAY AND event_timestamp < {until}"
    return f"""
                count(*) FILTER (late = {late}) AS "read+{late}",
                count(*) FILTER (late = {late} AND NOT ({_KEYED})) AS "null_keys+{late}",
                count(*) FILTER (late = {late} AND {_KEYED} AND NOT ({allowed})) AS "strays+{late}","""


def _columns_of(schema: Schema, platforms: Mapping[str, int]) -> str:
    """The spine's columns from files of one schema, and the codes as they were written.

    Rows are duplicates by what the feed says, so 'tw' and 'TW' are two rows though both become 158.
    """
    plain = [
        f"{read_as(column, schema.get(column), kind)} AS {name(column)}"
        for column, kind in SPINE_COLUMNS.items()
        if column not in CODES
    ]
    texts = [f"{read_as(code, schema.get(code), 'VARCHAR')} AS {code}_text" for code in CODES]
    known = [_country(schema.get("country_code")), _platform(schema.get("platform_code"), platforms)]
    return ", ".join([*plain, *known, *texts])


def _country(kind: str | None) -> str:
    code = "0"
    if kind and is_integer(kind):
        code = "coalesce(TRY_CAST(country_code AS INTEGER), 0)"
    elif kind == "VARCHAR":  # `countries` is bound to ISO 3166-1: alpha2 -> code
        code = "coalesce((SELECT code FROM countries WHERE alpha2 = upper(country_code)), 0)"
    return f"{code} AS country_code"


def _platform(kind: str | None, platforms: Mapping[str, int]) -> str:
    code = "0"
    if kind and is_integer(kind):
        code = "coalesce(TRY_CAST(platform_code AS INTEGER), 0)"
    elif kind == "VARCHAR" and platforms:
        whens = " ".join(f"WHEN {literal(k)} THEN {literal(v)}" for k, v in sorted(platforms.items()))
        code = f"CAST(CASE platform_code {whens} ELSE 0 END AS INTEGER)"
    return f"{code} AS platform_code"


def apply_embedding_coverage_filter(events: Sequence[str]) -> Sql:
    """One BOOLEAN a row of `spine`: whether it stays. Rows of `events` stay if their artwork is in `pool`."""
    uncovered = (
        f"{in_list('s.event', events)} AND NOT EXISTS (SELECT 1 FROM {parquet('pool')} p WHERE p.id = s.artwork_id)"
    )
    return Sql(f"SELECT NOT ({uncovered}) AS covered FROM {parquet('spine', positions=True)} s ORDER BY s.{POSITION}")


def covered_spine(filtered: bool) -> str:
    """FROM clause of the rows that the coverage filter leaves; `spine` is aliased s."""
    spine = f"{parquet('spine', positions=True)} s"
    return (
        f"{spine} JOIN {parquet('coverage', positions=True)} c ON c.{POSITION} = s.{POSITION} AND c.covered"
        if filtered
        else spine
    )


def apply_session_filter(filtered: bool, events: Sequence[str], *, drop_view_only: bool, drop_single_like: bool) -> Sql:
    """The target day's rows, which are those of its spine, without view-only and single-like sessions.

    Rows without a session stay. `events` are the coverage filter's: what counts as a mere view.
    """
    view = in_list("s.event", events) if events else "FALSE"
    acts = f"count(*) FILTER (NOT ({view}))"
    dropped = []
    if drop_view_only:
        dropped.append(f"{acts} = 0")
    if drop_single_like:
        dropped.append(f"({acts} = 1 AND count(*) FILTER (s.event = 'like' AND NOT ({view})) = 1)")
    rows = covered_spine(filtered)
    keep = "TRUE"
    if dropped:  # the spine is read twice: to keep its rows meanwhile takes three times as long
        sessions = f"SELECT s.feed_session FROM {rows} WHERE s.feed_session IS NOT NULL GROUP BY s.feed_session"
        keep = f"s.feed_session IS NULL OR s.feed_session NOT IN ({sessions} HAVING {' OR '.join(dropped)})"
    return Sql(
        counts=f"SELECT count(*) AS target FROM {rows}",
        select=f"SELECT {columns(SPINE_COLUMNS, 's.')} FROM {rows} WHERE {keep} ORDER BY s.{POSITION}",
    )
