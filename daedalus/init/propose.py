"""Proposes a first configuration, and the edits to check where it could only guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daedalus.config.columns import REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.init import names
from daedalus.init.aggregations import aggregations, best_event, since_last
from daedalus.init.feed import FeedLook
from daedalus.init.pool import PoolLook
from daedalus.init.questions import Ask, Guess
from daedalus.init.values import family
from daedalus.init.views import ViewGuess, ViewGuesser, ViewLook
from daedalus.sql.column_types import is_text, is_time

OUTPUT_ROOT, CACHE_ROOT = "data/training_output", "cache"
_CATALOG, _RUNTIME = "catalog.yaml", "training/runtime.yaml"
_STRAYS = 0.1  # share of rows, for the pattern or the column of times to be doubtful
_AUTHORS = 0.1  # share of the feed's users who are authors, for a name that does not say so


@dataclass(frozen=True)
class Edit:
    """A key whose value the files do not decide: why, and what to put there."""

    file: str
    key: str
    why: str
    put: str


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
    guesses: list[Guess] = field(default_factory=list)
    output_root: str = OUTPUT_ROOT
    cache_root: str = CACHE_ROOT

    @property
    def noun(self) -> str:
        """What the items are called."""
        return names.noun(self.feed.own("artwork_id"))

    @property
    def is_ours(self) -> bool:
        """Whether the feed is as the spine has it: then the configuration is the one of the stage's page."""
        return not self.feed.keys.columns and not self.feed.keys.extra_columns

    @property
    def platforms(self) -> dict[str, int]:
        """A code for each name of a platform."""
        return {name: code for code, name in enumerate(self.feed.codes("platform_code"), 1) if name}

    @property
    def lateness(self) -> object:
        before, after = self.feed.lateness
        return {"before": before, "after": after} if before else after

    @property
    def output_columns(self) -> list[object]:
        """The feed's columns, features whose name only one view has, ages, aggregations, publications."""
        spine = [name for name in SPINE_COLUMNS if name != "feed_session"]
        found: list[object] = [self._shown(name) for name in spine if self.is_ours or self.feed.kind(name)]
        found += self.feed.keys.extra_columns
        found += [name for view in self.views for name in view.features if self.is_unique(name)]
        found += [*self.ages, *(name for aggregation in self.aggregations for name in _outputs(aggregation))]
        return found + ([self.recent["column"]] if self.recent else [])

    def _shown(self, column: str) -> object:
        """A column of the feed under the feed's own name, where nothing else has that."""
        own = self.feed.own(column)
        usual = own == column or column not in REQUIRED_COLUMNS or not self.is_free(own)
        return column if usual or own.casefold() in ("qid", "dt") else {"name": own, "from": column}

    def is_unique(self, feature: str) -> bool:
        """Whether only one view has a feature of that name, ignoring case, so that the bare name identifies it."""
        return self._spelled[feature.casefold()] == 1

    def is_free(self, name: str) -> bool:
        """Whether no feature, and no column proposed so far, has that name."""
        made = {*self.ages, *(output for aggregation in self.aggregations for output in _outputs(aggregation))}
        taken = {*SPINE_COLUMNS, *self.feed.keys.extra_columns, *made}
        taken |= {self.recent["column"]} if self.recent else set()
        return name.casefold() not in {*self._spelled, *(other.casefold() for other in taken)}

    @property
    def _spelled(self) -> Counter[str]:
        return Counter(name.casefold() for view in self.views for name in view.features)

    @property
    def feature_refs(self) -> list[str]:
        """One feature per view, which loads all of them."""
        return [f"{view.name}:{next(iter(view.features))}" for view in self.views]


def propose(feed: FeedLook, views: Sequence[ViewLook], pool: PoolLook | None, ask: Ask) -> Proposal:
    """A configuration that runs, as far as names, types and values tell."""
    found = Proposal(feed)
    _guess_feed(found)
    _guess_views(found, views, ask)
    _guess_events(found, pool)
    _guess_pool(found, pool)
    looks = {view.name: view for view in views}
    for view in found.views:
        _guess_columns(found, view, looks[view.name])
    found.animated = all(found._spelled[name] == 1 for name in ("artwork_type", "model_type"))
    for aggregation in _aggregations(found):
        while not all(map(found.is_free, _outputs(aggregation))):  # taken by a feature, or by another event
            aggregation["name"] += "_"
        found.aggregations.append(aggregation)
    return found


def _outputs(aggregation: Mapping) -> list[str]:
    windows, name = aggregation["windows"], aggregation["name"]
    return [name] if windows == "cumulative" else [f"{name}_{window}" for window in windows]


