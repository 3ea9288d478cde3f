"""Feed files that cannot be used, and the days that fail for them."""

from __future__ import annotations

from collections.abc import Iterable

from daedalus.base.days import Day
from daedalus.base.errors import DaedalusError
from daedalus.config import Config
from daedalus.config.reach import Reach
from daedalus.inputs.feed import Feed


def bad_files(feed: Feed) -> list[tuple[Day, DaedalusError]]:
    """(partition, what is wrong) of the files looked at."""
    return [(day, file.error) for day, files in sorted(feed.partitions.items()) for file in files if file.error]


def days_that_fail(config: Config, feed: Feed, days: Iterable[Day]) -> list[Day]:
    """Those of the days whose window, or whose history of the users' events, needs a bad file."""
    reach, bad = Reach.of(config), [partition for partition, _ in bad_files(feed)]
    return [day for day in days if any(reach.reads(day, partition) for partition in bad)]
