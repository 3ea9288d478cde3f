"""The skeleton stage's table of contents: each step is a file in steps/, and gets what it reads from here by name.

    no day         pool, view (one per view), published
    feed day       spine, coverage, event_values (one per event set and column), history
    target day     sessions, attributes, rolling (one per aggregation), recent_published, content, qids, partition

Steps of a feed day are shared by all target days whose windows need it. Steps of a target day are made for all rows
of the sessions; the content filter, which decides which rows ship, is applied last.
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
    """The actions of target days, upstream first; `make` was created with STEPS."""
    for day in days:
        for back in range(make.context.runtime.spine.lookback_days, 0, -1):
            make.need("spine", day - back * ONE_DAY)
        make.need(PARTITION, day)
    return list(make.actions.values())
