"""The stage's table of contents: every step as an action of a day, tied to what it reads.

    of a feed day       spine, coverage, features (one a view), enrich (one an event set and column), history
    of a target day     sessions, rolling (one an aggregation), recent_published, content, qids, chunk
    of no day           pool, view (one a view), published

Overlapping windows share the tiles of a feed day; only what depends on the target day is made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

from msgspec import UNSET

from daedalus import digest
from daedalus.config import Config
from daedalus.config.columns import SPINE_COLUMNS, Ref, makers, referenced_views
from daedalus.config.schema import Aggregation
from daedalus.days import ONE_DAY, Day, parse_duration
from daedalus.skeleton import publish
from daedalus.skeleton.chunk import Chunk, FeatureView, chunk_attributes
from daedalus.skeleton.countries import country_codes
from daedalus.skeleton.engine import COPY_OPTIONS, Bindings, Ducks
from daedalus.skeleton.features import enrich_spine_for_rolling, preload_filtered_features, read_view
from daedalus.skeleton.history import (
    Rolling,
    compute_user_recent_published_artworks,
    gather_history,
    inject_dislike_history,
    list_published,
    rolling_sql,
    self_rule,
)
from daedalus.skeleton.inputs import Feed, InputFile, ViewInput, group_by_schema
from daedalus.skeleton.pool import POOL_IDS, read_pool_ids
from daedalus.skeleton.qids import DAY_QIDS, NEW_QIDS, QidMap
from daedalus.skeleton.spine import (
    FeedDay,
    apply_embedding_coverage_filter,
    apply_session_filter,
    build_time_window_entity_spine,
)
from daedalus.skeleton.sql import Sql, literal
from daedalus.stagecache.action import Action, Counts, Shelf
from daedalus.stagecache.fingerprint import of_python, of_sql

# In the order in which a day goes through them.
STEPS = (
    "pool", "view", "published", "spine", "coverage", "features", "enrich", "history",
    "sessions", "rolling", "recent_published", "content", "qids", "chunk",
)  # fmt: skip
_BLOCKS = (512, 64, 8)  # days of history gathered in one artifact


@cache
def _version(package: str) -> str:
    return metadata.version(package)


@cache
def _sql_digest(sql: Sql) -> str:
    return of_sql(*sql.statements, COPY_OPTIONS)


@dataclass(frozen=True)
class Pool:
    """The Lance table's newest manifest, as it was looked at."""

    digest: str


@dataclass(frozen=True)
class Sources:
    """All that a run reads, looked at once."""

    feed: Feed
    feed_days: Sequence[Day]  # every partition there is, looked at or not
    views: Mapping[str, ViewInput]
    pool: Pool | None


