"""The steps of a configuration, with the config keys and inputs that each reads.

There is no second account of what a step reads: the stage itself builds the actions of one day over inputs that stand
for any, and what is told of a step are the ingredients of its actions. Nothing runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from msgspec import Struct, field

from daedalus.actions.actions import Actions
from daedalus.base.days import ONE_DAY, Day
from daedalus.base.terminal_text import plain
from daedalus.compile.inputs import Resolved
from daedalus.config import Config
from daedalus.config.columns import CODES, spine_columns
from daedalus.config.steps import ORDER, PARTITION
from daedalus.enrich.stage import steps
from daedalus.inputs.feed import Feed
from daedalus.inputs.input_file import InputFile
from daedalus.inputs.pool import PoolInput
from daedalus.inputs.pool_fragments import FragmentInput
from daedalus.inputs.views import ViewInput
from daedalus.skeleton.context import Make, Publishing, Skeleton, Sources
from daedalus.sql.own_columns import TIME, OwnColumns
from daedalus.stagecache.action import Action
from daedalus.stagecache.action_name import kind_of, step_of

_DAY = Day(2400, 1, 1)  # any day far from the ends of the calendar
# By the label of an ingredient; other labels are given here.
_INPUTS = dict.fromkeys(
    ("newest Lance manifest", "columns in the files", "type of the vectors", "order of the fragments"), "pool"
)


class Step(Struct, frozen=True):
    """A step: the values that it reads by key, the inputs, and the steps whose outputs it reads."""

    step: str
    config: dict[str, Any] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    upstream: list[str] = field(default_factory=list)


def steps_of(config: Config, resolved: Resolved) -> list[dict]:
    """All steps, in the order of the table of steps; `config` is in its canonical form."""
    found: dict[str, Step] = {}
    for action in _actions(config, resolved):
        step = _step(action)
        found[step.step] = _joined(found.get(step.step, step), step)
    found[PARTITION].config["spine.lookback_days"] = config.runtime.spine.lookback_days  # it waits for their spines
    made = [{name: getattr(step, name) for name in Step.__struct_fields__} for step in found.values()]
    return sorted(made, key=lambda one: (ORDER[step_of(one["step"])], one["step"]))


def _actions(config: Config, resolved: Resolved) -> Iterable[Action]:
    nothing = cast(Any, None)
    publishing = Publishing(nothing, cast(Any, _NoQids), resolved.numbered, enriched=cast(Any, _NoQids))
    context = Skeleton(config, _sources(config, resolved), publishing)
    make: Make = Actions(steps(config), context, nothing, nothing, nothing, cast(Any, _NoDays), code_digest=_unread)
    for stage in config.stages:
        make.need(stage.partition, _DAY)
    return make.actions.values()


class _NoQids:
    """In place of a qid map, which no step asks for anything while it is made."""

    shared = None
    current = ""


class _NoDays:
    """In place of what tells the days that a change leaves alone."""

    @staticmethod
    def watch(day: str) -> None: ...

    @staticmethod
    def is_unaffected(*_: object) -> bool:
        return False


def _unread(function: object) -> str:
    """Code is no part of what a configuration means."""
    return ""


def _sources(config: Config, resolved: Resolved) -> Sources:
    """Inputs that stand for any: a feed with all columns, codes as text, on the day and before its window."""
    names = dict.fromkeys(CODES, "VARCHAR")
    own = OwnColumns.of(config.catalog.feed)
    times = {TIME: "BIGINT"} if own and own.unit else {}
    feed = (replace(_file("feed", {**spine_columns(config), **names, **times}), own=own),)
    before = _DAY - (config.runtime.spine.lookback_days + 1) * ONE_DAY
    views = {name: _view(name, view) for name, view in resolved.views.items()}
    pool = _file("pool", {})
    fragment = FragmentInput(0, (pool,), ("",), "", "", pool)
    return Sources(Feed({before: feed, _DAY: feed}), [before, _DAY], views, PoolInput(pool), (fragment,))


def _view(name: str, found: ViewInput) -> ViewInput:
    schema = {**found.own_types, found.view.timestamp_field: "TIMESTAMP"}
    return ViewInput(name, found.view, (_file(f"view {name}", schema),), found.types)


def _file(label: str, schema: Mapping[str, str]) -> InputFile:
    return InputFile("1", label, "", None, schema)


def _step(action: Action) -> Step:
    config, inputs = {}, []
    for label, value in action.ingredients.items():
        kind, _, what = label.partition(":")
        if kind == "config" and not what.startswith("variable "):
            config[what] = _value(value)
        elif kind == "input" and not what.startswith("/"):
            inputs.append(_INPUTS.get(what, what))
    name = "fragment" if action.step == "fragment" else kind_of(action.name)
    above = ("fragment" if kind.startswith("fragment:") else kind for kind in map(kind_of, action.reads))
    return Step(name, config, sorted(set(inputs)), sorted(set(above)))


def _value(text: str) -> Any:
    """A value of the config as an action has it."""
    found = json.loads(text)
    if isinstance(found, dict):
        return {key: plain(inner) for key, inner in found.items()}
    return plain(found)


def _joined(one: Step, other: Step) -> Step:
    """What the actions of one step read on several days."""
    inputs, upstream = sorted({*one.inputs, *other.inputs}), sorted({*one.upstream, *other.upstream})
    return Step(one.step, {**one.config, **other.config}, inputs, upstream)
