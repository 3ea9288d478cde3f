"""`daeda explain row`: which source events, in which files, make up the lists of one output row.

Each event of the row's user is read again from the feed files, and gets the first reason that leaves it
out. The row itself, the pool and the values of views come from the cache.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from daedalus.base.days import FIRST_YEAR, LAST_YEAR, Day, parse_duration
from daedalus.base.errors import DaedalusError, did_you_mean
from daedalus.base.terminal_text import plain
from daedalus.config.aggregation_kinds import Measure
from daedalus.config.columns import CODES, makers, spine_columns
from daedalus.config.schema import Aggregation, RecentPublished
from daedalus.explain.day import one_day, planned
from daedalus.explain.row_measures import made_by
from daedalus.explain.row_vectors import VectorLooker
from daedalus.explain.value_differences import as_python
from daedalus.inputs.input_file import first_unreadable
from daedalus.inputs.schemas import group_by_schema
from daedalus.inputs.type_checks import event_column_type
from daedalus.skeleton.countries import country_codes
from daedalus.skeleton.feed_day import FeedDay
from daedalus.skeleton.joins_and_filters import preload_filtered_features
from daedalus.sql.among import among
from daedalus.sql.duck import Bindings
from daedalus.sql.text import FILE, Sql, in_list, literal, parquet
from daedalus.sql.text import name as quoted
from daedalus.stagecache.action_name import ActionName
from daedalus.stagecache.walk.plan import Verdict
from daedalus.workspace.graph import Graph
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import Workspace, opened

if TYPE_CHECKING:
    from daedalus.shapes.explained import ExplainedRow, RowOfDay

_COMMAND = "daeda explain row"
_NAMED = "daeda:named"  # in an event whose user is to be told


@dataclass
class Listed:
    """The events that a column of a row counts, and those left out."""

    counted: list[dict] = field(default_factory=list)
    left_out: list[dict] = field(default_factory=list)


def explain_row(
    settings: Settings, text: str, user: int | str, artwork: int | str, column: str | None = None
) -> ExplainedRow:
    """For each row of the day with that user and artwork, for each aggregation's column (or one): the
    events that make it up, newest first, and those of the same kinds that were left out, with the reason.

    For each column of vectors (or one) the ids that it follows from; see `VectorLooker`.
    """
    day = one_day(text, _COMMAND)
    with opened(settings) as workspace:
        graph, verdicts = planned(workspace, day)
        looker = _Looker(workspace, graph, verdicts, day, settings.run(workspace.config))
        wanted, vectors = looker.columns(column), looker.vectors(column)
        user, artwork = looker.id_of("user_id", user), looker.id_of("artwork_id", artwork)
        rows = looker.rows(user, artwork)
        if not rows:
            where = f"user {user}, artwork {artwork}"
            raise DaedalusError(
                "the day has no such row", where=f"{_COMMAND} {day}", found=where, expected="a row of its spine"
            )
        events = looker.events(user, rows, [aggregation for _, aggregation, _ in looker.columns(None)])
        found = [
            {
                "event_timestamp": row["event_timestamp"].isoformat(),
                "event": row["event"],
                "columns": {name: vars(looker.listed(agg, window, row, events)) for name, agg, window in wanted},
                "vectors": {name: looker.vector(name, row, events) for name in vectors},
            }
            for row in rows
        ]
    return {"day": str(day), "user_id": user, "artwork_id": artwork, "rows": cast("list[RowOfDay]", found)}


class _Looker:
    """Answers questions about the rows of one day."""

    def __init__(self, workspace: Workspace, graph: Graph, verdicts: Mapping[str, Verdict], day: Day, run: str) -> None:
        self._workspace, self._graph, self._verdicts, self._day, self._run = workspace, graph, verdicts, day, run
        self._config, self._runtime = graph.config, graph.config.runtime
        self._spine = spine_columns(self._config)
        partitions = graph.feed.partitions.items()
        self._partitions = {file.label: day for day, files in partitions for file in files}
        self._embeddings = self._runtime.embeddings.columns if self._runtime.embeddings else {}
        self._pool: set[int | str] | None = None
        self._compared: dict[tuple[str, str, str], bool] = {}
        self._features: dict[tuple[str, Day, str], dict] = {}

    def id_of(self, column: str, given: int | str) -> int | str:
        """An id as the spine has it. Raises DaedalusError for text where ids are whole numbers."""
        kind = self._spine[column]
        try:
            return str(given) if kind == "VARCHAR" else int(given)
        except ValueError:
            raise DaedalusError(f"not a {column}", where=f"{_COMMAND} --{column.removesuffix('_id')}", found=given,
                                expected=f"a whole number, as the feed's {column}: {kind}") from None  # fmt: skip

    def columns(self, only: str | None) -> list[tuple[str, Aggregation, int | None]]:
        """(output column, aggregation, window in seconds) of all aggregations, or of one column."""
        found: list[tuple[str, Aggregation, int | None]] = []
        for aggregation in self._config.aggregations:
            windows = [None] if isinstance(aggregation.windows, str) else aggregation.windows
            for name, window in zip(aggregation.outputs, windows, strict=True):
                found.append((name, aggregation, parse_duration(window, "windows") if window else None))
        names = [*(name for name, _, _ in found), *self._embeddings]
        if only and only not in names:
            hint = did_you_mean(only, names)
            raise DaedalusError("no aggregation makes that column", where=f"{_COMMAND} --column", found=only,
                                expected=", ".join(names), hint=hint)  # fmt: skip
        return [row for row in found if only in (None, row[0])]

    def vectors(self, only: str | None) -> list[str]:
        """The columns of vectors that were made, or one, whether or not it was."""
        made = (v.action.name for v in self._verdicts.values() if v.trace)
        steps = {str(ActionName("vectors", name, self._day)): name for name in self._embeddings}
        return [only] if only in self._embeddings else [] if only else [steps[name] for name in made if name in steps]

    def vector(self, name: str, row: dict, events: Sequence[dict]) -> dict:
        """What a column of vectors has for a row, and why."""
        column, embeddings = self._embeddings[name], self._runtime.embeddings
        assert embeddings is not None
        made = self._artifact(str(ActionName("vectors", name, self._day)))
        looker = VectorLooker(column, embeddings.dtype, self._artifact("pool_vectors"), made, self._table)
        if column.of is not None:
            source = self._config.made_from(column.of)
            maker = makers(self._config)[source][0]
            value = row[source] if maker.kind == "feed" else self._feature(maker.source, source, row)
            return looker.of_id(value)
        return looker.of_list(self._items(str(column.mean_of), row, events))

    def _items(self, column: str, row: dict, events: Sequence[dict]) -> list:
        """The list of a row in a column that an aggregation or recent_published makes."""
        recent = self._runtime.recent_published
        if recent and column == recent.column:
            return self._published(recent, row)
        ((_, aggregation, window),) = self.columns(column)
        return [event["value"] for event in self.listed(aggregation, window, row, events).counted]

    def _published(self, recent: RecentPublished, row: dict) -> list:
        time, most = f"TIMESTAMP '{row['event_timestamp'].isoformat(' ')}'", recent.max_items
        seconds = parse_duration(recent.window, "recent_published.window")
        seen = f"ts < {time} AND ts >= {time} - INTERVAL '{seconds} seconds' AND user_id = {literal(row['user_id'])}"
        sql = Sql(f"SELECT value FROM {parquet('published')} WHERE {seen} ORDER BY ts DESC, value")
        return [one["value"] for one in self._table(sql, {"published": [self._artifact("published")]})][:most]

    def rows(self, user: int | str, artwork: int | str) -> list[dict]:
        """The day's spine rows of a user and an artwork."""
        spine = self._artifact(f"spine@{self._day}")
        where = f"user_id = {literal(user)} AND artwork_id = {literal(artwork)}"
        sql = Sql(f"SELECT * FROM {parquet('spine')} WHERE {where} ORDER BY event_timestamp, event")
        return self._table(sql, {"spine": [spine]})

    def events(self, user: int | str, rows: Sequence[dict], aggregations: Iterable[Aggregation]) -> list[dict]:
        """Every feed row of the user in the files that the day reads, newest first, duplicates and strays included; and
        those of others which aggregations with a key may see for some rows."""
        files = [file for files in self._graph.feed.partitions.values() for file in files if not file.error]
        groups = group_by_schema(files, list(self._spine))
        named = {f"feed_{i}": [file.path for file in members] for i, (_, members) in enumerate(groups)}
        spine = self._runtime.spine
        raw = FeedDay(
            tuple(group for group, _ in groups),
            spine.lateness,
            spine.deduplicate,
            tuple(sorted(self._runtime.platforms.items())),
            tuple(self._spine.items()),
        ).raw(f", {FILE} AS file", files=True)
        order = "event_timestamp DESC, artwork_id, file"
        shown = f"event_timestamp IS NULL OR year(event_timestamp) BETWEEN {FIRST_YEAR} AND {LAST_YEAR}"
        others = "".join(f" OR ({self._others_for(one, rows)})" for one in aggregations if one.key != "user_id")
        sql = Sql(f"SELECT * FROM ({raw}) WHERE (user_id = {literal(user)}{others}) AND ({shown}) ORDER BY {order}")
        if not groups:
            return []
        with self._workspace.files.fetch({file.path: file.digest for file in files}) as local:
            bound = {name: [local[path] for path in paths] for name, paths in named.items()}
            try:
                rows = self._table(sql, bound, {"countries": country_codes()})
            except Exception as error:  # DuckDB names no file
                read = {file.path: local[file.path] for file in files}
                raise first_unreadable(read, hint="restore or remove the file") or error from None
        labels = {local[file.path]: file.label for file in files}
        return [{**row, "file": labels.get(row["file"], row["file"])} for row in rows]

    def _others_for(self, aggregation: Aggregation, rows: Sequence[dict]) -> str:
        """A condition on feed rows that all events with the same key as one of some rows meet."""
        key, events = aggregation.key, in_list("event", aggregation.events)
        values = {value for row in rows if (value := self._value(key, row)) is not None}
        if not all(isinstance(value, int | str) for value in values):  # no literal says exactly the same
            return events
        found = f"{quoted(key)} IN ({_listed(values)})"
        if view := self._views.get(key):
            entity = quoted(self._config.catalog.views[view].entity)
            sql = Sql(f"SELECT DISTINCT {entity} AS one FROM {parquet('view')} WHERE {found}")
            rows = self._table(sql, {"view": [self._artifact(f"view:{view}")]})
            found = f"{entity} IN ({_listed(row['one'] for row in rows)})"
        return f"{events} AND {found}"

    @property
    def _views(self) -> dict[str, str]:
        """The views that columns of events come from."""
        return {text.partition(":")[2]: text.partition(":")[0] for text in self._runtime.enrich}

    def _value(self, column: str, row: dict) -> Any:
        """A row's or an event's value of a column that events may have, of one that has a time."""
        view = self._views.get(column)
        return row.get(column) if view is None else self._feature(view, column, row)

    def _is_same(self, column: str | None, row: dict, event: dict) -> bool:
        """Whether an event has the row's own value of a column; of none, it has."""
        if column is None:
            return True
        if event["event_timestamp"] is None and column in self._views:
            return False
        mine, other = self._value(column, row), self._value(column, event)
        return mine is not None and (mine == other or (mine != mine and other != other))

    def listed(self, aggregation: Aggregation, window: int | None, row: dict, events: Iterable[dict]) -> Listed:
        """An aggregation's column for a row: events that count, and events left out."""
        found, seen, pairs = Listed(), set(), []
        for event in events:
            if event["event"] not in aggregation.events or not self._is_same(aggregation.key, row, event):
                continue
            if aggregation.key != "user_id":
                event = {**event, _NAMED: True}
            reason = self._left_out(aggregation, window, row, event)
            raw = repr([event[c] for c in (*self._spine, *(f"{code}_text" for code in CODES))])  # NaN is one value
            if not reason and self._runtime.spine.deduplicate and raw in seen:
                reason = "an exact duplicate"
            seen.add(raw)
            values = [] if reason else self._values(aggregation, event)
            if reason or not values:
                found.left_out.append(_shown(event, None, reason or "no value"))
            pairs += [(event, value) for value in values]
        self._choose(aggregation, pairs, found)
        return found

    def _choose(self, aggregation: Aggregation, pairs: list[tuple[dict, Any]], found: Listed) -> None:
        """Newest first, equal times by value; then distinct, then the first max_items."""
        if isinstance(aggregation.kind, Measure):
            for event, value, why in made_by(aggregation, aggregation.kind, pairs):
                (found.left_out if why else found.counted).append(_shown(event, value, why))
            return
        if aggregation.kind.listed:
            pairs.sort(key=lambda pair: (pair[1] != pair[1], pair[1]))  # NaN last
        pairs.sort(key=lambda pair: pair[0]["event_timestamp"], reverse=True)
        listed: set[str] = set()  # as text: NaN is one value
        for event, found_value in pairs:
            is_distinct = aggregation.kind.distinct
            value = found_value + 0.0 if is_distinct and isinstance(found_value, float) else found_value  # one zero
            if is_distinct and repr(value) in listed:
                found.left_out.append(_shown(event, value, "a later event has the same value"))
            elif (
                aggregation.kind.listed
                and aggregation.max_items is not None
                and len(found.counted) >= aggregation.max_items
            ):
                found.left_out.append(_shown(event, value, f"beyond max_items ({aggregation.max_items})"))
            else:
                found.counted.append(_shown(event, value, ""))
            listed.add(repr(value))

    def _left_out(self, aggregation: Aggregation, window: int | None, row: dict, event: dict) -> str:
        """The first reason that excludes an event; "" if it counts."""
        time = event["event_timestamp"]
        if time is None or event["artwork_id"] is None:
            return "a key is NULL"
        partition = self._partitions[event["file"]]
        if (partition - time.date()).days not in self._runtime.spine.lateness.partitions:
            return f"a stray in {event['file'].rpartition('/')[0]}"
        if time >= row["event_timestamp"]:
            return "not before the row"
        if window is not None and time < row["event_timestamp"] - dt.timedelta(seconds=window):
            return "before the window"
        if aggregation.exclude_self and event["artwork_id"] == row["artwork_id"]:
            return "the row's own artwork"
        if not self._covered(event):
            return "no embedding (coverage filter)"
        if not self._is_same(aggregation.match, row, event):
            return f"match: {aggregation.match} is {plain(self._value(str(aggregation.match), event))}"
        return next((f"where: {column} is {plain(value)}" for column, value in self._others(aggregation, event)), "")

    def _others(self, aggregation: Aggregation, event: dict) -> Iterator[tuple[str, Any]]:
        """The columns of the `where` in which an event has another value, and the value."""
        import pyarrow as pa

        for column, values in aggregation.where.items():
            _, kind = event_column_type(self._config, self._graph.sources.views, column)
            value = self._value(column, event)
            asked = column, repr(values), repr(value)
            if asked not in self._compared:
                tables = {"one": pa.table({"value": [value]})}
                test = among(f"CAST(value AS {kind})", kind, values) or "FALSE"
                (row,) = self._table(Sql(f"SELECT coalesce({test}, FALSE) AS one_of FROM one"), {}, tables)
                self._compared[asked] = row["one_of"]
            if not self._compared[asked]:
                yield column, value

    def _covered(self, event: dict) -> bool:
        coverage = self._runtime.embedding_coverage_filter
        if not coverage.enabled or event["event"] not in coverage.events:
            return True
        if self._pool is None:
            rows = self._table(Sql(f"SELECT id FROM {parquet('pool')}"), {"pool": [self._artifact("pool")]})
            self._pool = {row["id"] for row in rows}
        return event["artwork_id"] in self._pool

    def _values(self, aggregation: Aggregation, event: dict) -> list:
        """The event's value, or the members of its list; without NULLs."""
        value = self._value(aggregation.column, event)
        members = value if aggregation.kind.flatten else [value]
        return [member for member in members or [] if member is not None]

    def _feature(self, view: str, feature: str, event: dict) -> Any:
        """A view's value for an event, as of its day where the view says so."""
        known = self._config.catalog.views[view]
        key = literal(event[known.entity])
        day = event["event_timestamp"].date()
        if (view, day, key) not in self._features:
            rows = preload_filtered_features(
                "view", known.entity, list(known.features), key, as_of_day=known.as_of == "day"
            )
            sql = Sql(f"SELECT * FROM ({rows}) WHERE {quoted(known.entity)} = {key}")
            files = {"view": [self._artifact(f"view:{view}")]}
            found = self._table(sql, files, variables={"day_start": f"TIMESTAMP '{day}'"})
            self._features[view, day, key] = found[0] if found else {}
        return self._features[view, day, key].get(feature)

    def _artifact(self, name: str) -> Path:
        verdict = self._verdicts.get(name)
        if verdict is None or verdict.trace is None:
            hint = f"{self._run} --range {self._day}"
            raise DaedalusError(
                "the day has not been computed yet", where=f"{_COMMAND} {self._day}", found=f"no {name}", hint=hint
            )
        return verdict.action.shelf.path(name, verdict.trace.artifact)

    def _table(
        self,
        sql: Sql,
        files: Mapping[str, Sequence[Path | str]],
        tables: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> list[dict]:
        """The rows of a query as dicts."""
        with self._workspace.ducks.lease() as duck:
            table = duck.table(sql, Bindings(files, tables or {}, variables or {}))
            columns = map(as_python, table.columns)
            return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def _listed(values: Iterable[Any]) -> str:
    """SQL of the members of a list, which are in none if there are none."""
    return ", ".join(sorted(map(literal, values))) or "NULL"


def _shown(event: Mapping, value: Any, why: str) -> dict:
    time = event["event_timestamp"]
    row = {
        "event_timestamp": time.isoformat() if time else None,
        "event": event["event"],
        "artwork_id": event["artwork_id"],
        "value": plain(value),
        "file": event["file"],
    }
    if event.get(_NAMED):
        row["user_id"] = event["user_id"]
    return {**row, "why": why} if why else row
