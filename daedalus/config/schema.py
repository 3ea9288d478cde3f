"""The shape of the three configuration files. These definitions are what validates them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping in which an unknown key is an error."""


class Feed(_Strict, frozen=True, kw_only=True):
    path: str


class View(_Strict, frozen=True, kw_only=True):
    source: str
    entity: str
    timestamp_field: str
    features: list[str]
    as_of: Literal["latest", "day"] = "latest"


class Catalog(_Strict, frozen=True, kw_only=True):
    feed: Feed
    views: dict[str, View] = {}


class Compute(_Strict, frozen=True, kw_only=True):
    engine: Literal["duckdb", "polars"] = "duckdb"
    duckdb_config: dict[str, str | int | float | bool] = {}


class Spine(_Strict, frozen=True, kw_only=True):
    lookback_days: int = 7
    lateness_days: int = 0
    deduplicate: bool = True


class CoverageFilter(_Strict, frozen=True, kw_only=True):
    enabled: bool = True
    events: list[str] = msgspec.field(default_factory=lambda: ["reco_artwork_view", "reco_artwork_view2"])
    uri: str = ""
    table: str = ""
    id_column: str = "artwork_id"


class SessionFilter(_Strict, frozen=True, kw_only=True):
    drop_view_only: bool = False
    drop_single_like: bool = False


class RecentPublished(_Strict, frozen=True, kw_only=True):
    column: str
    published_at: str
    author: str
    window: str
    max_items: int | None = None


class AnimatedModelType(_Strict, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    artwork_type: str
    source: str
    target: str


class ContentFilter(_Strict, frozen=True, kw_only=True):
    drop: dict[str, list[str | int | float | bool]] = {}


class OutputColumn(_Strict, frozen=True, kw_only=True):
    name: str
    default: Any | UnsetType = UNSET
    default_sql: str | UnsetType = UNSET

    @property
    def has_default(self) -> bool:
        return self.default is not UNSET or self.default_sql is not UNSET


class Runtime(_Strict, frozen=True, kw_only=True):
    feed_start: str | int
    feed_end: str | int
    output_root: str = "data/training_output"
    cache_root: str = "cache"
    day_workers: int = 1
    entity_spine_chunk_rows: int = 500_000
    compute: Compute = Compute()
    spine: Spine = Spine()
    embedding_coverage_filter: CoverageFilter = CoverageFilter(enabled=False)
    feature_refs: list[str] = []
    enrich: list[str] = []
    ages: dict[str, str] = {}
    session_filter: SessionFilter = SessionFilter()
    recent_published: RecentPublished | None = None
    animated_model_type: AnimatedModelType | None = None
    content_filter: ContentFilter = ContentFilter()
    platforms: dict[str, int] = {}
    output_columns: list[str | OutputColumn]


class Aggregation(_Strict, frozen=True, kw_only=True):
    name: str
    events: list[str]
    column: str
    agg: Literal["list", "distinct", "flatten_distinct", "count"]
    windows: list[str] | Literal["cumulative"]
    exclude_self: bool = False
    max_items: int | None = None

    @property
    def cumulative(self) -> bool:
        return self.windows == "cumulative"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns it makes, in the order of its windows."""
        if isinstance(self.windows, str):
            return (self.name,)
        return tuple(f"{self.name}_{window}" for window in self.windows)


class Aggregations(_Strict, frozen=True, kw_only=True):
    aggregations: list[Aggregation] = []
