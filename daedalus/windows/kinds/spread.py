"""`std`: the sample standard deviation. What is far from zero and near each other loses no digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from daedalus.windows.kinds.kind import Kind
from daedalus.windows.kinds.seen import Seen, machine_code
from daedalus.windows.spec import Measured

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def std(seen: Seen, values: pa.Array, measured: Measured) -> list[pa.Array]:
    import numpy as np
    import pyarrow as pa

    numbers = values.cast(pa.float64(), safe=False).to_numpy()[seen.codes]
    counts, found = np.empty_like(seen.begins), np.empty(seen.begins.shape)
    machine_code(_deviate)(*seen.skipping, numbers, counts, found)
    return [pa.array(column, mask=number < 2) for column, number in zip(found.T, counts.T, strict=True)]


def _deviate(
    begins: np.ndarray, ends: np.ndarray, owners: np.ndarray, own: np.ndarray, numbers: np.ndarray, counts: np.ndarray,
    found: np.ndarray,
) -> None:  # fmt: skip
    """Kernel: per row and window the largest magnitude, the mean, and then the squares of what differs from it.

    Numbers are divided by a power of 2 near the largest, so that no square is too large or too small, and the newest
    is taken off before they are added: equal numbers have a deviation of 0.
    """
    for row in range(len(ends)):
        for window in range(begins.shape[1]):
            number, largest, newest, finite = 0, 0.0, 0.0, True
            for at in range(ends[row] - 1, begins[row, window] - 1, -1):
                if own[row] >= 0 and owners[at] == own[row]:
                    continue
                newest = numbers[at] if number == 0 else newest
                largest = max(largest, abs(numbers[at]))
                finite = finite and numbers[at] - numbers[at] == 0
                number += 1
            counts[row, window] = number
            found[row, window] = math.nan
            if number < 2 or not finite:
                continue
            unit = math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > 0 else 1.0
            base, total = newest / unit, 0.0
            for at in range(ends[row] - 1, begins[row, window] - 1, -1):
                if own[row] < 0 or owners[at] != own[row]:
                    total += numbers[at] / unit - base
            mean, rest, squares = base + total / number, 0.0, 0.0
            for at in range(ends[row] - 1, begins[row, window] - 1, -1):
                if own[row] < 0 or owners[at] != own[row]:
                    away = numbers[at] / unit - mean
                    rest += away
                    squares += away * away
            found[row, window] = math.sqrt(max(squares - rest * rest / number, 0.0) / (number - 1)) * unit


def _sql(i: int, among: str, measured: Measured) -> str:
    finite = f"stddev_samp(CASE WHEN isfinite(CAST(value AS DOUBLE)) THEN CAST(value AS DOUBLE) END) {among}"
    known = f"CASE WHEN bool_and(isfinite(CAST(value AS DOUBLE))) {among} THEN {finite} ELSE CAST('nan' AS DOUBLE) END"
    return f"CASE WHEN count(*) {among} > 1 THEN {known} END"


KINDS = {"std": Kind(_sql, std)}
