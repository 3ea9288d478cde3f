"""Taking lists by row, compiled: one after the other, or padded. Items are copied as bits of their width.

Places are unsigned, for those below 0 would count from the end, which takes four times the time to ask.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from daedalus.parquet.jit import compiled


@compiled
def copy_lists(starts: Any, lengths: Any, items: Any, rows: Any, out: Any) -> None:
    """The lists of `rows`, one after the other; row r has `lengths[r]` items from `starts[r]`."""
    at = np.uint64(0)
    for row in rows:
        start, count = np.uint64(starts[row]), np.uint64(lengths[row])
        for item in range(count):
            out[at + np.uint64(item)] = items[start + np.uint64(item)]
        at += count


@compiled
def pad_lists(starts: Any, lengths: Any, items: Any, rows: Any, fill: Any, out: Any) -> None:
    """The first items of the lists of `rows`, a line of the matrix `out` each, filled up with `fill`."""
    most = np.uint64(out.shape[1])
    for place in range(len(rows)):
        line, row = np.uint64(place), rows[place]
        start, count = np.uint64(starts[row]), min(np.uint64(lengths[row]), most)
        for item in range(count):
            out[line, np.uint64(item)] = items[start + np.uint64(item)]
        for item in range(count, most):
            out[line, np.uint64(item)] = fill


def edges_of(counts: np.ndarray) -> np.ndarray:
    """Where things of these sizes begin, one after the other, and where the last ends, as INT64."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def bits(values: np.ndarray) -> np.ndarray:
    """The same memory as whole numbers of the same width: one compiled form for all types of that width."""
    return values.view(f"u{values.dtype.itemsize}")
