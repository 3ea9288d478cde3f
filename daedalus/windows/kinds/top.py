"""`top`: the values that a row sees most often. A shorter window's list is no prefix of a longer one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from daedalus.base.errors import DayError
from daedalus.windows.kinds.distinct import distinct_seen
from daedalus.windows.kinds.kind import AS_DISTINCT, Kind
from daedalus.windows.seen import Seen, machine_code, told_apart
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LONGEST_COLUMN = (1 << 31) - 1  # values that an Arrow list column holds


def top(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    import numpy as np
    import pyarrow as pa

    codes, values = told_apart(seen, values)
    seen = seen._replace(codes=codes)
    sizes = distinct_seen(seen, len(values))
    if measured.max_items is not None:
        sizes = np.minimum(sizes, measured.max_items)
    totals = sizes.sum(axis=0)
    if (longest := int(totals.max(initial=0))) > _LONGEST_COLUMN:
        found, most = f"{longest:,} values of {measured.column}", f"at most {_LONGEST_COLUMN:,}"
        raise DayError("lists too long for a column", where="training/aggregations.yaml", found=found, expected=most,
                       hint="set max_items")  # fmt: skip
    offsets = np.zeros((len(sizes) + 1, len(totals)), np.int64)
    np.cumsum(sizes, axis=0, out=offsets[1:])
    starts = np.cumsum(totals) - totals  # windows follow one another
    out, tables = np.empty(int(totals.sum()), np.int64), np.zeros((4, max(len(values), len(seen.codes)) + 2), np.int64)
    machine_code(_rank)(*seen.skipping, seen.codes, starts + offsets[:-1], sizes, *tables, out)
    parts = np.split(out, starts[1:])
    begins = [pa.array(column, pa.int32()) for column in offsets.T]
    return [pa.ListArray.from_arrays(at, values.take(pa.array(part))) for at, part in zip(begins, parts, strict=True)]


def _rank(
    begins: np.ndarray, ends: np.ndarray, owners: np.ndarray, own: np.ndarray, codes: np.ndarray, places: np.ndarray,
    sizes: np.ndarray, counts: np.ndarray, recent: np.ndarray, ranked: np.ndarray, begin_of: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    """Kernel: counts codes going back over all events that a row sees, so that they come by recency, and sorts these
    by their counts: `begin_of` has where those of each count begin."""
    for row in range(len(ends)):
        at, number, most = ends[row], 0, 0
        for window in range(begins.shape[1]):
            while at > begins[row, window]:
                at -= 1
                if own[row] >= 0 and owners[at] == own[row]:
                    continue
                code = codes[at]
                if counts[code] == 0:
                    recent[number] = code
                    number += 1
                counts[code] += 1
                most = max(most, counts[code])
            for i in range(number):
                begin_of[counts[recent[i]]] += 1
            begin = 0
            for count in range(most, 0, -1):
                begin, begin_of[count] = begin + begin_of[count], begin
            for i in range(number):
                count = counts[recent[i]]
                ranked[begin_of[count]] = recent[i]
                begin_of[count] += 1
            for count in range(most + 1):
                begin_of[count] = 0
            for i in range(sizes[row, window]):
                out[places[row, window] + i] = ranked[i]
        for i in range(number):
            counts[recent[i]] = 0


def _counted(pairs: str, among: Sequence[str]) -> str:
    """The pairs by value: how often it occurs in each window, and when last."""
    found = [f"count(*) {some} AS n{i}, max(ts) {some} AS ts{i}" for i, some in enumerate(among)]
    return f"SELECT target, value, {', '.join(found)} FROM ({pairs}) GROUP BY target, value"


def _listed(i: int, among: str, measured: Measured) -> str:
    found = f"list(value ORDER BY n{i} DESC, ts{i} DESC, value) FILTER (n{i} > 0)"
    return found if measured.max_items is None else f"({found})[1:{measured.max_items}]"


KINDS = {"top": Kind(_listed, top, AS_DISTINCT, _counted)}
