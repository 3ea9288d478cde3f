"""`sum` and `mean`. Sums of whole numbers are exact, in two words; others are of the window alone, in its order.

A sum of floats that adds what enters and subtracts what leaves would keep the rounding of all that was ever in it, so
that the same window had other bits on another day; so each row adds what it sees, and what additions round off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from daedalus.base.errors import DayError
from daedalus.sql.column_types import is_whole
from daedalus.windows.kinds.kind import Kind
from daedalus.windows.seen import Seen, machine_code
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_WORD = 32  # bits of the lower word of a sum of whole numbers
_LOW = (1 << _WORD) - 1
_REACH = 2.0**-64  # by which numbers are multiplied whose sum is too large on the way


def sum_of(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    import pyarrow as pa

    if not pa.types.is_integer(values.type):
        return [pa.array(column) for column in _added(seen, values, mean=False).T]
    whole = _whole(seen, values)
    beyond = (whole.high < -(1 << 31)) | (whole.high >= 1 << 31)
    if beyond.any():
        row, window = next(zip(*beyond.nonzero(), strict=True))
        total = (int(whole.high[row, window]) << _WORD) + int(whole.low[row, window])
        raise DayError(f"a sum of {measured.column} that BIGINT does not hold", where=measured.windows[window][0],
                       found=f"{total} for {measured.whose} {seen.names[row].as_py()}", expected="-2^63 to 2^63 - 1",
                       hint="agg: mean, or fewer events or a shorter window")  # fmt: skip
    return [pa.array(column) for column in ((whole.high << _WORD) + whole.low).T]


def mean_of(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_integer(values.type):
        means, number = _added(seen, values, mean=True), _numbers(seen)
    else:
        whole, number = _whole(seen, values), _numbers(seen)
        means = (whole.high * 2.0**_WORD + whole.low) / np.maximum(number, 1)
    return [pa.array(column, mask=count == 0) for column, count in zip(means.T, number.T, strict=True)]


class _Whole(NamedTuple):
    """Sums of whole numbers by row and window: high · 2^32 + low, low being a word."""

    high: np.ndarray
    low: np.ndarray


def _whole(seen: Seen, values: pa.Array) -> _Whole:
    import numpy as np

    numbers = values.to_numpy()
    numbers = (numbers if numbers.dtype == np.uint64 else numbers.astype(np.int64, copy=False))[seen.codes]
    if seen.whole and len(numbers) * max(-int(numbers.min(initial=0)), int(numbers.max(initial=0))) < 1 << 62:
        found = _differences(seen, numbers.astype(np.int64, copy=False))
        return _Whole(found >> _WORD, found & _LOW)
    high, low = (numbers >> _WORD).astype(np.int64), (numbers & _LOW).astype(np.int64)
    if seen.whole:
        sums = [_differences(seen, word) for word in (high, low)]
    else:
        sums = [np.empty_like(seen.begins) for _ in range(2)]
        machine_code(_add_words)(*seen.skipping, high, low, *sums)
    return _Whole(sums[0] + (sums[1] >> _WORD), sums[1] & _LOW)


def _differences(seen: Seen, numbers: np.ndarray) -> np.ndarray:
    """Sums of all that rows see, by row and window, from running totals."""
    import numpy as np

    totals = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(numbers, out=totals[1:])
    return np.asarray(totals[seen.ends][:, None] - totals[seen.begins])


def _numbers(seen: Seen) -> np.ndarray:
    """How many events each row sees, by row and window."""
    import numpy as np

    if seen.whole:
        return np.asarray(seen.ends[:, None] - seen.begins)
    ones, found = np.ones(len(seen.codes), np.int64), np.empty_like(seen.begins)
    machine_code(_add_words)(*seen.skipping, ones, ones, found, np.empty_like(found))
    return found


def _added(seen: Seen, values: pa.Array, *, mean: bool) -> np.ndarray:
    """Sums, or means, of floats by row and window; NaN for means of nothing. Each NaN has the same bits."""
    import numpy as np
    import pyarrow as pa

    numbers = values.cast(pa.float64(), safe=False).to_numpy()[seen.codes]
    number = _numbers(seen) if mean else 1
    with np.errstate(all="ignore"):
        total, special = _compensated(seen, numbers)
        found = np.where(np.isfinite(special), total / number, special)
        if (again := ~np.isfinite(total) & np.isfinite(special)).any():
            total, _ = _compensated(seen, numbers * _REACH)
            found = np.where(again, total / number / _REACH, found)
    return np.where(np.isnan(found), np.nan, found)


def _compensated(seen: Seen, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sums of the finite numbers, sums of the others), by row and window."""
    import numpy as np

    total, rest, special = (np.empty(seen.begins.shape) for _ in range(3))
    machine_code(_add)(*seen.skipping, numbers, total, rest, special)
    return total + rest, special


def _add(
    begins: np.ndarray, ends: np.ndarray, owners: np.ndarray, own: np.ndarray, numbers: np.ndarray, sums: np.ndarray,
    rests: np.ndarray, specials: np.ndarray,
) -> None:  # fmt: skip
    """Kernel: adds going back over all events that a row sees, and apart from that what each addition rounds off."""
    for row in range(len(ends)):
        at, total, rest, special = ends[row], 0.0, 0.0, 0.0
        for window in range(begins.shape[1]):
            while at > begins[row, window]:
                at -= 1
                if own[row] >= 0 and owners[at] == own[row]:
                    continue
                number = numbers[at]
                if number - number != 0:  # NaN and infinities
                    special += number
                    continue
                after = total + number
                part = after - total
                rest += (total - (after - part)) + (number - part)
                total = after
            sums[row, window], rests[row, window], specials[row, window] = total, rest, special


def _add_words(
    begins: np.ndarray, ends: np.ndarray, owners: np.ndarray, own: np.ndarray, high: np.ndarray, low: np.ndarray,
    highs: np.ndarray, lows: np.ndarray,
) -> None:  # fmt: skip
    """Kernel: adds both words over all events that a row sees."""
    for row in range(len(ends)):
        at, above, below = ends[row], 0, 0
        for window in range(begins.shape[1]):
            while at > begins[row, window]:
                at -= 1
                if own[row] < 0 or owners[at] != own[row]:
                    above += high[at]
                    below += low[at]
            highs[row, window], lows[row, window] = above, below


def _sum(i: int, among: str, measured: Measured) -> str:
    if measured.gives == "BIGINT":
        return f"CAST(sum(value) {among} AS BIGINT)"
    return f"fsum(CAST(value AS DOUBLE)) {among}"


def _mean(i: int, among: str, measured: Measured) -> str:
    if is_whole(measured.type):
        return f"CAST(sum(value) {among} AS DOUBLE) / (count(*) {among})"
    return f"favg(CAST(value AS DOUBLE)) {among}"


KINDS = {"sum": Kind(_sum, sum_of), "mean": Kind(_mean, mean_of)}