class Pipeline:
    """Builds the graph of actions for target days. Each action is made once, on demand."""

    def __init__(
        self, config: Config, sources: Sources, *, store: Shelf, partitions: Shelf, qids: QidMap, ducks: Ducks,
        lineage: str | None, chunk_rows: int,
    ) -> None:  # fmt: skip
        self._config, self._runtime, self._sources = config, config.runtime, sources
        self._store, self._partitions, self._qids, self._ducks = store, partitions, qids, ducks
        self._lineage, self._chunk_rows = lineage, chunk_rows
        self._coverage = self._runtime.embedding_coverage_filter
        self.actions: dict[str, Action] = {}
        self._qids_before: str | None = None
        self._sql: dict[object, Sql] = {}

    def build(self, days: Iterable[Day]) -> list[Action]:
        """The actions of `days`, upstream first."""
        for day in days:
            for back in range(self._runtime.spine.lookback_days, -1, -1):
                self._spine(day - back * ONE_DAY)
            self._chunk(day)
        return list(self.actions.values())

    # Making actions

    def _add(
        self, step: str, part: str, day: Day | None, run: Callable, ingredients: Mapping[str, str],
        upstream: Iterable[str], files: Sequence[InputFile] = (), shelf: Shelf | None = None,
        after: tuple[str, ...] = (), span: str = "",
    ) -> str:  # fmt: skip
        at = span or (str(day) if day else "")
        name = f"{step}{':' if part else ''}{part}{'@' if at else ''}{at}"
        if name not in self.actions:
            inputs = {f"input:{file.label}": file.digest for file in files}
            self.actions[name] = Action(
                name=name,
                step=step,
                day=str(day) if day else None,
                ingredients={**ingredients, **inputs},
                upstream=tuple(dict.fromkeys(upstream)),
                run=run,
                shelf=shelf or self._store,
                after=after,
                verify=partial(_verify, files),
            )
        return name

    def _add_sql(
        self, step: str, part: str, day: Day | None, sql: Sql, reads: Mapping[str, Sequence[str]],
        config: Mapping[str, object], *, files: Mapping[str, Sequence[InputFile]] | None = None,
        tables: Mapping[str, Callable[[], Any]] | None = None, variables: Mapping[str, str] | None = None,
        extra: Mapping[str, str] | None = None, span: str = "",
    ) -> str:  # fmt: skip
        """An action that is one `Sql`: `reads` binds views to upstream actions, `files` to input files."""
        bound = files or {}
        ingredients = {
            "code:sql": _sql_digest(sql),
            "engine:duckdb": _version("duckdb"),
            **{f"config:{key}": digest.canonical_json(value) for key, value in config.items()},
            **{f"config:variable {key}": value for key, value in (variables or {}).items() if key != "view_files"},
            **(extra or {}),
        }
        inputs = [file for group in bound.values() for file in group]
        run = partial(_run_sql, self._ducks, sql, reads, bound, tables or {}, variables or {})
        upstream = [name for names in reads.values() for name in names]
        return self._add(step, part, day, run, ingredients, upstream, inputs, span=span)

    def _once(self, key: object, make: Callable[[], Sql]) -> Sql:
        """The rendered statement of a step, which is the same on all days."""
        if key not in self._sql:
            self._sql[key] = make()
        return self._sql[key]

    # Of no day

    def _pool(self) -> str:
        coverage = self._coverage
        assert self._sources.pool is not None
        where = self._config.where("training/runtime.yaml", "embedding_coverage_filter")
        read = partial(read_pool_ids, coverage.uri, coverage.table, coverage.id_column, where)
        extra = {
            "input:newest Lance manifest": self._sources.pool.digest,
            "code:read_pool_ids": of_python(read_pool_ids),
            "engine:lancedb": _version("lancedb"),
        }
        config = {f"embedding_coverage_filter.{k}": getattr(coverage, k) for k in ("table", "id_column")}
        return self._add_sql("pool", "", None, POOL_IDS, {}, config, tables={"pool_ids": read}, extra=extra)

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
        variables = {"view_files": literal([str(file.path) for file in found.files])}
        order = digest.of_json([file.label for file in found.files])
        config = {f"views.{name}.{k}": getattr(view, k) for k in ("entity", "timestamp_field", "as_of")}
        return self._add_sql("view", name, None, sql, {}, config, files=files, variables=variables,
                             extra={f"input:{name} file order": order})  # fmt: skip

    def _published(self) -> str:
        recent = self._runtime.recent_published
        assert recent is not None
        published, author = Ref.parse(recent.published_at), Ref.parse(recent.author)
        assert published and author
        versions = self._sources.views[published.view].view.as_of == "day"
        sql = self._once("published", lambda: list_published(published.feature, author.feature, every_version=versions))
        config = {"recent_published.published_at": recent.published_at, "recent_published.author": recent.author}
        return self._add_sql("published", "", None, sql, {"view": [self._view(published.view)]}, config)

    # Of a feed day

    def _files(self, day: Day) -> list[tuple[InputFile, bool]]:
        return self._sources.feed.files(day, self._runtime.spine.lateness_days)

    def _feed_groups(self, day: Day) -> tuple[list[tuple[Mapping[str, str], bool]], dict[str, list[InputFile]]]:
        """Schemas with whether they lie in the day's own partition, and the files of each as `feed_i`."""
        groups: list[tuple[Mapping[str, str], bool]] = []
        bound: dict[str, list[InputFile]] = {}
        for own in (True, False):
            files = [file for file, is_own in self._files(day) if is_own == own]
            for schema, members in group_by_schema(files, list(SPINE_COLUMNS)):
                bound[f"feed_{len(groups)}"] = members
                groups.append((schema, own))
        return groups, bound

    def _spine_settings(self) -> dict[str, Any]:
        spine = self._runtime.spine
        return {"lateness_days": spine.lateness_days, "deduplicate": spine.deduplicate}

    def _from_feed(
        self, step: str, part: str, day: Day, render: Callable[..., Sql], config: Mapping[str, object]
    ) -> str | None:
        """An action that reads the day's feed files themselves; None when there are none."""
        name = f"{step}{':' if part else ''}{part}@{day}"
        if name in self.actions:
            return name
        return self._make_from_feed(step, part, day, render, config) if self._files(day) else None

    def _make_from_feed(
        self, step: str, part: str, day: Day, render: Callable[..., Sql], config: Mapping[str, object]
    ) -> str:
        groups, bound = self._feed_groups(day)
        settings = self._spine_settings()
        sql = self._once(
            (step, part, tuple((tuple(schema.items()), own) for schema, own in groups)),
            lambda: render(FeedDay(groups, **settings, platforms=self._runtime.platforms)),
        )
        named = {schema.get("country_code") == "VARCHAR" for schema, _ in groups}
        tables = {"countries": country_codes} if True in named else {}
        extra = {"engine:pycountry": _version("pycountry")} if tables else {}
        if any(schema.get("platform_code") == "VARCHAR" for schema, _ in groups):
            config = {**config, "platforms": self._runtime.platforms}
        settings = {f"spine.{key}": value for key, value in settings.items()}
        name = self._add_sql(
            step, part, day, sql, {}, {**settings, **config}, files=bound, tables=tables, extra=extra,
            variables={"day_start": f"TIMESTAMP '{day}'"},
        )  # fmt: skip
        broken = next((file for files in bound.values() for file in files if file.error), None)
        if broken:
            self.actions[name] = _failing(self.actions[name], broken)
        return name

    def _spine(self, day: Day) -> str | None:
        return self._from_feed("spine", "", day, build_time_window_entity_spine, {})

    def _filtered(self, events: Sequence[str] | None = None) -> bool:
        """Whether the coverage filter can drop rows of these events."""
        coverage = self._coverage
        return coverage.enabled and (events is None or not set(events).isdisjoint(coverage.events))

    def _covered(self, day: Day, filtered: bool) -> dict[str, list[str]]:
        """Bindings of a feed day's spine, and of its coverage where that matters."""
        spine = self._spine(day)
        assert spine is not None
        return {"spine": [spine], **({"coverage": [self._cover(day, spine)]} if filtered else {})}

    def _cover(self, day: Day, spine: str) -> str:
        events = sorted(set(self._coverage.events))
        sql = self._once("coverage", lambda: apply_embedding_coverage_filter(events))
        config = {"embedding_coverage_filter.events": events}
        return self._add_sql("coverage", "", day, sql, {"spine": [spine], "pool": [self._pool()]}, config)

    def _features(self, day: Day, name: str) -> str:
        found = self._sources.views[name]
        by_day = found.view.as_of == "day"
        filtered = self._filtered()
        sql = self._once(
            ("features", name),
            lambda: preload_filtered_features(
                found.view.entity, list(found.types), filtered=filtered, as_of_day=by_day
            ),
        )
        reads = {"view": [self._view(name)], **self._covered(day, filtered)}
        variables = {"day_start": f"TIMESTAMP '{day}'"} if by_day else {}
        config = {f"views.{name}.features": list(found.types)}
        return self._add_sql("features", name, day, sql, reads, config, variables=variables)

    def _enrich(self, day: Day, aggregation: Aggregation) -> str | None:
        """The day's events that an aggregation sees, with its value; shared by all that see the same."""
        if self._spine(day) is None:
            return None
        events = sorted(set(aggregation.events))
        view = self._enriching_view(aggregation)
        filtered = self._filtered(events)
        flatten, contributor = aggregation.agg == "flatten_distinct", self_rule(aggregation) == "event"
        part = f"{'+'.join(events)}.{aggregation.column}" + ("[]" * flatten) + ("-self" * contributor)
        entity = self._config.catalog.views[view].entity if view else ""
        sql = self._once(
            ("enrich", part),
            lambda: enrich_spine_for_rolling(events, aggregation.column, filtered=filtered, entity=entity,
                                             flatten=flatten, contributor=contributor),
        )  # fmt: skip
        reads = self._covered(day, filtered)
        if view:
            reads["features"] = [self._features(day, view)]
        config = {"aggregation.events": events, "aggregation.column": aggregation.column}
        return self._add_sql("enrich", part, day, sql, reads, config)

    def _enriching_view(self, aggregation: Aggregation) -> str:
        """The view that an aggregation's column comes from; "" for the feed."""
        refs = [ref for text in self._runtime.enrich if (ref := Ref.parse(text))]
        return next((ref.view for ref in refs if ref.feature == aggregation.column), "")

    def _history_pieces(self, aggregation: Aggregation, first: int, last: int) -> list[str]:
        """History of the days with ordinals in [first, last), in as few artifacts as there can be."""
        pieces = []
        while first < last:
            size = next((b for b in _BLOCKS if first % b == 0 and first + b <= last), 1)
            pieces.append(self._history(aggregation, first, size))
            first += size
        return [piece for piece in pieces if piece]

    def _history(self, aggregation: Aggregation, first: int, size: int) -> str | None:
        events = sorted(set(aggregation.events))
        contributor = self_rule(aggregation) == "event"
        part = f"{'+'.join(events)}.{aggregation.column}" + ("-self" * contributor)
        config = {"aggregation.events": events, "aggregation.column": aggregation.column}
        if size == 1:
            column = aggregation.column
            render = partial(inject_dislike_history, events=events, column=column, contributor=contributor)
            return self._from_feed("history", part, Day.fromordinal(first), render, config)
        children = [self._history(aggregation, at, size // 8) for at in range(first, first + size, size // 8)]
        present = [child for child in children if child]
        if not present:
            return None
        sql = self._once(("gather", contributor), lambda: gather_history(contributor))
        last_day = Day.fromordinal(first + size - 1)
        span = f"{Day.fromordinal(first)}+{size}d"
        return self._add_sql("history", part, last_day, sql, {"events": present}, {}, span=span)

    # Of a target day

    def _sessions(self, day: Day) -> str:
        rule = self._runtime.session_filter
        events = sorted(set(self._coverage.events))
        filtered = self._filtered()
        sql = self._once(
            "sessions",
            lambda: apply_session_filter(filtered, events, drop_view_only=rule.drop_view_only,
                                         drop_single_like=rule.drop_single_like),
        )  # fmt: skip
        config = {f"session_filter.{k}": getattr(rule, k) for k in ("drop_view_only", "drop_single_like")}
        if rule.drop_view_only or rule.drop_single_like:
            config["embedding_coverage_filter.events"] = events
        return self._add_sql("sessions", "", day, sql, self._covered(day, filtered), config)

    def _rolling(self, day: Day, aggregation: Aggregation) -> str:
        windows = _windows(aggregation)
        sql = self._once(
            ("rolling", aggregation.name),
            lambda: rolling_sql(Rolling(aggregation.agg, windows, self_rule(aggregation), aggregation.max_items)),
        )
        back = self._runtime.spine.lookback_days
        if not aggregation.cumulative:
            back = -(-max(seconds for _, seconds in windows if seconds) // 86400)
        tiles = [self._enrich(day - i * ONE_DAY, aggregation) for i in range(back, -1, -1)]
        events = [tile for tile in tiles if tile]
        if aggregation.cumulative:
            first = min(self._sources.feed_days).toordinal() - self._runtime.spine.lateness_days
            start = (day - back * ONE_DAY).toordinal()
            events = self._history_pieces(aggregation, min(first, start), start) + events
        at = f"aggregations.{aggregation.name}"
        config = {f"{at}.{k}": getattr(aggregation, k) for k in ("agg", "exclude_self", "max_items")}
        config[f"{at}.windows"] = [window for window, _ in windows]
        reads = {"rows": [self._sessions(day)], "events": events}
        return self._add_sql("rolling", aggregation.name, day, sql, reads, config)

    def _recent(self, day: Day) -> str:
        recent = self._runtime.recent_published
        assert recent is not None
        seconds = parse_duration(recent.window, "recent_published.window")
        sql = self._once(
            "recent", lambda: compute_user_recent_published_artworks(recent.column, seconds, recent.max_items)
        )
        config = {f"recent_published.{k}": getattr(recent, k) for k in ("column", "window", "max_items")}
        reads = {"rows": [self._sessions(day)], "events": [self._published()]}
        return self._add_sql("recent_published", "", day, sql, reads, config)

    def _content(self, day: Day) -> str:
        chunk = self._chunk_definition()
        sql = self._once("content", lambda: chunk_attributes(chunk))
        reads = {"target": [self._sessions(day)], "spine": self._covered(day, False)["spine"]}
        reads.update({view.bound: [self._features(day, view.name)] for view in chunk.views})
        runtime = self._runtime
        config: dict[str, object] = {f"ages.{age}": runtime.ages[age] for age in chunk.ages}
        config.update({f"content_filter.drop.{c}": values for c, values in chunk.drop.items()})
        if rule := chunk.animated:
            config.update({f"animated_model_type.{k}": getattr(rule, a) for k, a in
                           (("artwork_type", "artwork_type"), ("from", "source"), ("to", "target"))})  # fmt: skip
        config.update({f"output_columns.{c}.default": text for c, text in chunk.defaults.items()})
        return self._add_sql("content", "", day, sql, reads, config)

    def _chunk_definition(self) -> Chunk:
        if not hasattr(self, "_chunk_made"):
            self._chunk_made = chunk_definition(self._config)
        return self._chunk_made

    def _assign_qids(self, day: Day) -> str:
        content, spine = self._content(day), self._covered(day, False)["spine"][0]
        assert self._lineage is not None
        ingredients = {
            "input:qid_map": self._lineage,
            "code:sql": of_sql(NEW_QIDS.select, DAY_QIDS.select, COPY_OPTIONS),
            "engine:duckdb": _version("duckdb"),
        }
        run = partial(_run_qids, self._qids, self._lineage, content, spine)
        after = (self._qids_before,) if self._qids_before else ()
        self._qids_before = self._add("qids", "", day, run, ingredients, [content, spine], after=after)
        return self._qids_before

    def _chunk(self, day: Day) -> None:
        spine = self._spine(day)
        if spine is None:
            return
        columns, sources = self._output_columns(day)
        artifacts = {"spine": spine, "attributes": self._content(day), **sources}
        if self._lineage is not None:
            artifacts["qids"] = self._assign_qids(day)
        made = {"spine", "attributes"}
        ingredients = {
            "config:output_columns": digest.canonical_json([column.name for column in columns]),
            "config:entity_spine_chunk_rows": str(self._chunk_rows),
            "code:write_partition": of_python(publish.write_partition),
            "engine:pyarrow": _version("pyarrow"),
            **{f"config:source of {c.name}": c.source for c in columns if c.source not in made},
        }
        run = partial(_run_chunk, artifacts, columns, self._chunk_rows)
        self._add("chunk", "", day, run, ingredients, artifacts.values(), shelf=self._partitions)

    def _output_columns(self, day: Day) -> tuple[list[publish.OutputColumn], dict[str, str]]:
        """The partition's columns in order, and the aligned artifacts that they need."""
        chunk, known = self._chunk_definition(), makers(self._config)
        by_name = {aggregation.name: aggregation for aggregation in self._config.aggregations}
        columns, sources = [], {}
        for output in self._config.output_columns:
            maker = known[output.name][0] if output.name in known else None
            if output.name in chunk.outputs:
                source = "attributes"
            elif maker and maker.kind == "aggregation":
                source = f"rolling:{maker.source}"
                sources[source] = self._rolling(day, by_name[maker.source])
            elif maker and maker.kind == "recent":
                source = "recent_published"
                sources[source] = self._recent(day)
            else:
                source = "spine"
            columns.append(publish.OutputColumn(output.name, source))
        return columns, sources


def _windows(aggregation: Aggregation) -> tuple[tuple[str, int | None], ...]:
    """(output column, seconds), shortest first: their order in the config changes nothing."""
    if isinstance(aggregation.windows, str):
        return ((aggregation.name, None),)
    pairs = [(f"{aggregation.name}_{w}", parse_duration(w, "windows")) for w in aggregation.windows]
    return tuple(sorted(pairs, key=lambda pair: (pair[1], pair[0])))


def chunk_definition(config: Config) -> Chunk:
    """What `chunk_attributes` must make for a config: only what ships or decides what ships."""
    runtime, known = config.runtime, makers(config)
    outputs = {column.name: column for column in config.output_columns}
    defaults = {
        name: column.default_sql if column.default_sql is not UNSET else literal(column.default)
        for name, column in outputs.items()
        if name not in known
    }
    kinds = {name: known[name][0] for name in (*outputs, *runtime.content_filter.drop) if name in known}
    needed = {name: maker for name, maker in kinds.items() if maker.kind == "feature"}
    if runtime.animated_model_type:
        needed.update({name: known[name][0] for name in ("artwork_type", "model_type")})
    ages = {age: ref for age, text in sorted(runtime.ages.items()) if age in kinds and (ref := Ref.parse(text))}
    joined = {maker.source for maker in needed.values()} | {ref.view for ref in ages.values()}
    views = tuple(
        FeatureView(view, config.catalog.views[view].entity,
                    tuple(sorted(name for name, maker in needed.items() if maker.source == view)))
        for view in sorted(referenced_views(config)) if view in joined
    )  # fmt: skip
    return Chunk(
        feed=tuple(sorted(c for c in runtime.content_filter.drop if c in kinds and kinds[c].kind == "feed")),
        views=views,
        ages={age: (ref.view, ref.feature) for age, ref in ages.items()},
        animated=runtime.animated_model_type,
        drop={c: sorted(values, key=repr) for c, values in sorted(runtime.content_filter.drop.items())},
        outputs=tuple(sorted(name for name in outputs if name in defaults or kinds[name].kind in ("feature", "age"))),
        defaults=defaults,
    )


# What actions run. Each takes (upstream paths by action name, output path) last and returns counts.


def _run_sql(
    ducks: Ducks, sql: Sql, reads: Mapping[str, Sequence[str]], files: Mapping[str, Sequence[InputFile]],
    tables: Mapping[str, Callable[[], Any]], variables: Mapping[str, str], upstream: Mapping[str, Path], out: Path,
) -> Counts:  # fmt: skip
    bound = {view: [upstream[name] for name in names] for view, names in reads.items()}
    bound.update({view: [file.path for file in members] for view, members in files.items()})
    with ducks.lease() as duck:
        return duck.copy(sql, Bindings(bound, {view: make() for view, make in tables.items()}, variables), out)


def _run_qids(qids: QidMap, lineage: str, content: str, spine: str, upstream: Mapping[str, Path], out: Path) -> Counts:
    return qids.assign({"attributes": upstream[content], "spine": upstream[spine]}, lineage, out)


def _run_chunk(
    artifacts: Mapping[str, str], columns: Sequence[publish.OutputColumn], chunk_rows: int,
    upstream: Mapping[str, Path], out: Path,
) -> Counts:  # fmt: skip
    import pyarrow.parquet as pq

    paths = {source: upstream[name] for source, name in artifacts.items()}
    if not pq.read_metadata(paths["spine"]).num_rows:
        return {"written": 0, "empty": 1}
    return {"written": publish.write_partition(out, columns, paths, chunk_rows), "empty": 0}


def _verify(files: Sequence[InputFile]) -> None:
    for file in files:
        file.unchanged()


def _failing(action: Action, broken: InputFile) -> Action:
    """The action with a run that says what is wrong with its input."""
    import dataclasses

    def run(upstream: Mapping[str, Path], out: Path) -> Counts:
        assert broken.error is not None
        raise broken.error

    return dataclasses.replace(action, run=run)


__all__ = ["STEPS", "Pipeline", "Pool", "Sources"]
