"""The stage's table of contents: every step as an action of a day, tied to what it reads.

    of no day           pool, view (one a view), published
    of a feed day       spine, coverage, enrich (one an event set and column), history
    of a target day     sessions, attributes, rolling (one an aggregation), recent_published, content, qids, chunk

Overlapping windows share the tiles of a feed day; only what depends on the target day is made for it. What it is
made for are the rows of the sessions: the content filter, and with it which rows ship, comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

from daedalus.actions.actions import Place, Reading, Sources, describe_sql, once, version
from daedalus.actions.ports import Files
from daedalus.actions.unaffected import Keyed, Untouched
from daedalus.base import digest
from daedalus.base.days import ONE_DAY, Day, parse_duration
from daedalus.config import Config
from daedalus.config.columns import makers
from daedalus.config.schema import Aggregation
from daedalus.inputs.type_checks import filter_types
from daedalus.output.cut import write_partition
from daedalus.output.qid_map import DAY_QIDS, DAY_SESSIONS, QidMap
from daedalus.output.reuse import Earlier
from daedalus.skeleton.steps.joins import (
    Chunk,
    attribute_definition,
    chunk_attributes,
    filter_definition,
    rows_that_ship,
)
from daedalus.skeleton.steps.spine import apply_session_filter
from daedalus.skeleton.steps.tiles import Tiles, day_start
from daedalus.sql.duck import Ducks
from daedalus.sql.text import Sql
from daedalus.stagecache.action import Action, Counts, Manifest, Shelf
from daedalus.stagecache.fingerprint import Fingerprint, of_python, of_sql
from daedalus.windows.history import Rolling, compute_user_recent_published_artworks, rolling_sql, self_rule
from daedalus.windows.roll import roll
from daedalus.windows.stored import ITEMS


class Pipeline(Tiles):
    """The graph of actions for target days.

    `numbered` says whether qids are to be added; `earlier(action)` is what it made last, if that lies here.
    """

    def __init__(
        self,
        config: Config,
        sources: Sources,
        store: Shelf,
        ducks: Ducks,
        files: Files,
        *,
        partitions: Shelf,
        qids: QidMap,
        numbered: bool,
        untouched: Untouched,
        earlier: Callable[[str], Earlier | None] = lambda name: None,
        fingerprint: Callable[[Callable], Fingerprint] = of_python,
    ) -> None:
        super().__init__(config, sources, store, ducks, files, untouched, fingerprint)
        self._partitions, self._qids, self._numbered = partitions, qids, numbered
        self._earlier = earlier
        self._qids_before: str | None = None

    def build(self, days: Iterable[Day]) -> list[Action]:
        """The actions of `days`, upstream first."""
        for day in days:
            for back in range(self._runtime.spine.lookback_days, 0, -1):
                self._spine(day - back * ONE_DAY)
            self._chunk(day)
        return list(self.actions.values())

    @once
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
        return self._add_sql(Place("sessions", day=day), sql, Reading(self._covered(day, filtered)), config)

    @once
    def _rolling(self, day: Day, aggregation: Aggregation) -> str:
        windows = _windows(aggregation)
        rolling = Rolling(aggregation.agg, windows, self_rule(aggregation), aggregation.max_items)
        sql = self._once(("rolling", aggregation.name), lambda: rolling_sql(rolling, once=ITEMS))
        back = self._runtime.spine.lookback_days
        if not aggregation.cumulative:
            back = -(-max(seconds for _, seconds in windows if seconds) // 86400)
        tiles = [self._enrich(day - i * ONE_DAY, aggregation) for i in range(back, -1, -1)]
        events = [tile for tile in tiles if tile]
        if aggregation.cumulative:
            first = min(self._sources.feed_days).toordinal() - self._runtime.spine.lateness.after
            start = (day - back * ONE_DAY).toordinal()
            events = self._history_pieces(aggregation, min(first, start), start) + events
        at = f"aggregations.{aggregation.name}"
        config = {f"{at}.{k}": getattr(aggregation, k) for k in ("agg", "exclude_self", "max_items")}
        config[f"{at}.windows"] = [window for window, _ in windows]
        return self._roll(Place("rolling", aggregation.name, day), rolling, sql, events, config)

    @once
    def _recent(self, day: Day) -> str:
        recent = self._runtime.recent_published
        assert recent is not None
        seconds = parse_duration(recent.window, "recent_published.window")
        rolling = compute_user_recent_published_artworks(recent.column, seconds, recent.max_items)
        sql = self._once("recent", lambda: rolling_sql(rolling, once=ITEMS))
        config = {f"recent_published.{k}": getattr(recent, k) for k in ("column", "window", "max_items")}
        keyed = [Keyed(self._published(), "user_id", "user_id")]
        return self._roll(Place("recent_published", day=day), rolling, sql, [self._published()], config, keyed)

    def _roll(
        self,
        place: Place,
        rolling: Rolling,
        sql: Sql,
        events: Sequence[str],
        config: Mapping[str, object],
        keyed: Sequence[Keyed] = (),
    ) -> str:
        """An action that the compiled kernel runs; `sql` says the same, for people."""
        assert place.day is not None
        rows = self._sessions(place.day)
        reading = Reading({"rows": [rows], "events": events})
        ingredients = {
            **self._python(roll),
            "engine:numba": version("numba"),
            "code:rolling": digest.canonical_json(asdict(rolling)),  # as the code understood the config
            "code:reads": digest.canonical_json(reading.kinds()),
            **{f"config:{key}": digest.canonical_json(value) for key, value in config.items()},
        }
        run, describe = partial(_run_roll, rolling, rows, events), partial(describe_sql, sql, reading)
        return self._add(place, run, ingredients, [rows, *events], describe=describe, keyed=keyed)

    @once
    def _content(self, day: Day) -> str:
        chunk = self._filter
        sql = self._once("content", lambda: rows_that_ship(chunk))
        config = {f"content_filter.drop.{c}": values for c, values in chunk.drop.items()}
        return self._add_joined(Place("content", day=day), sql, chunk, config)

    @once
    def _attributes(self, day: Day) -> str:
        chunk, outputs, defaults = self._attribute_definition
        sql = self._once("attributes", lambda: chunk_attributes(chunk, outputs, defaults))
        config: dict[str, object] = {f"output_columns.{c}.default": text for c, text in defaults.items()}
        config["output_columns"] = outputs
        return self._add_joined(Place("attributes", day=day), sql, chunk, config)

    def _add_joined(self, place: Place, sql: Sql, chunk: Chunk, config: Mapping[str, object]) -> str:
        """An action that joins the views of `chunk` to the rows of the sessions."""
        assert place.day is not None
        settings = {**config, **{f"ages.{age}": self._runtime.ages[age] for age in chunk.ages}}
        if rule := chunk.animated:
            settings.update({f"animated_model_type.{k}": getattr(rule, a) for k, a in
                             (("artwork_type", "artwork_type"), ("from", "source"), ("to", "target"))})  # fmt: skip
        by_day = any(view.as_of_day for view in chunk.views)
        views = {view.bound: [self._view(view.name)] for view in chunk.views}
        reads = {"rows": [self._sessions(place.day)], **views}
        reading = Reading(reads, variables=day_start(place.day) if by_day else {})
        return self._add_sql(place, sql, reading, settings, keyed=self._keyed(view.name for view in chunk.views))

    @cached_property
    def _filter(self) -> Chunk:
        return filter_definition(self._config, filter_types(self._config, self._sources.views))

    @cached_property
    def _attribute_definition(self) -> tuple[Chunk, list[str], dict[str, str]]:
        return attribute_definition(self._config)

    @once
    def _assign_qids(self, day: Day) -> str:
        sessions, content = self._sessions(day), self._content(day)
        ingredients = {
            "code:sql": self._code(of_sql(*DAY_SESSIONS.statements, *DAY_QIDS.statements)),
            **self._writer(),
        }
        run = partial(_run_qids, self._qids, sessions, content)
        after = (self._qids_before,) if self._qids_before else ()
        name = self._add(Place("qids", day=day), run, ingredients, [sessions, content], after=after)
        receive = self._qids.shared.receive if self._qids.shared else None
        self.actions[name] = replace(self.actions[name], moving=self._qid_map, receive=receive)
        self._qids_before = name
        return name

    def _qid_map(self) -> dict[str, str]:
        """The map's lineage, which may become another while numbers are handed out."""
        return {"input:qid_map": self._qids.current}

    def _chunk(self, day: Day) -> None:
        spine = self._spine(day)
        if spine is None:
            return
        columns, sources = self._output_columns(day)
        sources |= {"sessions": self._sessions(day), "content": self._content(day)}
        if self._numbered:
            columns.append(("qid", "qids"))
            sources["qids"] = self._assign_qids(day)
        ingredients = {
            "config:output_columns": digest.canonical_json(columns),
            "config:entity_spine_chunk_rows": str(self._runtime.entity_spine_chunk_rows),
            **self._python(write_partition),
        }
        window = [self._spine(day - i * ONE_DAY) for i in range(self._runtime.spine.lookback_days, 0, -1)]
        guards = tuple(spine for spine in window if spine)  # step 1 reads the whole window, needed or not
        rows = self._runtime.entity_spine_chunk_rows
        run = partial(_run_chunk, spine, sources, columns, rows, ingredients, partial(self._earlier, f"chunk@{day}"))
        upstream = [spine, *sources.values()]
        self._add(Place("chunk", day=day), run, ingredients, upstream, shelf=self._partitions, guards=guards)

    def _output_columns(self, day: Day) -> tuple[list[tuple[str, str]], dict[str, str]]:
        """(column, source) of the partition in order, and each source's action."""
        known = makers(self._config)
        by_name = {aggregation.name: aggregation for aggregation in self._config.aggregations}
        columns, sources = [], {}
        for output in self._config.output_columns:
            maker = known[output.name][0] if output.name in known else None
            if maker is None or maker.kind in ("feature", "age"):
                source = "attributes"
                sources[source] = self._attributes(day)
            elif maker.kind == "aggregation":
                source = Place("rolling", maker.source).name
                sources[source] = self._rolling(day, by_name[maker.source])
            elif maker.kind == "recent":
                source = "recent_published"
                sources[source] = self._recent(day)
            else:
                source = "sessions"
            columns.append((output.name, source))
        return columns, sources


