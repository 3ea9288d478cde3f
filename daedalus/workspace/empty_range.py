"""Refuses a range in which no day has feed rows: a typing error would remove the partitions of all its days."""

from __future__ import annotations

from collections.abc import Collection

from daedalus.base.days import ONE_DAY, Day, DayRange
from daedalus.base.errors import EmptyRange
from daedalus.config import RUNTIME, Config
from daedalus.config.reach import Reach
from daedalus.inputs.listing import Listing


def refuse_empty(config: Config, listing: Listing, *, range: str | None, where: str) -> None:
    """Raises EmptyRange (exit 2) if no day of the range has feed rows. `where` is what gave it; "": the config."""
    span, days = config.range(range), listing.feed.days
    where = where or config.where(RUNTIME, "feed_start, feed_end")
    if not Reach.of(config).with_rows(span, days):
        raise EmptyRange(where, span, " to ".join(listing.feed.span), str(nearest(span, days)))


def nearest(span: DayRange, days: Collection[Day]) -> DayRange:
    """As many days as the range has, from the feed's day nearest to it on; or fewer, where the feed ends."""
    start = min(days, key=lambda day: (min(abs(day - span.first), abs(day - span.last)), day))
    more = (len(span) - 1) * ONE_DAY
    if start < span.first:
        return DayRange(max(start - more, min(days)), start)
    return DayRange(start, min(start + more, max(days)))
