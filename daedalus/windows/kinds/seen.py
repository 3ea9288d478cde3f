"""Which events each row sees, as places in one array of events, so that a kind's kernel need know nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Seen(NamedTuple):
    """Rows and events of some users.

    Events are in order of user and time, and of equal times a larger value is earlier: what `list` has first is last.
    Row r sees in window w (shortest first) the events from `begins[r, w]` to `ends[r]`, but for those whose `owners`
    is `own[r]`; -1 sees all. In the rows' `order`, neither begins nor ends ever decrease. `whole`: all rows see all
    events; `by_value`: owners are codes.
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
    def skipping(self) -> tuple[np.ndarray, ...]:
        """The arguments of a kernel that goes over each row's events."""
        return self.begins, self.ends, self.owners, self.own


def seen_of(arguments: tuple, without_self: str, names: pa.Array) -> Seen:
    """What rows of groups called `names` see, of the arguments of the kernel of lists and counts (kernel.py)."""
    import numpy as np

    _, (users, now, own), (event_users, times, codes, owners), _, spans = arguments
    placed = _in_order(event_users, times)
    event_users, times = event_users[placed], times[placed]
    order = np.lexsort((now, users))
    begins, ends = np.empty((len(users), len(spans)), np.int64), np.empty(len(users), np.int64)
    machine_code(_find)(order, users, now, event_users, times, spans, np.zeros(len(spans), np.int64), begins, ends)
    return Seen(names, now, own.astype(np.int64), order, begins, ends, times, codes[placed].astype(np.int64),
                owners[placed].astype(np.int64), not without_self, without_self == "value")  # fmt: skip


def _in_order(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The places of events by user and time, equal times from the last to the first; they come in pieces of ascending
    time, each by user, time and value."""
    import numpy as np

    by_user = np.argsort(users, kind="stable")
    users, times = users[by_user], times[by_user]
    starts = np.ones(len(users), np.bool_)
    starts[1:] = (users[1:] != users[:-1]) | (times[1:] != times[:-1])
    firsts = np.flatnonzero(starts)
    sizes = np.diff(np.append(firsts, len(users)))
    return by_user[np.repeat(2 * firsts + sizes - 1, sizes) - np.arange(len(users))]


def _find(
    order: np.ndarray, row_users: np.ndarray, row_times: np.ndarray, users: np.ndarray, times: np.ndarray,
    spans: np.ndarray, edges: np.ndarray, begins: np.ndarray, ends: np.ndarray,
) -> None:  # fmt: skip
    """Kernel: the bounds of what each row sees, strictly before it."""
    seen = 0
    for row in order:
        user, now = row_users[row], row_times[row]
        while seen < len(users) and (users[seen] < user or (users[seen] == user and times[seen] < now)):
            seen += 1
        ends[row] = seen
        for window in range(len(spans)):
            edge = edges[window]
            while edge < seen and (users[edge] < user or times[edge] < now - spans[window]):
                edge += 1
            edges[window] = begins[row, window] = edge


@cache
def machine_code(function: Callable) -> Callable:
    """A kernel, compiled when first used: kinds are looked at where nothing is computed, without numba."""
    from daedalus.parquet.jit import compiled

    return compiled(function)
