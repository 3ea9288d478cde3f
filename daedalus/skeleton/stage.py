"""The skeleton stage: each step of config/steps.py is a file in steps/, and asks for what it reads by name.

    no day         pool, view (one per view), published
    feed day       spine, coverage, event_values (one per event set and column), history
    target day     sessions, attributes, row_keys (one per key and match), rolling (one per aggregation),
                   recent_published, content, qids, partition

Steps of a feed day are shared by all target days whose windows need it. Steps of a target day are made for all rows
of the sessions; the content filter, which decides which rows ship, is applied last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import islice
from typing import Any

from daedalus.base.days import ONE_DAY, Day
from daedalus.config.steps import PARTITION, STEPS
from daedalus.skeleton.context import Make
from daedalus.stagecache.action import Action
from daedalus.stagecache.action_name import ActionName

_FILES = {PARTITION: "partition"}  # of a step whose file has another name
ON_DEMAND = ("row_keys",)  # beside steps/: what rolling imports where an aggregation has a key


def steps() -> dict[str, Callable[..., Any]]:
    """What builds the actions of each step, by its name: `build` of its file."""
    return {
        name: import_module(f"daedalus.skeleton.steps.{_FILES.get(name, name)}").build
        for name in STEPS if name not in ON_DEMAND
    }  # fmt: skip


def build_stage(make: Make, days: Iterable[Day], last: Sequence[str] = (PARTITION,)) -> list[Action]:
    """The actions of target days, upstream first; `make` has `steps()`. `last` are the steps that each day ends in."""
    found: list[Action] = []
    for day in days:
        for back in range(make.context.runtime.spine.lookback_days, 0, -1):
            make.need("spine", day - back * ONE_DAY)
        for step in last:
            make.need(step, day)
        new = islice(reversed(make.actions.values()), len(make.actions) - len(found))
        found += _by_day([*new][::-1])
    return _histories_after_spines({action.name: action for action in found})


def _by_day(actions: Sequence[Action]) -> list[Action]:
    """The actions that a target day needs for the first time, those of a feed day together: while its spine is in
    memory. Those of no day are where they were among those of the first."""
    first = min((action.day for action in actions if action.day), default="")
    return sorted(actions, key=lambda action: action.day or first)


def _histories_after_spines(actions: Mapping[str, Action]) -> list[Action]:
    """The actions, where a feed day's history, if it reads nothing but feed files, comes right after its spine.

    Those files are in memory then, and will not be a lookback later, when a target day needs the history.
    """
    after: dict[str, list[Action]] = {}
    for action in actions.values():
        spine = str(ActionName("spine", day=Day.fromisoformat(action.day))) if action.day else ""
        if action.step == "history" and not action.upstream and spine in actions:
            after.setdefault(spine, []).append(replace(action, after=(spine,)))
    moved = {action.name for follow in after.values() for action in follow}
    rest = (action for name, action in actions.items() if name not in moved)
    return [one for action in rest for one in (action, *after.get(action.name, ()))]
