"""recent_published: the artworks that a row's user published shortly before it."""

from __future__ import annotations

from daedalus.actions.unaffected import Keyed
from daedalus.base.days import Day, parse_duration
from daedalus.config.aggregation_kinds import AggregationKind
from daedalus.skeleton.context import Make
from daedalus.skeleton.steps.rolling import Windows, kernel_windows, rolled
from daedalus.stagecache.action_name import ActionName
from daedalus.windows.spec import Rolling


def compute_user_recent_published_artworks(column: str, window: int, max_items: int | None) -> Rolling:
    """The definition of a list of what the row's user published within `window` seconds before it."""
    return Rolling(AggregationKind(), ((column, window),), max_items=max_items)


def build(make: Make, day: Day) -> str:
    """Reads the rows of the sessions and all publications."""
    name = ActionName("recent_published", day=day)
    return rolled(make, name, make.once(_windows), [make.need("published")])


def _windows(make: Make) -> Windows:
    recent = make.context.runtime.recent_published
    assert recent is not None
    seconds = parse_duration(recent.window, "recent_published.window")
    rolling = compute_user_recent_published_artworks(recent.column, seconds, recent.max_items)
    config = {f"recent_published.{k}": getattr(recent, k) for k in ("column", "window", "max_items")}
    return kernel_windows(make, rolling, config, [Keyed(make.need("published"), "user_id", "user_id")])
