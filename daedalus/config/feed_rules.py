"""Rules for a feed that has names of its own, and for views whose entity has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.base.errors import did_you_mean
from daedalus.config.columns import CODES, SPINE_COLUMNS, spine_columns
from daedalus.config.config import CATALOG, Config
from daedalus.config.partition_pattern import PartitionPattern
from daedalus.config.refusals import refuse, reserved, unique

if TYPE_CHECKING:
    from daedalus.config.schema import View

_OURS = {"own", "late", "file", "file_row_number", *(f"{code}_text" for code in CODES)}  # in statements, beside columns


def check_feed(config: Config) -> None:
    """Raises DaedalusError for the first rule that does not hold."""
    if problem := PartitionPattern(config.catalog.feed.partition).problem():
        found, expected = config.catalog.feed.partition, "such as year=%Y/month=%m/day=%d"
        refuse(config, CATALOG, "feed.partition", f"not a pattern of day folders: {problem}", found, expected)
    _extra_columns(config)
    feed, known = config.catalog.feed, spine_columns(config)
    for column, own in feed.columns.items():
        key = f"feed.columns.{column}"
        if column not in known:
            expected, hint = f"one of {', '.join(known)}", did_you_mean(column, known)
            refuse(config, CATALOG, key, "a column that the spine does not have", column, expected, hint)
        if not own:
            refuse(config, CATALOG, key, "an empty name", "''", "a column of the feed")
    taken: dict[str, str] = {}
    for column in sorted(known, key=lambda column: column not in feed.columns):  # what is mapped comes first
        own = feed.columns.get(column, column)
        other = taken.setdefault(own.casefold(), column)
        if other != column:
            key = f"feed.columns.{column if column in feed.columns else other}"
            hint = f"{column} is read from the feed's {own} unless feed.columns maps it" * (column not in feed.columns)
            refuse(
                config, CATALOG, key, "a feed column that is read under two names", own, f"{other} or {column}", hint
            )
    for name, view in config.catalog.views.items():
        _entity_column(config, f"views.{name}", view)


def _extra_columns(config: Config) -> None:
    extra, key = config.catalog.feed.extra_columns, "feed.extra_columns"
    unique(config, CATALOG, key, extra)
    taken = {name.casefold() for name in SPINE_COLUMNS}
    for i, column in enumerate(extra):
        if column.casefold() in taken:
            refuse(
                config, CATALOG, f"{key}[{i}]", "an extra column with a name that is taken", column, "a name of its own"
            )
        if (why := reserved(column)) or column.casefold() in _OURS:
            hint = f"give it another name, and map that name to {column} under feed.columns"
            refuse(
                config, CATALOG, f"{key}[{i}]", "a reserved name", column, why or "a name that is not reserved", hint
            )


def _entity_column(config: Config, at: str, view: View) -> None:
    if view.entity_column == "":
        refuse(config, CATALOG, f"{at}.entity_column", "an empty name", "''", "a column of the view")
    named = {feature.casefold() for feature in view.features}
    if view.own_entity != view.entity and view.entity.casefold() in named:
        what, expected = "a feature with the name of the entity", "other features, or no entity_column"
        refuse(config, CATALOG, f"{at}.features", what, view.entity, expected)
