"""Rules for a feed that has names of its own, and for views whose entity has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.base.errors import did_you_mean
from daedalus.config.columns import SPINE_COLUMNS
from daedalus.config.config import CATALOG, Config
from daedalus.config.refusals import refuse

if TYPE_CHECKING:
    from daedalus.config.schema import View


def check_feed(config: Config) -> None:
    """Raises DaedalusError for the first rule that does not hold."""
    feed = config.catalog.feed
    for column, own in feed.columns.items():
        key = f"feed.columns.{column}"
        if column not in SPINE_COLUMNS:
            expected, hint = f"one of {', '.join(SPINE_COLUMNS)}", did_you_mean(column, SPINE_COLUMNS)
            refuse(config, CATALOG, key, "a column that the spine does not have", column, expected, hint)
        if not own:
            refuse(config, CATALOG, key, "an empty name", "''", "a column of the feed")
    taken: dict[str, str] = {}
    for column in sorted(SPINE_COLUMNS, key=lambda column: column not in feed.columns):  # what is mapped comes first
        own = feed.columns.get(column, column)
        other = taken.setdefault(own.casefold(), column)
        if other != column:
            key = f"feed.columns.{column if column in feed.columns else other}"
            hint = f"{column} is the feed's {own} where columns does not say another" * (column not in feed.columns)
            refuse(config, CATALOG, key, "a feed's column that is read as two", own, f"{other} or {column}", hint)
    for name, view in config.catalog.views.items():
        _entity_column(config, f"views.{name}", view)


def _entity_column(config: Config, at: str, view: View) -> None:
    if view.entity_column == "":
        refuse(config, CATALOG, f"{at}.entity_column", "an empty name", "''", "a column of the view")
    named = {feature.casefold() for feature in view.features}
    if view.own_entity != view.entity and view.entity.casefold() in named:
        what, expected = "a feature named like the entity", "other features, or no entity_column"
        refuse(config, CATALOG, f"{at}.features", what, view.entity, expected)
