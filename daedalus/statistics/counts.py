"""Counting by value, piece by piece: what stays of a piece are its distinct values and how often each occurs.

So a column of any length takes the memory of its distinct values. Pieces are merged once they are as long together as
what is merged already: no value is sorted more than a logarithmic number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LEAST = 1 << 20  # counted values that are not worth a merge


class Counts:
    """How often each value occurs, of numbers (in numpy) or of text (in Arrow); none of them is NULL."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Any, np.ndarray]] = []  # (distinct values, how often each)
        self._pending = 0  # values in all pieces but the first, which is merged

    def add(self, values: Any, counts: np.ndarray) -> None:
        """Adds values, which are distinct, and ascend if they are numbers, with how often each occurs."""
        self._pending += len(values) if self._pieces else 0
        self._pieces.append((values, counts))
        if self._pending > max(len(self._pieces[0][0]), _LEAST):
            self.all()

    def all(self) -> tuple[Any, np.ndarray]:
        """(the distinct values, how often each occurs); numbers ascend."""
        import numpy as np

        if not self._pieces:
            return np.empty(0), np.empty(0, np.int64)
        if len(self._pieces) > 1:
            values, counts = [piece[0] for piece in self._pieces], np.concatenate([piece[1] for piece in self._pieces])
            if isinstance(values[0], np.ndarray):
                self._pieces = [count_numbers(np.concatenate(values), counts)]
            else:
                self._pieces = [_merged_texts(values, counts)]
            self._pending = 0
        return self._pieces[0]


def count_numbers(values: np.ndarray, counts: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(the distinct numbers, ascending; how often each occurs, that is `counts` times, or once).

    0.0 and -0.0 are one number, and so are all NaN, which come last.
    """
    import numpy as np

    if counts is None:
        values = np.sort(values)
    else:
        order = np.argsort(values, kind="stable")
        values, counts = values[order], counts[order]
    if not len(values):
        return values, np.empty(0, np.int64)
    new = np.empty(len(values), np.bool_)
    new[0] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    if values.dtype.kind == "f" and np.isnan(values[-1]):
        new[np.searchsorted(values, np.nan) + 1 :] = False  # no NaN equals another
    (starts,) = new.nonzero()
    if counts is not None:
        return values[starts], np.add.reduceat(counts, starts)
    sizes = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=sizes[:-1])
    sizes[-1] = len(values) - starts[-1]
    return values[starts], sizes


def count_texts(texts: pa.DictionaryArray) -> tuple[pa.Array, np.ndarray]:
    """(the distinct texts, how often each occurs)."""
    import numpy as np

    counts = np.bincount(as_numpy(texts.indices), minlength=len(texts.dictionary))
    (used,) = counts.nonzero()  # a dictionary may be that of many more rows
    if len(used) == len(counts):
        return texts.dictionary, counts
    return texts.dictionary.take(as_arrow(used)), counts[used]


def as_numpy(array: pa.Array) -> np.ndarray:
    """The values of integers and floats that are not NULL. `to_numpy` would import pandas, where there is one."""
    import numpy as np

    return np.from_dlpack(array.drop_null() if array.null_count else array)


def as_arrow(integers: np.ndarray) -> pa.Array:
    """64-bit integers in Arrow. `pa.array` would import pandas, where there is one."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.int64(), len(integers), [None, pa.py_buffer(integers)])


def _merged_texts(several: Sequence[pa.Array], counts: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    import numpy as np
    import pyarrow as pa

    large = [texts.cast(pa.large_string()) for texts in several]  # 32 bits address no more than 2 GiB of text
    found = pa.concat_arrays(large).dictionary_encode()
    total = np.zeros(len(found.dictionary), np.int64)
    np.add.at(total, as_numpy(found.indices), counts)
    return found.dictionary, total
