"""The names of the steps, in order; see stage.py."""

PARTITION = "chunk"  # the stored name of the step `partition`, in caches and on the command line
OF_A_FEED_DAY = ("spine", "coverage", "event_values", "history")  # made once, read by all target days that need the day
STEPS = (
    "pool", "view", "published", *OF_A_FEED_DAY, "sessions", "attributes", "rolling", "recent_published", "content",
    "qids", PARTITION,
)  # fmt: skip
