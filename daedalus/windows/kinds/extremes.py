"""`min` and `max`: of values of any type that has an order; NaN is the greatest, and there is one zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.windows.kinds.kind import AS_DISTINCT, Kind
from daedalus.windows.seen import Seen, machine_code, told_apart
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def smallest(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    return _taken(seen, values, _ranked(seen, values))


def largest(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    return _taken(seen, values, ~_ranked(seen, values))


def _ranked(seen: Seen, values: pa.Array) -> np.ndarray:
    """Whole numbers of events that ascend as their values do."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_signed_integer(values.type):
        return values.to_numpy().astype(np.int64, copy=False)[seen.codes]
    codes, values = told_apart(seen, values)
    ordered = values.cast(pa.float32()) if pa.types.is_float16(values.type) else values
    ranks = pc.rank(ordered, tiebreaker="first").to_numpy() if len(values) else np.zeros(0)
    return np.asarray(ranks.astype(np.int64)[codes])


def _taken(seen: Seen, values: pa.Array, ranked: np.ndarray) -> list[pa.Array]:
    """The values of the events that are least `ranked`, by window."""
    import numpy as np
    import pyarrow as pa

    found = np.empty_like(seen.begins)  # these events
    if seen.whole:
        slide = machine_code(_slide)
        slide(seen.order, seen.begins, seen.ends, ranked, np.empty(len(ranked), np.int64), found)
    else:
        machine_code(_walk)(*seen.skipping, ranked, found)
    codes = np.append(seen.codes, 0)
    return [values.take(pa.array(codes[places], mask=places < 0)) for places in found.T]


def _slide(
    order: np.ndarray, begins: np.ndarray, ends: np.ndarray, ranked: np.ndarray, queue: np.ndarray, found: np.ndarray
) -> None:
    """Kernel: `queue` holds the events that may still become the least, of ascending rank and time; a window's least is
    the first that is in it."""
    longest = begins.shape[1] - 1
    head = tail = entered = 0
    for row in order:
        while entered < ends[row]:
            while tail > head and ranked[queue[tail - 1]] >= ranked[entered]:
                tail -= 1
            queue[tail] = entered
            tail += 1
            entered += 1
        while head < tail and queue[head] < begins[row, longest]:
            head += 1
        at = head
        for window in range(longest, -1, -1):
            end = tail
            while at < end:
                middle = (at + end) >> 1
                if queue[middle] < begins[row, window]:
                    at = middle + 1
                else:
                    end = middle
            found[row, window] = queue[at] if at < tail else -1


def _walk(
    begins: np.ndarray, ends: np.ndarray, owners: np.ndarray, own: np.ndarray, ranked: np.ndarray, found: np.ndarray
) -> None:
    """Kernel: goes back over all events that a row sees; a longer window goes on from a shorter one."""
    for row in range(len(ends)):
        at, least = ends[row], -1
        for window in range(begins.shape[1]):
            while at > begins[row, window]:
                at -= 1
                if (own[row] < 0 or owners[at] != own[row]) and (least < 0 or ranked[at] < ranked[least]):
                    least = at
            found[row, window] = least


KINDS = {
    "min": Kind(lambda i, among, measured: f"min(value) {among}", smallest, AS_DISTINCT),
    "max": Kind(lambda i, among, measured: f"max(value) {among}", largest, AS_DISTINCT),
}
