"""The stage's table of contents: every step as an action of a day, tied to what it reads.

    of no day           pool, view (one a view), published
    of a feed day       spine, coverage, features (one a view), enrich (one an event set and column), history
    of a target day     sessions, rolling (one an aggregation), recent_published, content, qids, chunk

Overlapping windows share the tiles of a feed day; only what depends on the target day is made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from daedalus import digest
from daedalus.config import Config
from daedalus.config.columns import makers
from daedalus.config.schema import Aggregation
from daedalus.days import ONE_DAY, Day, parse_duration
from daedalus.skeleton import publish
from daedalus.skeleton.chunk import Chunk, chunk_attributes, chunk_definition
from daedalus.skeleton.engine import Ducks
from daedalus.skeleton.graph import Place, Reading, Sources, once, version
from daedalus.skeleton.history import Rolling, compute_user_recent_published_artworks, rolling_sql, self_rule
from daedalus.skeleton.qids import DAY_QIDS, NEW_QIDS, QidMap
from daedalus.skeleton.spine import apply_session_filter
from daedalus.skeleton.tiles import Tiles
from daedalus.stagecache.action import Action, Counts, Shelf
from daedalus.stagecache.fingerprint import Fingerprint, of_python, of_sql


class Pipeline(Tiles):
    """The graph of actions for target days. `lineage` names the qid map; None when no qids are to be added."""

    def __init__(
        self,
        config: Config,
        sources: Sources,
        store: Shelf,
        ducks: Ducks,
        *,
        partitions: Shelf,
        qids: QidMap,
        lineage: str | None,
        fingerprint: Callable[[Callable], Fingerprint] = of_python,
    ) -> None:
        super().__init__(config, sources, store, ducks, fingerprint)
        self._partitions, self._qids, self._lineage = partitions, qids, lineage
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
        return self._add_sql(Place("rolling", aggregation.name, day), sql, Reading(reads), config)

    @once
    def _recent(self, day: Day) -> str:
        recent = self._runtime.recent_published
        assert recent is not None
        seconds = parse_duration(recent.window, "recent_published.window")
        sql = self._once(
            "recent", lambda: compute_user_recent_published_artworks(recent.column, seconds, recent.max_items)
        )
        config = {f"recent_published.{k}": getattr(recent, k) for k in ("column", "window", "max_items")}
        reads = {"rows": [self._sessions(day)], "events": [self._published()]}
        return self._add_sql(Place("recent_published", day=day), sql, Reading(reads), config)

    @once
    def _content(self, day: Day) -> str:
        chunk = self._attributes
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
        return self._add_sql(Place("content", day=day), sql, Reading(reads), config)

    @cached_property
    def _attributes(self) -> Chunk:
        return chunk_definition(self._config)

    @once
    def _assign_qids(self, day: Day) -> str:
        content, spine = self._content(day), self._covered(day, False)["spine"][0]
        assert self._lineage is not None
        ingredients = {
            "input:qid_map": self._lineage,
            "code:sql": self._code(of_sql(NEW_QIDS.select, DAY_QIDS.select)),
            **self._writer(),
        }
        run = partial(_run_qids, self._qids, self._lineage, content, spine)
        after = (self._qids_before,) if self._qids_before else ()
        self._qids_before = self._add(Place("qids", day=day), run, ingredients, [content, spine], after=after)
        return self._qids_before

    def _chunk(self, day: Day) -> None:
        spine = self._spine(day)
        if spine is None:
            return
        columns, sources = self._output_columns(day)
        artifacts = {"spine": spine, "attributes": self._content(day), **sources}
        if self._lineage is not None:
            artifacts["qids"] = self._assign_qids(day)
        ingredients = {
            "config:output_columns": digest.canonical_json([[column.name, column.source] for column in columns]),
            "config:entity_spine_chunk_rows": str(self._runtime.entity_spine_chunk_rows),
            "code:write_partition": self._code(self._fingerprint(publish.write_partition)),
            "engine:pyarrow": version("pyarrow"),
        }
        window = [self._spine(day - i * ONE_DAY) for i in range(self._runtime.spine.lookback_days, 0, -1)]
        guards = tuple(spine for spine in window if spine)  # step 1 reads the whole window, needed or not
        run = partial(_run_chunk, artifacts, columns, self._runtime.entity_spine_chunk_rows)
        self._add(Place("chunk", day=day), run, ingredients, artifacts.values(), shelf=self._partitions, guards=guards)

    def _output_columns(self, day: Day) -> tuple[list[publish.OutputColumn], dict[str, str]]:
        """The partition's columns in order, and the aligned artifacts that they need."""
        chunk, known = self._attributes, makers(self._config)
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
