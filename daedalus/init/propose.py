"""Proposes a first configuration, and the edits to check where it could only guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from daedalus.config.columns import SPINE_COLUMNS
from daedalus.init.look import FeedLook, PoolLook, ViewLook
from daedalus.sql.column_types import is_integer, is_time

_TIME_NAMES = ("updated_at", "modified_at", "event_timestamp", "timestamp", "ts", "created_at")  # best first
_PLAIN = ("UBIGINT", "FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR", "JSON", "BLOB")
_WINDOWS = ["1d", "3d", "7d"]
_MAX_ITEMS = 200
_MOST_EVENTS = 20  # the most frequent, for which lists are proposed
OUTPUT_ROOT, CACHE_ROOT = "data/training_output", "cache"


@dataclass(frozen=True)
class Edit:
    """A key whose value the files do not decide: why, and what to put there."""

    file: str
    key: str
    why: str
    put: str


@dataclass(frozen=True)
class ViewGuess:
    name: str
    source: str
    entity: str
    timestamp_field: str
    features: Mapping[str, str]  # name -> type


@dataclass
class Proposal:
    feed: FeedLook
    views: list[ViewGuess] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    pool: dict[str, str] | None = None
    seen_events: list[str] = field(default_factory=list)  # events that only say that something was shown
    aggregations: list[dict] = field(default_factory=list)
    enrich: list[str] = field(default_factory=list)
    ages: dict[str, str] = field(default_factory=dict)
    recent: dict[str, str] | None = None
    animated: bool = False
    view_only: float | None = None  # share of rows in sessions of only those
    edits: list[Edit] = field(default_factory=list)
    output_root: str = OUTPUT_ROOT
    cache_root: str = CACHE_ROOT

    @property
    def output_columns(self) -> list[str]:
        """The feed's columns, features whose name only one view has, ages, aggregations, publications."""
        names = [name for name in SPINE_COLUMNS if name != "feed_session"]
        names += [name for view in self.views for name in view.features if self.is_unique(name)]
        names += [*self.ages, *(name for aggregation in self.aggregations for name in _outputs(aggregation))]
        return names + ([self.recent["column"]] if self.recent else [])

    def is_unique(self, feature: str) -> bool:
        """Whether only one view has a feature of that name, ignoring case, so that the bare name identifies it."""
        return self._spelled[feature.casefold()] == 1

    def is_free(self, name: str) -> bool:
        """Whether no feature, and no column proposed so far, has that name."""
        made = {*self.ages, *(output for aggregation in self.aggregations for output in _outputs(aggregation))}
        taken = {*SPINE_COLUMNS, *made, *([self.recent["column"]] if self.recent else [])}
        return name.casefold() not in {*self._spelled, *(other.casefold() for other in taken)}

    @property
    def _spelled(self) -> Counter[str]:
        return Counter(name.casefold() for view in self.views for name in view.features)

    @property
    def feature_refs(self) -> list[str]:
        """One feature per view, which loads all of them."""
        return [f"{view.name}:{next(iter(view.features))}" for view in self.views]


def propose(feed: FeedLook, views: Sequence[ViewLook], pool: PoolLook | None) -> Proposal:
    """A configuration that runs, as far as names and types tell."""
    found = Proposal(feed)
    for view in views:
        _guess_view(found, view)
    _guess_events(found)
    _guess_pool(found, pool)
    _guess_columns(found)
    for aggregation in _aggregations(found):
        while not all(map(found.is_free, _outputs(aggregation))):  # taken by a feature, or by another event
            aggregation["name"] += "_"
        found.aggregations.append(aggregation)
    return found


def _outputs(aggregation: Mapping) -> list[str]:
    windows, name = aggregation["windows"], aggregation["name"]
    return [name] if windows == "cumulative" else [f"{name}_{window}" for window in windows]


def _guess_view(found: Proposal, view: ViewLook) -> None:
    """Adds a view's entity, time and features, or why it is left out."""
    entities = [name for name in ("artwork_id", "user_id") if is_integer(view.columns.get(name, ""))]
    times = [name for name, kind in view.columns.items() if is_time(kind)]
    if not entities or not times:
        lacks = "user_id or artwork_id of a whole-number type" if not entities else "a column of times"
        found.left_out.append(f"{view.name}: it has no {lacks}")
        return
    entity = entities[-1] if view.name.startswith("user") else entities[0]
    at = f"views.{view.name}"
    if len(entities) > 1:
        found.edits.append(Edit("catalog.yaml", f"{at}.entity", "both ids are there", "user_id or artwork_id"))
    best = [name for name in _TIME_NAMES if name in times]
    time = best[0] if best else times[0]
    if not best and len(times) > 1:
        why = "several times, none named like an update"
        found.edits.append(Edit("catalog.yaml", f"{at}.timestamp_field", why, f"one of {', '.join(times)}"))
    names = {name: kind for name, kind in view.columns.items() if name not in (entity, time)}
    unfit = {name: reason for name, kind in names.items() if (reason := _no_feature(name, kind))}
    features = {name: kind for name, kind in names.items() if name not in unfit}
    if not features:
        found.left_out.append(f"{view.name}: no column besides id and time can be a feature")
        return
    passed_over = {**view.passed_over, **unfit}
    found.left_out += [f"{view.name}: its column {name} ({reason})" for name, reason in passed_over.items()]
    found.views.append(ViewGuess(view.name, view.source, entity, time, features))


