"""The skeleton stage: each step of config/steps.py is a file in steps/, and asks for what it reads by name.

    no day         pool, view (one per view), published
    feed day       spine, coverage, event_values (one per event set and column), history
    target day     sessions, attributes, rolling (one per aggregation), recent_published, content, qids, partition

Steps of a feed day are shared by all target days whose windows need it. Steps of a target day are made for all rows
of the sessions; the content filter, which decides which rows ship, is applied last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from daedalus.base.days import ONE_DAY, Day
from daedalus.config.steps import PARTITION, STEPS
from daedalus.skeleton.context import Make
from daedalus.stagecache.action import Action

_FILES = {PARTITION: "partition"}  # of a step whose file has another name


def steps() -> dict[str, Callable[..., Any]]:
    """What builds the actions of each step, by its name: `build` of its file."""
    return {name: import_module(f"daedalus.skeleton.steps.{_FILES.get(name, name)}").build for name in STEPS}


def build_stage(make: Make, days: Iterable[Day]) -> list[Action]:
    """The actions of target days, upstream first; `make` has `steps()`."""
    for day in days:
        for back in range(make.context.runtime.spine.lookback_days, 0, -1):
            make.need("spine", day - back * ONE_DAY)
        make.need(PARTITION, day)
    return list(make.actions.values())
