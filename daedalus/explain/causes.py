"""Root causes: finds what a person changed from the differences between manifests.

A manifest also names the artifacts that a step reads, so an edit may show only as labels that appear or
disappear. These are translated into the edit: a feed day removed, other events, lookback_days, the coverage filter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, cast

from daedalus.base import digest
from daedalus.base.days import ONE_DAY, Day
from daedalus.config import Config
from daedalus.config.reach import Reach
from daedalus.skeleton.steps.history import is_covered
from daedalus.skeleton.where import given
from daedalus.stagecache.action import Action, Cause, Manifest, differences
from daedalus.stagecache.action_name import ActionName, day_of, days_of, kind_of, step_of
from daedalus.stagecache.records.traces import Traces
from daedalus.stagecache.walk.plan import HIT, MAYBE, RUN, Verdict
from daedalus.workspace.code_stamp import code_version

if TYPE_CHECKING:
    from daedalus.shapes.common import Cause as CauseShape
    from daedalus.shapes.common import RootCause
    from daedalus.workspace.graph import Graph

_DIFF_LINES = 12
# Ingredients that a step has only while another setting needs them.
_CONDITIONAL = ("embedding_coverage_filter.", "animated_model_type.", "platforms")


class CauseFinder:
    """Translates manifest differences into the edits that caused them."""

    def __init__(self, traces: Traces, config: Config, feed_days: Collection[Day]) -> None:
        self._config, self._feed_days = config, feed_days
        self._latest = cache(traces.latest)
        self._traces = traces
        self._found: dict[Cause, list[Cause]] = {}  # what is behind a change upstream

    def told(self, name: str, causes: Iterable[Cause], previous: Manifest | None = None) -> list[Cause]:
        """The root causes among the differences of the action `name`; `previous` is its last manifest."""
        causes = list(causes)
        moved = [c for c in causes if c.kind == "upstream" and (c.old is None) != (c.new is None)]
        own = [c for c in causes if c.kind != "upstream"]
        own = [c for c in own if not self._follows_another_edit(c, own)]
        gone = self._feed_days_gone(moved)
        own += gone or self._edits(name, moved, previous)
        if not any(c.kind in ("config", "input") for c in own):
            own += self._feed_days_new(moved)
        if not any(c.kind in ("config", "input", "engine", "missing") for c in own):
            return causes
        return [c for c in own if not (c.kind == "code" and c.what == "reads")]

    def behind(self, cause: Cause) -> list[Cause]:
        """Why an artifact upstream is another one, by the traces of both; the cause itself where these do not tell."""
        if cause.kind != "upstream" or cause.old is None or cause.new is None:
            return [cause]
        if cause not in self._found:
            then, now = (self._traces.with_artifact(cause.what, made) for made in (cause.old, cause.new))
            causes = differences(then.manifest, now.manifest) if then and now else []
            told = self.told(cause.what, causes, then.manifest if then else None)
            if then and now and then.code == now.code and any(c.kind in ("config", "input") for c in told):
                told = [c for c in told if c.kind != "code"]  # the statement follows from those
            roots = dict.fromkeys(root for one in told for root in self.behind(one))
            self._found[cause] = [root for root in roots if root.kind != "upstream"] or [cause]
        return self._found[cause]

    def sure(self, action: Action, previous: Manifest) -> list[Cause]:
        """The causes that hold whatever artifacts the action's upstream will give."""
        upstream = {label: previous.get(label, "?") for name in action.upstream for label in [f"upstream:{name}"]}
        expected = {"code:step": action.step, **action.ingredients, **action.moving(), **upstream}
        found = self.told(action.name, differences(previous, expected), previous)
        return [cause for cause in found if cause.kind != "upstream"]

    def _follows_another_edit(self, cause: Cause, own: Iterable[Cause]) -> bool:
        """Whether a config value is new in the manifest, or gone from it, only because another was edited."""
        one_sided = cause.kind == "config" and (cause.old is None) != (cause.new is None)
        if not one_sided or not any(c.kind == "config" and None not in (c.old, c.new) for c in own):
            return False
        return cause.what.startswith(_CONDITIONAL) if cause.old is None else cause.old == self._now(cause.what)

    def _now(self, key: str) -> str | None:
        """The value of a runtime.yaml key, encoded as in manifests."""
        value: object = self._config.runtime
        for part in key.split("."):
            value = getattr(value, part, None)
        return digest.canonical_json(sorted(set(value)) if isinstance(value, list) else value)

    def _has_feed(self, day: Day) -> bool:
        return Reach.of(self._config).has_rows(day, self._feed_days)

    def _feed_days_gone(self, moved: Iterable[Cause]) -> list[Cause]:
        days = {day for c in moved if c.new is None and (day := _day(c.what)) and not self._has_feed(day)}
        return [Cause("input", f"feed {day}", self._files(day), None) for day in sorted(days)]

    def _files(self, day: Day) -> str:
        known = self._latest(f"spine@{day}")
        files = [label for label in known.manifest if label.startswith("input:")] if known else []
        return f"{known.counts.get('read', 0):,} rows in {len(files)} files" if known else "there"

    def _feed_days_new(self, moved: Iterable[Cause]) -> list[Cause]:
        days = {
            day
            for c in moved
            if c.old is None and step_of(c.what) in ("event_values", "history") and (day := _day(c.what))
        }
        return [Cause("input", f"feed {day}", None, "new") for day in sorted(days)]

    def _edits(self, name: str, moved: list[Cause], previous: Manifest | None) -> list[Cause]:
        """Edits that change only which artifacts are read."""
        covering = [c for c in moved if step_of(c.what) == "coverage" or is_covered(c.what)]
        if covering:
            on = ("off for these events", "on for these events")
            came = any(c.old is None for c in covering)
            return [Cause("config", "embedding_coverage_filter", *(on if came else reversed(on)))]
        kind, at, step = kind_of(name), day_of(name), step_of(name)
        tiles = [c for c in moved if step_of(c.what) in ("event_values", "history")]
        aggregation = next((a.name for a in self._config.aggregations if str(ActionName(step, a.name)) == kind), None)
        if step != "rolling" or not tiles or aggregation is None:
            return []
        return self._events(aggregation, tiles) or self._lookback(aggregation, tiles, previous, Day.fromisoformat(at))

    def _events(self, aggregation: str, tiles: Iterable[Cause]) -> list[Cause]:
        """Edits of an aggregation's events, column, where or keys."""
        now = next(a for a in self._config.aggregations if a.name == aggregation)
        then = next((t.manifest for c in tiles if c.new is None and (t := self._latest(c.what))), {})
        values = {"events": sorted(set(now.events)), "column": now.column, "where": given(now), "key": list(now.keys)}
        then = {"config:aggregation.where": "{}", "config:aggregation.key": '["user_id"]', **then} if then else then
        found = []
        for key, value in values.items():
            old, new = then.get(f"config:aggregation.{key}"), digest.canonical_json(value)
            if old is not None and old != new:
                found.append(Cause("config", f"aggregations.{aggregation}.{key}", old, new))
        return found

    def _lookback(self, aggregation: str, tiles: list[Cause], previous: Manifest | None, day: Day) -> list[Cause]:
        """An edit of spine.lookback_days: days that were history are now events, or the other way round."""
        cumulative = any(a.name == aggregation and a.cumulative for a in self._config.aggregations)
        moved_on = any(c.old is None for c in tiles) and any(c.new is None for c in tiles)
        if len({step_of(c.what) for c in tiles}) < 2 or not (cumulative or moved_on):
            return []
        old = _looked_back(previous or {}, day)
        return [Cause("config", "spine.lookback_days", old, str(self._config.runtime.spine.lookback_days))]


