"""A second level of the cache in an object store, which several people or machines share.

    artifacts/ab/abcdef….parquet    bytes by content digest: artifacts, parts of partitions, pieces of qid maps
    traces/ab/abcdef….json          what an action made, by its key (see record.py)
    packs/2026-05-12.json           the newest traces of a day in one object: a hint that saves requests
    qid_maps/….json                 the history of the qid numbers of an output (see qid_history.py)
    inputs/….json                   digests and footers of inputs, for machines that have not read them yet

Everything read here is checked. A trace's manifest must hash to its key, and the trace must be signed if a key is
configured; bytes must match the trace by xxh3 and sha256. Whatever is wrong, missing or late is a miss: the run
goes on and computes what it lacks.
"""
