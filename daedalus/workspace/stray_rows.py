"""Feeds whose rows mostly lie in partitions that are not of their days, as the statistics of their files tell."""

from __future__ import annotations

import math
from collections.abc import Iterator

from daedalus.base.days import DAY_US, end_of
from daedalus.config import RUNTIME, Config
from daedalus.inputs.feed import Feed

_SPREAD = 3  # days that a row group's times may spread over for its rows to be taken as evenly spread
_MOST = 31  # days that a setting is proposed for


def stray_notes(config: Config, feed: Feed) -> list[str]:
    """A line when more than half of the rows are strays, with the setting that takes them."""
    late = config.runtime.spine.lateness
    rows, astray, before, after = 0, 0.0, late.before, late.after
    for count, newest, oldest in _groups(feed):  # how many days late its rows are
        rows += count
        outside = max(oldest - (late.after + 1), 0) + max(-late.before - newest, 0)
        spread = oldest - newest
        share = outside / spread if 0 < spread <= _SPREAD else float(outside >= spread > 0)
        if share > 0:
            astray += count * min(share, 1)
            before, after = max(before, -math.floor(newest)), max(after, math.ceil(oldest) - 1)
    if astray * 2 <= rows:
        return []
    setting = f"{{before: {before}, after: {after}}}" if before else str(after)
    hint = (f"spine.lateness_days: {setting} in {RUNTIME} would include them" if max(before, after) <= _MOST
            else "check the unit and the time zone of their times")  # fmt: skip
    return [f"about {round(astray):,} of {rows:,} feed rows are strays: they are in partitions of other days; {hint}"]


def _groups(feed: Feed) -> Iterator[tuple[int, float, float]]:
    """(rows, how late the newest is, and the oldest) of each row group, in days from the start of its partition's."""
    for day, files in feed.partitions.items():
        end = end_of(day)
        for least, most, rows in (group for file in files for group in file.times):
            yield rows, (end - 1 - most) / DAY_US, (end - least) / DAY_US
