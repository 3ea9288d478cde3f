"""Feed files that cannot be used, and the days that fail for them."""

from __future__ import annotations

from collections.abc import Iterable

from daedalus.base.days import ONE_DAY, Day
from daedalus.base.errors import DaedalusError
from daedalus.config import Config
from daedalus.inputs.feed import Feed


def bad_files(feed: Feed) -> list[tuple[Day, DaedalusError]]:
    """(partition, what is wrong) of the files looked at."""
    return [(day, file.error) for day, files in sorted(feed.partitions.items()) for file in files if file.error]


def days_that_fail(config: Config, feed: Feed, days: Iterable[Day]) -> list[Day]:
    """Those of the days whose window, or whose history of the users' events, needs a bad file."""
    spine, bad = config.runtime.spine, [day for day, _ in bad_files(feed)]
    late = spine.lateness
    endless = any(aggregation.cumulative for aggregation in config.aggregations)

    def needs(day: Day, partition: Day) -> bool:
        first, last = (partition + i * ONE_DAY for i in (late.days[0], late.days[-1]))  # that it may hold rows of
        return first <= day and (endless or day <= last + spine.lookback_days * ONE_DAY)

    return [day for day in days if any(needs(day, partition) for partition in bad)]