def _guess_feed(found: Proposal) -> None:
    feed = found.feed
    found.guesses += feed.found.guesses
    found.left_out += [f"the feed's {note}" for note in feed.found.notes]
    for column, other in feed.found.unsure:
        why = f"init chose {feed.own(column)}: {other}"
        found.edits.append(Edit(_CATALOG, f"feed.columns.{column}", why, "the feed's own name"))
    if feed.strays > _STRAYS:
        why = f"{feed.strays:.0%} of the rows read have times of other days than their folders"
        put = "another pattern, or another event_timestamp under feed.columns"
        found.edits.append(Edit(_CATALOG, "feed.partition", why, put))
    if found.lateness:
        why = "rows found in folders of other days"
        found.guesses.append(Guess(_RUNTIME, "spine.lateness_days", str(found.lateness), why, "likely"))


def _guess_views(found: Proposal, views: Sequence[ViewLook], ask: Ask) -> None:
    guesser = ViewGuesser(found.feed, ask)
    for view in views:
        guesser.guess(view)
    found.views += guesser.views
    found.left_out += guesser.left_out
    found.guesses += guesser.guesses
    found.edits += [Edit(_CATALOG, *unsure) for unsure in guesser.unsure]


def _guess_events(found: Proposal, pool: PoolLook | None) -> None:
    events = list(found.feed.events)
    found.seen_events = [event for event in events if names.is_seen(event)]
    told = any(names.of_event(events[0], known) is not None for known in (names.LIKED, names.DISLIKED))
    if not found.seen_events and (pool or not (told or len(events) == 1)):
        found.seen_events = events[:1]
        why = "no event is named like an impression; init chose the most frequent"
        put = f"the events that only record that an item was shown (of {', '.join(events)})"
        found.edits.append(Edit(_RUNTIME, "embedding_coverage_filter.events", why, put))
    if rows := sum(found.feed.sessions.values()):
        seen = set(found.seen_events)
        shown = sum(count for events, count in found.feed.sessions.items() if events and events <= seen)
        found.view_only = shown / rows


def _guess_pool(found: Proposal, pool: PoolLook | None) -> None:
    if pool is None:
        return
    table, columns = next(iter(pool.tables.items()))
    id_column, sure = pool.id_column(found.feed)
    found.pool = {"uri": pool.uri, "table": table, "id_column": id_column}
    at = "embedding_coverage_filter"
    if len(pool.tables) > 1:
        found.edits.append(Edit(_RUNTIME, f"{at}.table", "several tables", f"one of {', '.join(pool.tables)}"))
    if not sure:
        why = "no column is named like an item id"
        found.edits.append(Edit(_RUNTIME, f"{at}.id_column", why, f"one of {', '.join(columns)}"))
    elif id_column != "artwork_id":
        found.guesses.append(Guess(_RUNTIME, f"{at}.id_column", id_column, "its name or values", "likely"))


def _guess_columns(found: Proposal, view: ViewGuess, look: ViewLook) -> None:
    """Guesses an age, publications and columns for rolling lists, by the usual names of such columns."""
    of_users, kinds = view.entity == "user_id", view.features
    age = "user_age" if of_users else f"{found.noun}_age"
    times = {" ".join(names.words(name)): name for name, kind in kinds.items() if is_time(kind)}
    born = next((times[name] for name in names.BORN if name in times), None)
    if born and found.is_free(age):
        found.ages[age] = f"{view.name}:{born}"
    if of_users:
        return
    author, column = _author(found, view, look), f"user_recent_published_{found.noun}s"
    if author and born and found.is_free(column):
        found.recent = {"column": column, "published_at": f"{view.name}:{born}", "author": f"{view.name}:{author}"}
    for name, kind in kinds.items():
        inner, core = family(kind.removesuffix("[]")), names.core(name)
        ends = name.endswith("_ids") if kind.endswith("[]") else name.endswith("_id")
        category = bool(core) and core[-1].removesuffix("s") in names.CATEGORY and is_text(kind.removesuffix("[]"))
        if inner and (ends or category) and found.is_unique(name):
            found.enrich.append(f"{view.name}:{name}")


def _author(found: Proposal, view: ViewGuess, look: ViewLook) -> str | None:
    """The feature that says which user published an item."""
    users, mine = found.feed.own("user_id"), family(found.feed.kind("user_id"))
    fits = [name for name, kind in view.features.items() if family(kind) == mine]
    if "author_id" in fits:
        return "author_id"
    named = [name for name in fits if name in look.sample.kinds and names.rank(name, names.AUTHOR) is not None]
    held = {name: found.feed.sample.overlap(users, look.sample.distinct(name)) for name in named}
    return next((name for name in named if held[name] >= _AUTHORS), None)


def _aggregations(found: Proposal) -> list[dict]:
    events = list(found.feed.events)
    kinds = {name: kind for view in found.views for name, kind in view.features.items()}
    enrich = {(name := ref.partition(":")[2]): kinds[name] for ref in found.enrich}
    made = list(aggregations(events, found.seen_events, found.noun, enrich, found.feed.keys.extra_columns))
    acts = [event for event in events if event not in found.seen_events]
    best = best_event(acts)
    return made if found.is_ours or not best else [*made, since_last(best)]
