"""Tiles: what is made once for a feed day, or for no day, and read by every target day whose window it is in."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial

from daedalus.actions.actions import ActionMaker, Place, Reading, escaped, once, version
from daedalus.actions.unaffected import Keyed
from daedalus.base import digest
from daedalus.base.days import Day
from daedalus.config.columns import SPINE_COLUMNS, Ref
from daedalus.config.schema import Aggregation
from daedalus.inputs.countries import country_codes
from daedalus.inputs.inputs import InputFile, group_by_schema
from daedalus.inputs.pool import POOL_IDS, pool_options, read_pool_ids
from daedalus.skeleton.steps.features import enrich_spine_for_rolling, read_view
from daedalus.skeleton.steps.spine import FeedDay, apply_embedding_coverage_filter, build_time_window_entity_spine
from daedalus.sql.text import Sql
from daedalus.windows.history import gather_history, inject_dislike_history, list_published, self_rule

_BLOCKS = (512, 64, 8)  # days of history gathered in one artifact


class Tiles(ActionMaker):
    """Actions of no day (pool, view, published) and of a feed day (spine, coverage, enrich, history)."""

    # Of no day

    @once
    def _pool(self) -> str:
        coverage, pool = self._coverage, self._sources.pool
        assert pool is not None
        where = self._config.where("training/runtime.yaml", "embedding_coverage_filter")
        read = partial(
            read_pool_ids, coverage.uri, coverage.table, coverage.id_column, where, pool_options(self._config),
            pool.version,
        )  # fmt: skip
        extra = {
            "input:newest Lance manifest": pool.digest,
            "code:read_pool_ids": self._code(self._fingerprint(read_pool_ids)),
            "engine:lancedb": version("lancedb"),
        }
        config = {f"embedding_coverage_filter.{k}": getattr(coverage, k) for k in ("table", "id_column")}
        reading = Reading(tables={"pool_ids": read})
        return self._add_sql(Place("pool"), POOL_IDS, reading, config, extra, watched=[pool.manifest])

    @once
    def _view(self, name: str) -> str:
        found = self._sources.views[name]
        view = found.view
        groups = found.groups()
        sql = self._once(
            ("view", name),
            lambda: read_view([schema for schema, _ in groups], view.entity, view.timestamp_field, found.types,
                              every_version=view.as_of == "day"),
        )  # fmt: skip
        files = {f"view_{i}": files for i, (_, files) in enumerate(groups)}
        columns = {view.timestamp_field: "TIMESTAMP", **found.types}
        reading = Reading(files=files, lists={"view_files": found.files}, columns=columns)
        order = digest.of_json([file.label for file in found.files])  # no label of a file begins with a slash
        config = {f"views.{name}.{k}": getattr(view, k) for k in ("entity", "timestamp_field", "as_of")}
        extra = {"input:/order of files": order}
        return self._add_sql(Place("view", name), sql, reading, config, extra)

    @once
    def _published(self) -> str:
        recent = self._runtime.recent_published
        assert recent is not None
        published, author = Ref.parse(recent.published_at), Ref.parse(recent.author)
        assert published and author
        versions = self._sources.views[published.view].view.as_of == "day"
        day = self._sources.views[published.view].types[published.feature] == "DATE"
        sql = self._once(
            "published", lambda: list_published(published.feature, author.feature, every_version=versions, is_day=day)
        )
        config = {"recent_published.published_at": recent.published_at, "recent_published.author": recent.author}
        return self._add_sql(Place("published"), sql, Reading({"view": [self._view(published.view)]}), config)

    # Of a feed day

    def _files(self, day: Day) -> dict[int, list[InputFile]]:
        return self._sources.feed.files(day, self._runtime.spine.lateness)

    def _feed_groups(self, day: Day) -> tuple[list[tuple[Mapping[str, str], int]], dict[str, list[InputFile]]]:
        """Schemas with how many days late their partition is, and the files of each as `feed_i`."""
        groups: list[tuple[Mapping[str, str], int]] = []
        bound: dict[str, list[InputFile]] = {}
        for late, files in self._files(day).items():
            for schema, members in group_by_schema(files, list(SPINE_COLUMNS)):
                bound[f"feed_{len(groups)}"] = members
                groups.append((schema, late))
        return groups, bound

    def _from_feed(
        self,
        place: Place,
        render: Callable[[FeedDay], Sql],
        config: Mapping[str, object],
        reads: Mapping[str, Sequence[str]] | None = None,
    ) -> str | None:
        """An action that reads a day's feed files themselves, and what else it `reads`; None when there are none."""
        assert place.day is not None
        if place.name in self.actions:
            return place.name
        if not any(self._files(place.day).values()):
            return None
        groups, bound = self._feed_groups(place.day)
        spine, platforms = self._runtime.spine, self._runtime.platforms
        sql = self._once(
            (place.step, place.part, tuple((tuple(schema.items()), late) for schema, late in groups)),
            lambda: render(FeedDay(groups, spine.lateness, spine.deduplicate, platforms)),
        )
        late = spine.lateness
        one_sided = late.after if not late.before else {"before": late.before, "after": late.after}
        settings = {"spine.lateness_days": one_sided, "spine.deduplicate": spine.deduplicate}
        if any(schema.get("platform_code") == "VARCHAR" for schema, _ in groups):
            settings["platforms"] = platforms
        by_name = any(schema.get("country_code") == "VARCHAR" for schema, _ in groups)
        reading = Reading(
            reads or {},
            files=bound,
            tables={"countries": country_codes} if by_name else {},
            variables=day_start(place.day),
            columns=SPINE_COLUMNS,
        )
        extra = {"engine:pycountry": version("pycountry")} if by_name else {}
        return self._add_sql(place, sql, reading, {**settings, **config}, extra)

    @once
    def _spine(self, day: Day) -> str | None:
        self._untouched.watch(str(day))
        return self._from_feed(Place("spine", day=day), build_time_window_entity_spine, {})

    def _filtered(self, events: Sequence[str] | None = None) -> bool:
        """Whether the coverage filter can drop rows of these events."""
        coverage = self._coverage
        return coverage.enabled and (events is None or not set(events).isdisjoint(coverage.events))

    @once
    def _covered(self, day: Day, filtered: bool) -> dict[str, list[str]]:
        """Bindings of a feed day's spine, and of its coverage where that matters."""
        spine = self._spine(day)
        assert spine is not None
        return {"spine": [spine], **({"coverage": [self._cover(day, spine)]} if filtered else {})}

    @once
    def _cover(self, day: Day, spine: str) -> str:
        events = sorted(set(self._coverage.events))
        sql = self._once("coverage", lambda: apply_embedding_coverage_filter(events))
        config = {"embedding_coverage_filter.events": events}
        reading = Reading({"spine": [spine], "pool": [self._pool()]})
        keyed = [Keyed(self._pool(), "id", "artwork_id")]
        return self._add_sql(Place("coverage", day=day), sql, reading, config, keyed=keyed)

    @once
    def _enrich(self, day: Day, aggregation: Aggregation) -> str | None:
        """The day's events that an aggregation sees, with its value; shared by all that see the same."""
        if self._spine(day) is None:
            return None
        events = sorted(set(aggregation.events))
        view = self._enriching_view(aggregation)
        as_of_day = bool(view) and self._config.catalog.views[view].as_of == "day"
        filtered = self._filtered(events)
        flatten, contributor = aggregation.agg == "flatten_distinct", self_rule(aggregation) == "event"
        part = events_part(events, aggregation.column, flatten=flatten, contributor=contributor)
        entity = self._config.catalog.views[view].entity if view else ""
        sql = self._once(
            ("enrich", part),
            lambda: enrich_spine_for_rolling(events, aggregation.column, filtered=filtered, entity=entity,
                                             as_of_day=as_of_day, flatten=flatten, contributor=contributor),
        )  # fmt: skip
        reads = dict(self._covered(day, filtered))
        if view:
            reads["view"] = [self._view(view)]
        config = {"aggregation.events": events, "aggregation.column": aggregation.column}
        variables = day_start(day) if as_of_day else {}
        keyed = self._keyed([view]) if view else []
        return self._add_sql(Place("enrich", part, day), sql, Reading(reads, variables=variables), config, keyed=keyed)

    def _keyed(self, views: Iterable[str]) -> list[Keyed]:
        """Views as tables that steps join."""
        entities = {view: self._config.catalog.views[view].entity for view in views}
        return [Keyed(self._view(view), entity, entity) for view, entity in entities.items()]

    def _enriching_view(self, aggregation: Aggregation) -> str:
        """The view that an aggregation's column comes from; "" for the feed."""
        refs = [ref for text in self._runtime.enrich if (ref := Ref.parse(text))]
        return next((ref.view for ref in refs if ref.feature == aggregation.column), "")

    def _history_pieces(self, aggregation: Aggregation, first: int, last: int) -> list[str]:
        """History of the days with ordinals in [first, last), in as few artifacts as there can be."""
        pieces = []
        while (first := max(first, self._next_with_files(first) // _BLOCKS[0] * _BLOCKS[0])) < last:
            size = next((b for b in _BLOCKS if first % b == 0 and first + b <= last), 1)
            pieces.append(self._history(aggregation, first, size))
            first += size
        return [piece for piece in pieces if piece]

    def _next_with_files(self, day: int) -> int:
        """The ordinal of the first day from `day` on of which there may be rows; a past is mostly without any."""
        late, known = self._runtime.spine.lateness, self._feed_ordinals
        place = bisect_left(known, day - late.before)
        return max(day, known[place] - late.after) if place < len(known) else Day.max.toordinal()

    @cached_property
    def _feed_ordinals(self) -> list[int]:
        return [day.toordinal() for day in self._sources.feed_days]

    @once
    def _history(self, aggregation: Aggregation, first: int, size: int) -> str | None:
        if self._next_with_files(first) >= first + size:
            return None
        events = sorted(set(aggregation.events))
        contributor = self_rule(aggregation) == "event"
        part = events_part(events, aggregation.column, contributor=contributor)
        config = {"aggregation.events": events, "aggregation.column": aggregation.column}
        if size == 1:
            filtered = sorted({*events} & {*self._coverage.events}) if self._filtered(events) else []
            render = partial(inject_dislike_history, events=events, column=aggregation.column,
                             contributor=contributor, filtered=filtered)  # fmt: skip
            reads = {"pool": [self._pool()]} if filtered else {}
            config |= {"embedding_coverage_filter.events": filtered} if filtered else {}
            return self._from_feed(Place("history", part, Day.fromordinal(first)), render, config, reads)
        children = [self._history(aggregation, at, size // 8) for at in range(first, first + size, size // 8)]
        present = [child for child in children if child]
        if not present:
            return None
        sql = self._once(("gather", contributor), lambda: gather_history(contributor))
        last_day = Day.fromordinal(first + size - 1)
        place = Place("history", part, last_day, span=f"{Day.fromordinal(first)}+{size}d")
        return self._add_sql(place, sql, Reading({"events": present}), {})


def events_part(events: Sequence[str], column: str, *, flatten: bool = False, contributor: bool = False) -> str:
    """Such as `click+like.artwork_id`: another name for whatever differs."""
    named = "+".join(escaped(event, "+.") for event in events)
    plain = escaped(column, ".[")
    plain = plain.removesuffix("-self") + "%2Dself" if plain.endswith("-self") else plain
    return f"{named}.{plain}{'[]' * flatten}{'-self' * contributor}"


def day_start(day: Day) -> dict[str, str]:
    return {"day_start": f"TIMESTAMP '{day}'"}
