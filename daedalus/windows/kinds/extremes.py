"""`min` and `max`: of values of any type that has an order; NaN is the greatest, and there is one zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.windows.kinds.kind import AS_DISTINCT, Kind
from daedalus.windows.kinds.seen import Seen, machine_code
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def smallest(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    return _taken(seen, values, 1)


def largest(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    return _taken(seen, values, -1)


def _taken(seen: Seen, values: pa.Array, sign: int) -> list[pa.Array]:
    """The values that are least of their ranks times `sign`, by window."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ordered = values.cast(pa.float32()) if pa.types.is_float16(values.type) else values
    ranks = pc.rank(ordered, tiebreaker="first").to_numpy() if len(values) else np.zeros(0)
    ranked = sign * ranks.astype(np.int64)[seen.codes]
    found = np.empty_like(seen.begins)  # the events that have them
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
    """Kernel: `queue` holds the events that may still become the least, of ascending rank and time."""
    for window in range(begins.shape[1]):
        head = tail = entered = 0
        for row in order:
            while entered < ends[row]:
                while tail > head and ranked[queue[tail - 1]] >= ranked[entered]:
                    tail -= 1
                queue[tail] = entered
                tail += 1
                entered += 1
            while head < tail and queue[head] < begins[row, window]:
                head += 1
            found[row, window] = queue[head] if head < tail else -1


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
