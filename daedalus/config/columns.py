"""What makes each column: the feed, a view's feature, an age, an aggregation or recent_published.

Every bare name used in an output or by a later step must have exactly one maker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from daedalus.config.steps import STEPS

if TYPE_CHECKING:
    from daedalus.config.config import Config

# Name -> DuckDB type of the feed's columns as the spine holds them; the order is the tie-break of output rows.
SPINE_COLUMNS = {
    "user_id": "BIGINT",
    "artwork_id": "BIGINT",
    "event_timestamp": "TIMESTAMP",
    "event": "VARCHAR",
    "feed_session": "VARCHAR",
    "current_like_count": "BIGINT",
    "country_code": "INTEGER",
    "platform_code": "INTEGER",
    "retriever_id": "VARCHAR",
    "member_source": "VARCHAR",
}
IDS = ("user_id", "artwork_id")  # BIGINT, or VARCHAR where the feed's files have text
CODES = ("country_code", "platform_code")
REQUIRED_COLUMNS = ("user_id", "artwork_id", "event_timestamp", "event")

Kind = Literal["feed", "feature", "age", "aggregation", "recent", "step"]


class Maker(Struct, frozen=True):
    """What makes a column: its kind, and the view, aggregation or step that it comes from."""

    kind: Kind
    source: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.source}".strip()


class Ref(Struct, frozen=True):
    """`view:feature`, taken apart."""

    view: str
    feature: str

    @classmethod
    def parse(cls, text: str) -> Ref | None:
        view, colon, feature = text.partition(":")
        return cls(view, feature) if colon and view and feature else None


def spine_columns(config: Config) -> dict[str, str]:
    """Name -> type of the columns of the spine, extra ones last.

    The types of ids and of extra columns are known where the feed's files have been looked at, see `inputs/feed.py`.
    """
    return {**SPINE_COLUMNS, **dict.fromkeys(config.catalog.feed.extra_columns, "INTEGER"), **config.feed_types}


def text_ids(config: Config) -> dict[str, str]:
    """Name -> type of the ids that are text."""
    return {name: kind for name, kind in config.feed_types.items() if name in IDS}


def referenced_views(config: Config) -> tuple[str, ...]:
    """Views that `feature_refs` or a later step names, in catalog order; all their features are loaded."""
    runtime = config.runtime
    refs = [*runtime.feature_refs, *runtime.enrich, *runtime.ages.values()]
    if recent := runtime.recent_published:
        refs += [recent.published_at, recent.author]
    named = {ref.view for ref in map(Ref.parse, refs) if ref}
    return tuple(view for view in config.catalog.views if view in named)


def makers(config: Config) -> dict[str, list[Maker]]:
    """Every column that a partition can have, by name, with all its makers."""
    found: dict[str, list[Maker]] = {name: [Maker("feed")] for name in spine_columns(config)}

    def add(name: str, maker: Maker) -> None:
        found.setdefault(name, []).append(maker)

    for view in referenced_views(config):
        for feature in config.catalog.views[view].features:
            if feature != config.catalog.views[view].entity:  # the entity is the feed's own column
                add(feature, Maker("feature", view))
    for age in config.runtime.ages:
        add(age, Maker("age", age))
    for aggregation in config.aggregations:
        for output in aggregation.outputs:
            add(output, Maker("aggregation", aggregation.name))
    if recent := config.runtime.recent_published:
        add(recent.column, Maker("recent"))
    for step, columns in STEPS.items():
        for column in columns:
            add(column, Maker("step", step))
    return found


def names_things(config: Config, output: str) -> bool:
    """Whether an output column holds ids or codes, which name things and of which no mean says anything.

    Known are the feed's ids, sessions and codes, what views are joined by, `recent_published.author` and ids of
    vectors; of others the name tells, which ends in `_id` or is `id`.
    """
    runtime, made = config.runtime, config.made_from(output)
    known = {"qid", "feed_session", *IDS, *CODES, *(view.entity for view in config.catalog.views.values())}
    if runtime.recent_published:
        known.add(runtime.recent_published.author.rpartition(":")[2])
    vectors = runtime.embeddings.columns.values() if runtime.embeddings else ()
    if made in known or output in {column.of for column in vectors}:
        return True
    return any(name.lower() == "id" or name.lower().endswith("_id") for name in (made, output))
