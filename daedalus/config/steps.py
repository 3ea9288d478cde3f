"""The steps by name, in order, with the output columns that each ships under a name of its own.

The one table of steps: the code of each is in the file of its name in skeleton/steps/. Steps whose columns have names
from the configuration (attributes, rolling, recent_published) ship what `columns.makers` says.
"""

from __future__ import annotations

from collections.abc import Mapping

PARTITION = "chunk"  # the step whose artifact is a day's partition, as caches and commands know it
OF_A_FEED_DAY = ("spine", "coverage", "event_values", "history")  # read by all target days whose window it is in
STEPS: Mapping[str, tuple[str, ...]] = {
    "pool": (),
    "view": (),
    "published": (),
    **dict.fromkeys(OF_A_FEED_DAY, ()),
    "sessions": (),
    "attributes": (),
    "rolling": (),
    "recent_published": (),
    "content": (),
    "qids": (),  # qid is not named in output_columns: it is added last where the feed has sessions
    PARTITION: (),
}
ORDER = {name: place for place, name in enumerate(STEPS)}
