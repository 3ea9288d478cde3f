"""docs/your_data.md: what a feed, views and a pool have to look like, as told by what checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

from jinja2 import StrictUndefined, Template

from daedalus.base import days, sizes
from daedalus.base.errors import DaedalusError
from daedalus.compile.meanings import of_feed
from daedalus.config.aggregation_kinds import KINDS, AggregationKind, Measure
from daedalus.config.columns import SPINE_COLUMNS
from daedalus.config.partition_pattern import DEFAULT, PartitionPattern
from daedalus.config.schema import Feed
from daedalus.inputs.feed import check_extra, check_feed_schema
from daedalus.inputs.type_checks import refusal
from daedalus.sql.column_types import is_nested, is_time
from daedalus.sql.own_columns import OwnColumns

# Types that a file may have, by DuckDB's names, and what people call several of them; what covers most stands first.
WORDS = {
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"):
        "whole numbers",
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"):
        "whole numbers except uint64",
    ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT"):
        "whole numbers of up to 32 bits except uint32",
    ("FLOAT", "DOUBLE"): "floats",
    ("DECIMAL(18,2)",): "decimals",
    ("VARCHAR", "JSON"): "text",
    ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ", "TIMESTAMPTZ_NS"):
        "timestamps of any unit, with a time zone or without",
    ("DATE",): "dates",
    ("BOOLEAN",): "booleans",
    ("UUID",): "UUIDs",
    ("BLOB",): "bytes",
    ("BIGINT[]",): "lists",
    ("STRUCT<A: INT64>",): "structs",
}  # fmt: skip
TYPES = list(dict.fromkeys(kind for kinds in WORDS for kind in kinds))
PATTERNS = [DEFAULT, "dt=%Y%m%d", "%Y/%m/%d", "year=%Y/month=%m/day=%d", "dt=%Y-%m-%d/hour=%H"]


def page() -> str:
    """The page, from what checks files."""
    text = (Path(__file__).parent / "your_data.md.j2").read_text()
    made = {name: "".join(rows()) for name, rows in TABLES.items()}
    return Template(text, keep_trailing_newline=True, undefined=StrictUndefined).render(**made)


def types(check: Callable[[str], Any]) -> set[str]:
    """The types for which a check raises no error and does not answer False."""
    return {kind for kind in TYPES if _passes(check, kind)}


def _passes(check: Callable[[str], Any], kind: str) -> bool:
    try:
        return check(kind) is not False
    except DaedalusError:
        return False


def words(accepted: set[str]) -> str:
    """Types in a person's words; a type that no words cover is told by its name."""
    left, said = [kind for kind in TYPES if kind in accepted], []
    for kinds, text in WORDS.items():
        if set(kinds) <= set(left):
            said.append(text)
            left = [kind for kind in left if kind not in kinds]
    return ", ".join([*said, *left]) or "none"


def row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _check_column(column: str, unit: str, kind: str) -> None:
    """The check of a feed file with one column of this type, or without it for "", and the others as the spine's."""
    schema = {**SPINE_COLUMNS, column: kind}
    check_feed_schema("file", {name: own for name, own in schema.items() if own}, OwnColumns(unit=unit))


def _feed() -> Iterator[str]:
    without_names: Any = SimpleNamespace(runtime=SimpleNamespace(platforms={}))
    for column in SPINE_COLUMNS:
        accepted = types(partial(_check_column, column, ""))
        needed = not _passes(partial(_check_column, column, ""), "")
        text = "VARCHAR" in accepted and "BIGINT" in accepted and SPINE_COLUMNS[column] == "BIGINT"
        then = SPINE_COLUMNS[column] + ", or VARCHAR if text" * text
        yield row(f"`{column}`", "yes" if needed else "", words(accepted), then, of_feed(without_names, column))


def _extra() -> Iterator[str]:
    yield words(types(partial(check_extra, "file")))


def _units() -> Iterator[str]:
    hint = get_type_hints(Feed)["timestamp_unit"]
    yield ", ".join(f"`{unit}`" for inner in get_args(hint) for unit in get_args(inner))


def _unit_types() -> Iterator[str]:
    yield words(types(partial(_check_column, "event_timestamp", "ms")))


def _folders() -> Iterator[str]:
    for text in PATTERNS:
        pattern = PartitionPattern(text)
        assert not pattern.problem(), text
        default = " (the default)" * (text == DEFAULT)
        yield row(f"`{text}`{default}", f"`{_named_after_a_day(pattern)}`")


def _named_after_a_day(pattern: PartitionPattern) -> str:
    shown = pattern.text
    for letter, digits in {"%Y": "2026", "%m": "01", "%d": "31", "%H": "07"}.items():
        shown = shown.replace(letter, digits)
    assert pattern.fits(shown.split("/"))
    return f"{shown}/part-0.parquet"


def _views() -> Iterator[str]:
    yield row("`entity`, `entity_column`", "whose row it is: `user_id`, `artwork_id` or another column of the feed",
              "as the feed's column")  # fmt: skip
    yield row("`timestamp_field`", "the time from which the row holds", words(types(is_time)))
    yield row("`features`", "the columns to load; NULL in files that lack one", "any; some uses need more, as below")
    yield row("`ages`, `recent_published.published_at`", "a feature that is a time", words(types(is_time)))
    yield row("`recent_published.author`", "a feature that is a user's id", "as the feed's `user_id`")


def _aggregations() -> Iterator[str]:
    for agg, kind in KINDS.items():
        gives, empty = ("list", "[]") if kind.listed else ("BIGINT", "0")
        if isinstance(kind, Measure):
            gives, empty = kind.gives, kind.empty
        yield row(f"`{agg}`", _of_all(types(partial(_takes, kind))), GIVES.get(gives, gives), f"`{empty}`")


def _takes(kind: AggregationKind, type: str) -> bool:
    if isinstance(kind, Measure):
        return refusal(kind, type) is None
    if kind.flatten:
        return type.endswith("[]")
    return not (kind.listed and is_nested(type))


GIVES = {"value": "one of the values", "list": "a list of values", "sum": "BIGINT for whole numbers, else DOUBLE"}


def _of_all(accepted: set[str]) -> str:
    """Short words for most types."""
    plain = {kind for kind in TYPES if not is_nested(kind)}
    if accepted == set(TYPES):
        return "any"
    return "any except lists and structs" if accepted == plain else words(accepted)


def _durations() -> Iterator[str]:
    names = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    assert days.parse_duration("7d", "") == 7 * 86400 and set(names) == set(days._UNITS)
    units = ", ".join(f"`{unit}` {name}" for unit, name in names.items())
    yield row("duration (`windows`, `recent_published.window`)", units, "`7d`")
    assert sizes.parse_size("512MiB", "") == 512 << 20
    units = ", ".join(f"`{unit.replace('I', 'i')}`" for unit in sizes._UNITS)
    yield row("size (`fetch_limit`)", units, "`20GB`, `512MiB`")


TABLES = {
    "feed": _feed, "extra": _extra, "units": _units, "unit_types": _unit_types, "folders": _folders, "views": _views,
    "aggregations": _aggregations, "durations": _durations,
}  # fmt: skip
