"""The stages and their steps by name, in order.

The one table of steps: the code of each is in the file of its name in steps/ of its stage. Steps of the skeleton are
named with the output columns that each ships under a name of its own; those whose columns have names
from the configuration (attributes, rolling, recent_published) ship what `columns.makers` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

PARTITION = "chunk"  # the step whose artifact is a day's partition, as caches and commands know it
OF_A_FEED_DAY = ("spine", "coverage", "event_values", "history")  # read by all target days whose window it is in
STEPS: Mapping[str, tuple[str, ...]] = {
    "pool": (),
    "view": (),
    "published": (),
    **dict.fromkeys(OF_A_FEED_DAY, ()),
    "sessions": (),
    "attributes": (),
    "row_keys": (),
    "rolling": (),
    "recent_published": (),
    "content": (),
    "qids": (),  # qid is not named in output_columns: it is added last where the feed has sessions
    PARTITION: (),
}
ENRICHED = "enriched"  # the step whose artifact is a day's enriched partition
ENRICH_STEPS = ("fragment", "pool_vectors", "pool_places", "vectors", "means", ENRICHED)


class Stage(Struct, frozen=True):
    """A stage: its steps in order, of which the last, `partition`, makes a day's partition."""

    name: str
    steps: Sequence[str]
    partition: str


SKELETON, ENRICH = Stage("skeleton", tuple(STEPS), PARTITION), Stage("enrich", ENRICH_STEPS, ENRICHED)
STAGES = {stage.name: stage for stage in (SKELETON, ENRICH)}
PARTITIONS = (PARTITION, ENRICHED)
ORDER = {name: place for place, name in enumerate([*STEPS, *ENRICH_STEPS])}
