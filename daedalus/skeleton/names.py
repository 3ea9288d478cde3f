"""The steps by name, in order; see pipeline.py for what each reads."""

TILE_STEPS = ("spine", "coverage", "enrich", "history")  # of a feed day, read by the days whose window it is in
STEPS = (
    "pool", "view", "published", *TILE_STEPS, "sessions", "attributes", "rolling", "recent_published", "content",
    "qids", "chunk",
)  # fmt: skip
