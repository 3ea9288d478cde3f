"""A second level of the cache in an object store, which several people or machines share.

    artifacts/ab/abcdef….parquet    bytes by content digest: artifacts, parts of partitions, pieces of qid maps
    traces/ab/abcdef….json          what an action made, by its key (see record.py)
    packs/2026-05-12.json           the newest traces of a day in one object: a hint that spares requests
    qid_maps/….json                 the history of the numbers of an output (see maps.py)
    inputs/….json                   what is known of inputs, for who has not read them yet

Nothing here is believed. A trace must be the one that its key is the digest of, signed where a key is
configured; bytes must be what the trace says by xxh3 and sha256. Whatever is wrong, missing or late is a
miss: the run goes on with what it has and makes.
"""
