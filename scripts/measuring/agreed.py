"""Whether columns of vectors hold what they should: against the pool, means of doubles, and what was made by hand."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from measuring.by_hand import IMAGE, LIST, MEAN, MOST

_NEAR = 1e-5  # of sums of floats, which are near 1 at most


def agreed(root: Path, day: str, by_hand: dict[str, Path]) -> dict[str, Any]:
    """For one day (`dt=...`): its rows; those whose vector is not the pool's; those whose mean is beyond a unit in the
    last place of a mean of doubles; and, by program, vectors unlike those of the rows that it wrote."""
    ours = _columns(root / "data/training_enriched" / day)
    pool = lance.dataset(str(root / "data/embeddings/artwork_embedding.lance")).to_table(["artwork_id", "vector"])
    matrix = pool["vector"].combine_chunks().flatten().to_numpy().reshape(pool.num_rows, -1)
    places = {id: place for place, id in enumerate(pool["artwork_id"].to_pylist())}
    vectors, means = 0, 0
    rows = zip(*(_values(ours, name) for name in (IMAGE, MEAN)), ours["artwork_id"].to_pylist(),
               ours[LIST].to_pylist(), strict=True)  # fmt: skip
    for vector, mean, artwork, ids in rows:
        own = matrix[places[artwork]] if artwork in places else None
        vectors += not _same(vector, own, 0.0)
        some = [places[one] for one in ids[:MOST] if one in places]
        exact = matrix[some].mean(axis=0, dtype=np.float64) if some else None
        means += not _same(mean, exact, None if exact is None else np.spacing(np.abs(exact).astype(np.float32)))
    found: dict[str, Any] = {"rows": len(ours), "other_vectors": vectors, "means_beyond_an_ulp": means}
    for program, folder in by_hand.items():
        theirs = _columns(folder / day)
        found[f"unlike_{program}"] = sum(
            not _same(one, other, _NEAR) for name in (IMAGE, MEAN)
            for one, other in zip(_values(ours, name)[: len(theirs)], _values(theirs, name), strict=True)
        )  # fmt: skip
    return found


def _columns(folder: Path) -> pa.Table:
    return pq.read_table(folder, columns=["artwork_id", LIST, IMAGE, MEAN], partitioning=None)


def _values(table: pa.Table, name: str) -> list[np.ndarray | None]:
    """The vector of each row."""
    found: list[np.ndarray | None] = []
    for chunk in table[name].chunks:
        values = chunk.values.to_numpy()
        ends, valid = chunk.offsets.to_pylist(), chunk.is_valid().to_pylist()
        spans = zip(pairwise(ends), valid, strict=True)
        found += [values[begin:end] if one else None for (begin, end), one in spans]
    return found


def _same(one: np.ndarray | None, other: np.ndarray | None, by: np.ndarray | float | None) -> bool:
    if one is None or other is None or len(one) != len(other):
        return one is other
    return bool((np.abs(one.astype(np.float64) - other) <= by).all())