def _windows(aggregation: Aggregation) -> tuple[tuple[str, int | None], ...]:
    """(output column, seconds), shortest first: their order in the config changes nothing."""
    if isinstance(aggregation.windows, str):
        return ((aggregation.name, None),)
    pairs = [(f"{aggregation.name}_{w}", parse_duration(w, "windows")) for w in aggregation.windows]
    return tuple(sorted(pairs, key=lambda pair: (pair[1], pair[0])))


def _run_roll(
    rolling: Rolling, rows: str, events: Sequence[str], upstream: Mapping[str, Path], out: Path
) -> Counts:  # fmt: skip
    return roll(rolling, upstream[rows], [upstream[name] for name in events], out)


def _run_qids(qids: QidMap, sessions: str, content: str, upstream: Mapping[str, Path], out: Path) -> Counts:
    return qids.assign({"sessions": upstream[sessions], "content": upstream[content]}, out)


def _run_chunk(
    spine: str, sources: Mapping[str, str], columns: Sequence[tuple[str, str]], chunk_rows: int,
    ingredients: Manifest, earlier: Callable[[], Earlier | None], upstream: Mapping[str, Path], out: Path,
) -> Counts:  # fmt: skip
    import pyarrow.parquet as pq

    if not pq.read_metadata(upstream[spine]).num_rows:
        return {"written": 0, "empty": 1}
    paths = {source: upstream[name] for source, name in sources.items()}

    def standing(free: Path) -> dict[str, Path]:
        before = earlier()
        now = {**ingredients, **{f"upstream:{name}": path.stem for name, path in upstream.items()}}  # named by digest
        same = before.sources(columns, now, sources) if before else set()
        return dict.fromkeys(same, free) if before and same and before.copied(free) else {}

    return {"written": write_partition(out, columns, paths, chunk_rows, standing), "empty": 0}
