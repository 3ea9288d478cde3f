"""`std`: the sample standard deviation. What is far from zero and near each other loses no digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daedalus.windows.kinds.kind import Kind
from daedalus.windows.seen import Seen
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def std(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    import numpy as np
    import pyarrow as pa

    from daedalus.windows.kinds import compiled_spread

    counts, found = np.empty_like(seen.begins), np.empty(seen.begins.shape)
    numbers = values.cast(pa.float64(), safe=False).to_numpy()
    if not pa.types.is_integer(values.type):
        compiled_spread.from_doubles(*seen.skipping, numbers[seen.codes], counts, found)
    else:
        away = _above_the_least(values)[seen.codes]
        if seen.whole and not (away >> np.uint64(32)).any():
            compiled_spread.from_running(seen.begins, seen.ends, away, counts, found)
        else:
            compiled_spread.from_whole(*seen.skipping, away, numbers[seen.codes], counts, found)
    return [pa.array(column, mask=number < 2) for column, number in zip(found.T, counts.T, strict=True)]


def _above_the_least(values: pa.Array) -> np.ndarray:
    """How far whole numbers are above the least of them."""
    import numpy as np

    numbers = values.to_numpy()
    least = np.uint64(int(numbers.min(initial=0)) % (1 << 64))
    whole = numbers if numbers.dtype == np.uint64 else numbers.astype(np.int64, copy=False).view(np.uint64)
    return np.asarray(whole - least)  # wraps around, which is what is meant


def _sql(i: int, among: str, measured: Measured) -> str:
    finite = f"stddev_samp(CASE WHEN isfinite(CAST(value AS DOUBLE)) THEN CAST(value AS DOUBLE) END) {among}"
    known = f"CASE WHEN bool_and(isfinite(CAST(value AS DOUBLE))) {among} THEN {finite} ELSE CAST('nan' AS DOUBLE) END"
    return f"CASE WHEN count(*) {among} > 1 THEN {known} END"


KINDS = {"std": Kind(_sql, std)}
