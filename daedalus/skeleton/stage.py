"""The skeleton stage's table of contents: each step is a file in steps/, and asks here for what it reads, by name.

    of no day           pool, view (one a view), published
    of a feed day       spine, coverage, event_values (one an event set and column), history
    of a target day     sessions, attributes, rolling (one an aggregation), recent_published, content, qids, partition

Overlapping windows share what is made of a feed day; only what depends on the target day is made for it. It is made
for the rows of the sessions: the content filter, and with it which rows ship, comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from daedalus.base.days import ONE_DAY, Day
from daedalus.skeleton.context import Make
from daedalus.skeleton.names import PARTITION
from daedalus.skeleton.steps import (
    attributes,
    content,
    coverage,
    event_values,
    history,
    partition,
    pool,
    published,
    qids,
    recent_published,
    rolling,
    sessions,
    spine,
    view,
)
from daedalus.stagecache.action import Action

STEPS: Mapping[str, Callable[..., Any]] = {
    "pool": pool.build,
    "view": view.build,
    "published": published.build,
    "spine": spine.build,
    "coverage": coverage.build,
    "event_values": event_values.build,
    "history": history.build,
    "sessions": sessions.build,
    "attributes": attributes.build,
    "rolling": rolling.build,
    "recent_published": recent_published.build,
    "content": content.build,
    "qids": qids.build,
    PARTITION: partition.build,
}


def build_stage(make: Make, days: Iterable[Day]) -> list[Action]:
    """The actions of target days, upstream first; `make` has STEPS for its steps."""
    for day in days:
        for back in range(make.context.runtime.spine.lookback_days, 0, -1):
            make.need("spine", day - back * ONE_DAY)
        make.need(PARTITION, day)
    return list(make.actions.values())
