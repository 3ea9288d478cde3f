"""Which events each row sees, as places in one array of events, so that a kind's kernel need know nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.tables.held import HELD

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Seen(NamedTuple):
    """Rows and events of some users.

    Events are in order of user and time, and of equal times a larger value is earlier: what `list` has first is last.
    Row r sees in window w (shortest first) the events from `begins[r, w]` to `ends[r]`, but for those whose `owners`
    is `own[r]`; -1 sees all. In the rows' `order`, neither begins nor ends ever decrease. `codes` are the places of
    events' values. `whole`: all rows see all events; `by_value`: owners are codes, and equal values have the same.
    """

    names: pa.Array  # of the rows' groups, such as their users
    now: np.ndarray  # of rows, in microseconds
    own: np.ndarray
    order: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    times: np.ndarray
    codes: np.ndarray
    owners: np.ndarray
    whole: bool
    by_value: bool

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays, of which some may be the same."""
        return sum({id(one): one.nbytes for one in self if hasattr(one, "nbytes")}.values())

    @property
    def skipping(self) -> tuple[np.ndarray, ...]:
        """The arguments of a kernel that goes over each row's events."""
        return self.begins, self.ends, self.owners, self.own


def seen_of(arguments: tuple, without_self: str, names: pa.Array) -> Seen:
    """What rows of groups called `names` see, of the arguments of the kernel of lists and counts (kernel.py)."""
    import numpy as np

    from daedalus.windows import kernel

    runs, (users, now, own), (event_users, event_times, codes, owners), pieces, spans = arguments
    places, times = np.empty(len(event_users), np.int64), np.empty(len(event_users), np.int64)
    order, ends = np.empty(len(users), np.int64), np.empty(len(users), np.int64)
    begins, edges = np.empty((len(users), len(spans)), np.int64), np.empty(len(spans), np.int64)
    count = kernel.find_seen(runs, users, now, event_users, event_times, pieces.copy(), spans, edges, places, times,
                             order, begins, ends)  # fmt: skip
    places = places[:count]
    codes, owners = (places if one is None else one[places].astype(np.int64) for one in (codes, owners))
    return Seen(names, now, own.astype(np.int64), order, begins, ends, times[:count], codes, owners, not without_self,
                without_self == "value")  # fmt: skip


def seen_by_batch(
    rows: Path, what: str, batches: Iterable[pa.RecordBatch], find: Callable[[pa.RecordBatch], tuple[Seen, pa.Array]]
) -> Iterator[tuple[pa.RecordBatch, Seen, pa.Array]]:
    """Each batch of the rows of a file, with what `find` gives for it; `what` says all that this depends on.

    It is held for further aggregations, as several kinds of the same events see the same; each has its own action, and
    finds it itself where nothing is held.
    """
    held = HELD.get(rows, what)
    kept: list[tuple[Seen, pa.Array]] = []
    size = 0
    for i, batch in enumerate(batches):
        seen, values = held[i] if held else find(batch)
        yield batch, seen, values
        size += seen.nbytes + values.nbytes
        if HELD.takes(size):
            kept.append((seen, values))
        else:
            kept.clear()
    if kept and not held:
        HELD.put(rows, kept, size, what)


def told_apart(seen: Seen, values: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """(codes of events that are the same where values are equal, the values by code)."""
    import numpy as np
    import pyarrow as pa

    if seen.by_value:
        return seen.codes, values
    coded = values.take(pa.array(seen.codes)).dictionary_encode()
    return coded.indices.to_numpy().astype(np.int64), coded.dictionary


@cache
def machine_code(function: Callable) -> Callable:
    """A kernel, compiled when first used: kinds are looked at where nothing is computed, without numba."""
    from daedalus.parquet.jit import compiled

    return compiled(function)
