"""`count_distinct`: how many different values a row sees; NaN is one, and so is zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.windows.kinds.kind import AS_DISTINCT, Kind
from daedalus.windows.seen import Seen, machine_code, told_apart
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def count_distinct(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    import pyarrow as pa

    codes, values = told_apart(seen, values)
    return [pa.array(column) for column in distinct_seen(seen._replace(codes=codes), len(values)).T]


def distinct_seen(seen: Seen, codes: int) -> np.ndarray:
    """How many codes, of so many, each row sees, by row and window."""
    import numpy as np

    found = np.empty_like(seen.begins)
    if seen.whole or seen.by_value:
        counts = np.zeros(codes, np.int64)
        machine_code(_slide)(seen.order, seen.begins, seen.ends, seen.codes, seen.own, counts, found)
    else:
        machine_code(_walk)(*seen.skipping, seen.codes, np.full(codes, -1, np.int64), found)
    return found


def _slide(
    order: np.ndarray, begins: np.ndarray, ends: np.ndarray, codes: np.ndarray, own: np.ndarray, counts: np.ndarray,
    found: np.ndarray,
) -> None:  # fmt: skip
    """Kernel: counts the events of each code in a window, one window after the other; owners are codes."""
    for window in range(begins.shape[1]):
        number = entered = left = 0
        for row in order:
            while entered < ends[row]:
                number += counts[codes[entered]] == 0
                counts[codes[entered]] += 1
                entered += 1
            while left < begins[row, window]:
                counts[codes[left]] -= 1
                number -= counts[codes[left]] == 0
                left += 1
            found[row, window] = number - (own[row] >= 0 and counts[own[row]] > 0)
        for event in range(left, entered):
            counts[codes[event]] = 0


def _walk(
    begins: np.ndarray, ends: np.ndarray, owners: np.ndarray, own: np.ndarray, codes: np.ndarray, marks: np.ndarray,
    found: np.ndarray,
) -> None:  # fmt: skip
    """Kernel: goes back over all events that a row sees; `marks` has the row that a code was seen by."""
    for row in range(len(ends)):
        at, number = ends[row], 0
        for window in range(begins.shape[1]):
            while at > begins[row, window]:
                at -= 1
                if (own[row] < 0 or owners[at] != own[row]) and marks[codes[at]] != row:
                    marks[codes[at]] = row
                    number += 1
            found[row, window] = number


KINDS = {
    "count_distinct": Kind(lambda i, among, measured: f"count(DISTINCT value) {among}", count_distinct, AS_DISTINCT)
}
