"""`last`, `first` and `since_last`: of the newest or the oldest event that a row sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.windows.kinds.kind import UNREAD, Kind
from daedalus.windows.seen import Seen, machine_code
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def last(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    newest, _ = _ends(seen)
    return [_taken(values, seen.codes, places) for places in newest.T]


def first(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    _, oldest = _ends(seen)
    return [_taken(values, seen.codes, places) for places in oldest.T]


def since_last(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    import numpy as np
    import pyarrow as pa

    newest, _ = _ends(seen)
    times = np.append(seen.times, 0)  # for none, which is at -1
    return [pa.array((seen.now - times[places]) // 1_000_000, mask=places < 0) for places in newest.T]


def _taken(values: pa.Array, codes: np.ndarray, places: np.ndarray) -> pa.Array:
    """The values of events, NULL where there is none."""
    import numpy as np
    import pyarrow as pa

    return values.take(pa.array(np.append(codes, 0)[places], mask=places < 0))


def _ends(seen: Seen) -> tuple[np.ndarray, np.ndarray]:
    """The newest and the oldest event by row and window; -1 where no event is seen."""
    import numpy as np

    newest, oldest = np.empty_like(seen.begins), np.empty_like(seen.begins)
    machine_code(_walk)(*seen.skipping, newest, oldest)
    return newest, oldest


def _walk(
    begins: np.ndarray, ends: np.ndarray, owners: np.ndarray, own: np.ndarray, newest: np.ndarray, oldest: np.ndarray
) -> None:
    """Kernel: passes over a row's own events, at both ends."""
    for row in range(len(ends)):
        last = ends[row] - 1
        while own[row] >= 0 and last >= begins[row, -1] and owners[last] == own[row]:
            last -= 1
        for window in range(begins.shape[1]):
            first = begins[row, window]
            newest[row, window] = oldest[row, window] = -1
            if last < first:
                continue
            while own[row] >= 0 and owners[first] == own[row]:  # ends at `last`, which is seen
                first += 1
            newest[row, window], oldest[row, window] = last, first


def _listed(place: int, among: str) -> str:
    return f"(list(value ORDER BY ts DESC, value) {among})[{place}]"


KINDS = {
    "last": Kind(lambda i, among, measured: _listed(1, among), last),
    "first": Kind(lambda i, among, measured: _listed(-1, among), first),
    "since_last": Kind(
        lambda i, among, measured: f"(epoch_us(any_value(t)) - (max(epoch_us(ts)) {among})) // 1000000",
        since_last, UNREAD,
    ),
}  # fmt: skip