def _looked_back(manifest: Manifest, day: Day) -> str | None:
    """Days from the end of history to the target day; a range where days without feed leave it open."""
    names = [label.partition(":")[2] for label in manifest if label.startswith("upstream:")]
    events = [found for name in names if step_of(name) == "event_values" and (found := _day(name))]
    ends = [_end(name) for name in names if step_of(name) == "history"]
    if not events and not ends:
        return None
    least, most = (day - min(events, default=day)).days, (day - max(ends, default=min(events, default=day))).days
    return str(least) if least == most else f"{least} to {most}"


def _day(name: str) -> Day | None:
    """The day of an action's name; None for blocks of days and for actions without a day."""
    at = day_of(name)
    return Day.fromisoformat(at) if re.fullmatch(r"\d{4}-\d\d-\d\d", at) else None


def _end(name: str) -> Day:
    """The day after a piece of history."""
    first, days = days_of(day_of(name))
    return first + days * ONE_DAY


class Causes:
    """Why actions would run: what itself changed, apart from what is only downstream of it."""

    def __init__(self, verdicts: Mapping[str, Verdict], traces: Traces, graph: Graph, config: Config) -> None:
        self._verdicts, self._traces, self._graph = verdicts, traces, graph
        self._teller = CauseFinder(traces, config, graph.listing.feed.days)
        self._running: dict[str, list[str]] = {}  # action -> the nearest actions upstream that would run
        self._diffs: dict[tuple[str | None, str | None], list[str]] = {}  # of an edit, whichever actions it concerns

    def of(self, verdict: Verdict) -> list[CauseShape]:
        """The causes of one action; of one that may run also the actions upstream that would make it run."""
        upstream: list[dict] = []
        previous = verdict.trace.manifest if verdict.trace else None
        if verdict.state == MAYBE:
            upstream = [vars(Cause("upstream", name, None, RUN)) for name in self._above(verdict.action.name)]
            causes = self._teller.sure(verdict.action, previous) if previous else []
        else:
            causes = self._teller.told(verdict.action.name, verdict.why, previous)
            causes = [*dict.fromkeys(root for cause in causes for root in self._behind(cause))]
        if self._rendered_by_the_same_code(verdict, causes):
            causes = [cause for cause in causes if cause.kind != "code"]
        return cast("list[CauseShape]", [*(self._readable(cause) for cause in causes), *upstream])

    def roots(self) -> list[RootCause]:
        """Each root cause once, with the steps that it affects.

        `cached`: all of these steps are cached from an earlier time, but something downstream of them is not.
        """
        found: dict[str, dict] = {}
        if all(verdict.state == HIT for verdict in self._verdicts.values()):
            return []
        for verdict in sorted(self._verdicts.values(), key=lambda verdict: verdict.state == HIT):  # what runs first
            for cause in self.of(verdict) if verdict.state != HIT or verdict.why else []:
                if cause["kind"] == "upstream" and (verdict.state != RUN or self._reverted(cause["what"])):
                    continue
                row = found.setdefault(_identity(cause), {**cause, "steps": [], "cached": True})
                row["steps"].append(verdict.action.name)
                row["cached"] = row["cached"] and verdict.state == HIT
        return cast("list[RootCause]", list(found.values()))

    def _behind(self, cause: Cause) -> list[Cause]:
        """What changed an artifact upstream that an earlier run made; one that is told with its own step is left."""
        return [cause] if cause.kind != "upstream" or self._reverted(cause.what) else self._teller.behind(cause)

    def _reverted(self, name: str) -> bool:
        """Whether an action hits an older trace than its latest, because an edit was reverted."""
        return name in self._verdicts and self._verdicts[name].state == HIT and bool(self._verdicts[name].why)

    def _above(self, name: str) -> list[str]:
        if name not in self._running:
            names: dict[str, None] = {}
            for above in self._verdicts[name].action.upstream:
                state = self._verdicts[above].state
                if state == RUN:
                    names[above] = None
                elif state == MAYBE:
                    names.update(dict.fromkeys(self._above(above)))
            self._running[name] = list(names)
        return self._running[name]

    def _rendered_by_the_same_code(self, verdict: Verdict, causes: list[Cause]) -> bool:
        """Whether a statement differs only because a config value or an input's schema in it does."""
        elsewhere = any(cause.kind in ("config", "input") for cause in causes)
        statement = any(cause.kind == "code" for cause in causes)
        previous = verdict.trace
        return elsewhere and statement and previous is not None and previous.code == code_version(self._traces)

    def _readable(self, cause: Cause) -> dict:
        row = vars(cause).copy()
        if cause.kind == "input":
            row["old"], row["new"] = self._file(cause.old), self._file(cause.new)
        if cause.kind == "code":
            edit = cause.old, cause.new
            if edit not in self._diffs:
                self._diffs[edit] = self._diff(cause)
            row["diff"] = [*self._diffs[edit]]
        return row

    def _file(self, content: str | None) -> str | None:
        known = self._traces.fact(f"file:{content}") if content else None
        if not isinstance(known, dict):
            bad = any(
                file.digest == content for files in self._graph.feed.partitions.values() for file in files if file.error
            )
            return f"cannot be read ({content[:8]})" if content and bad else content
        return f"{known['rows']:,} rows, {known['bytes']:,} bytes ({content[:8] if content else ''})"

    def _text(self, content: str | None) -> str:
        return (self._graph.texts.get(content) or self._traces.text(content)) if content else ""

    def _diff(self, cause: Cause) -> list[str]:
        """The changed lines of a statement or function, with statements split so that the lines are short."""
        old, new = self._text(cause.old), self._text(cause.new)
        if not new or (cause.old and not old):
            return []
        import difflib

        lines = difflib.unified_diff(_pieces(old), _pieces(new), lineterm="", n=1)
        return [line for line in lines if not line.startswith(("---", "+++", "@@"))][:_DIFF_LINES]


def _identity(cause: Mapping) -> str:
    """A text that is equal for causes to list once; missing outputs are one cause, whichever is missing."""
    known = {"kind": "missing", "what": cause["what"]} if cause["kind"] == "missing" else cause
    return json.dumps(known, sort_keys=True)


def _pieces(text: str) -> list[str]:
    """A statement broken after commas and before keywords; other code by its lines."""
    if "\n" in text and not text.startswith("SELECT"):
        return text.splitlines()
    for word in ("FROM ", "WHERE ", "LEFT JOIN ", "JOIN ", "GROUP BY ", "ORDER BY ", "AND "):
        text = text.replace(f" {word}", f"\n{word}")
    return text.replace(", ", ",\n").splitlines()
