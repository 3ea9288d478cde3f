"""Random orders that are the same everywhere and for good: by a hash of positions, not by a library's generator."""

from __future__ import annotations

import numpy as np

_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of splitmix64
_WORD = (1 << 64) - 1


def order_of(count: int, *words: int) -> np.ndarray:
    """The positions 0 … count - 1 in an order that `words` draw, as INT64."""
    start = 0
    for word in words:
        start = _mixed(start ^ (word & _WORD))
    keys = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP) + np.uint64(start)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(_FIRST)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(_SECOND)
    return np.argsort(keys ^ (keys >> np.uint64(31)))  # all keys differ, so that there is but one order


def _mixed(word: int) -> int:
    word = (word + _STEP) & _WORD
    word = ((word ^ (word >> 30)) * _FIRST) & _WORD
    word = ((word ^ (word >> 27)) * _SECOND) & _WORD
    return word ^ (word >> 31)
