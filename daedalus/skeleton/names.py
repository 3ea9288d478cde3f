"""The steps by name, in order; see stage.py for what each is."""

PARTITION = "chunk"  # the step whose artifact is a day's partition, as caches and commands know it
OF_A_FEED_DAY = ("spine", "coverage", "event_values", "history")  # read by all target days whose window it is in
STEPS = (
    "pool", "view", "published", *OF_A_FEED_DAY, "sessions", "attributes", "rolling", "recent_published", "content",
    "qids", PARTITION,
)  # fmt: skip