def _no_feature(name: str, kind: str) -> str:
    """Why a column of a view is not proposed as a feature; "" for one that is."""
    spelled = name.casefold()
    if spelled in {*SPINE_COLUMNS, "file_row_number", "qid", "dt"} or spelled.startswith("daeda:") or not name:
        return "its name is reserved"
    plain = is_integer(kind) or is_time(kind) or kind.startswith("DECIMAL(") or kind in _PLAIN
    return "" if plain or (kind.endswith("[]") and not _no_feature("item", kind[:-2])) else f"its type is {kind}"


def _guess_events(found: Proposal) -> None:
    events = list(found.feed.events)
    found.seen_events = [event for event in events if "view" in event.lower() or "impression" in event.lower()]
    if not found.seen_events and events:
        found.seen_events = events[:1]
        why = "no event is named like a view; the most frequent was taken"
        put = f"the events that only say that an artwork was shown (of {', '.join(events)})"
        found.edits.append(Edit("training/runtime.yaml", "embedding_coverage_filter.events", why, put))
    if rows := sum(found.feed.sessions.values()):
        seen = set(found.seen_events)
        shown = sum(count for events, count in found.feed.sessions.items() if events and events <= seen)
        found.view_only = shown / rows


def _guess_pool(found: Proposal, pool: PoolLook | None) -> None:
    if pool is None:
        return
    table, columns = next(iter(pool.tables.items()))
    ids = [name for name, kind in columns.items() if is_integer(kind)]
    id_column = "artwork_id" if "artwork_id" in ids else ids[0] if ids else "artwork_id"
    found.pool = {"uri": pool.uri, "table": table, "id_column": id_column}
    at = "embedding_coverage_filter"
    if len(pool.tables) > 1:
        put = f"one of {', '.join(pool.tables)}"
        found.edits.append(Edit("training/runtime.yaml", f"{at}.table", "several tables", put))
    if "artwork_id" not in ids:
        put = f"one of {', '.join(columns)}"
        found.edits.append(Edit("training/runtime.yaml", f"{at}.id_column", "no artwork_id in the table", put))


def _guess_columns(found: Proposal) -> None:
    """Guesses ages, publications and columns for rolling lists, by the usual names of such columns."""
    for view in found.views:
        of_users = view.entity == "user_id"
        kinds, age = view.features, "user_age" if of_users else "artwork_age"
        if is_time(kinds.get("created_at", "")) and found.is_free(age):
            found.ages[age] = f"{view.name}:created_at"
        if of_users:
            continue
        publishes = is_integer(kinds.get("author_id", "")) and is_time(kinds.get("created_at", ""))
        if publishes and found.is_free("user_recent_published_artworks"):
            found.recent = {"column": "user_recent_published_artworks", "published_at": f"{view.name}:created_at",
                            "author": f"{view.name}:author_id"}  # fmt: skip
        for name, kind in kinds.items():
            listed = name.endswith("_ids") and kind.endswith("[]") and is_integer(kind[:-2])
            if (listed or (name.endswith("_id") and is_integer(kind))) and found.is_unique(name):
                found.enrich.append(f"{view.name}:{name}")
    found.animated = all(found._spelled[name] == 1 for name in ("artwork_type", "model_type"))


def _aggregations(found: Proposal) -> Iterator[dict]:
    """Artwork ids per event, counts and features of likes, and all past dislikes."""
    acts = [event for event in found.feed.events if event not in found.seen_events][:_MOST_EVENTS]
    if found.seen_events:
        yield _rolling("view_artwork_ids", found.seen_events, "artwork_id", "distinct", False)
    for event in acts:
        if "dislike" in event:
            yield {"name": f"{event}_artwork_ids", "events": [event], "column": "artwork_id", "agg": "distinct",
                   "windows": "cumulative", "max_items": 1000}  # fmt: skip
        else:
            yield _rolling(f"{event}_artwork_ids", [event], "artwork_id", "distinct", True)
    if "like" in acts:
        yield {"name": "like_artwork_cnts", "events": ["like"], "column": "artwork_id", "agg": "count",
               "windows": _WINDOWS}  # fmt: skip
        for ref in found.enrich:
            column = ref.partition(":")[2]
            agg = "flatten_distinct" if column.endswith("_ids") else "distinct"
            yield _rolling(f"like_artwork_{column.removesuffix('s')}s", ["like"], column, agg, False)


def _rolling(name: str, events: list[str], column: str, agg: str, exclude_self: bool) -> dict:
    rest = {"exclude_self": True} if exclude_self else {}
    return {"name": name, "events": events, "column": column, "agg": agg, "windows": _WINDOWS, **rest,
            "max_items": _MAX_ITEMS}  # fmt: skip
