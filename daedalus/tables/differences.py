"""What differs between two versions of a table, by key, and whether a file has such keys; without DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.base.days import Day, end_of
from daedalus.tables.artifacts import fits_whole, read_file
from daedalus.tables.sorting import differs, numbers_of, order_of, sort_keys, whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LEAST = -(1 << 63)  # of a time
_COPIES = 3  # of a table in memory: the old one, the new one, and what orders and compares them


class Changed(NamedTuple):
    """The keys whose rows differ, and for tables with a row per key and time these times in microseconds since 1970;
    keys may repeat."""

    keys: pa.Array
    times: np.ndarray | None

    def until(self, day: Day) -> pa.Array:
        """The keys with a row that differs and is of a time before the end of a day; all where rows have no times."""
        import pyarrow as pa

        return self.keys if self.times is None else self.keys.filter(pa.array(self.times < end_of(day)))


def changed_among(old: Path, new: Path, key: str, time: str = "") -> Changed | None:
    """What differs between two files with the same columns, in which each key, or each key and `time`, has one row.

    None where DuckDB must say it: for files that are too large, keys that repeat, are NULL, or are neither text nor
    whole numbers, and columns that Arrow cannot compare. A time that is NULL is before all others.
    """
    import pyarrow as pa

    if not (fits_whole(old, times=_COPIES) and fits_whole(new, times=_COPIES)):
        return None
    before, after = read_file(old), read_file(new)
    if not _is_key(before[key]) or not _is_key(after[key]):
        return None
    try:
        return _changed(before, after, [key, *([time] if time else [])])
    except pa.ArrowNotImplementedError:  # of types that Arrow cannot compare
        return None


def _changed(before: pa.Table, after: pa.Table, by: Sequence[str]) -> Changed | None:
    import numpy as np
    import pyarrow as pa

    pairs = _pairs(before, after, by)
    if pairs is None:
        return None
    olds, news = map(pa.array, pairs)
    alike = np.ones(len(olds), np.bool_)
    for name in before.column_names:
        alike &= ~_unlike(whole(before[name]).take(olds), whole(after[name]).take(news))
    rows = []
    for side, places in zip((before, after), pairs, strict=True):
        stays = np.zeros(side.num_rows, np.bool_)
        stays[places[alike]] = True
        rows.append(side.select(list(by)).take(pa.array(np.flatnonzero(~stays))))
    found = pa.concat_tables(rows)
    if len(by) == 1:
        return Changed(whole(found[by[0]]), None)
    micros, missing = numbers_of(found[by[1]])
    return Changed(whole(found[by[0]]), micros if missing is None else np.where(missing, _LEAST, micros))


def _pairs(before: pa.Table, after: pa.Table, by: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """The places of rows with the same key in both; None where a key repeats, or has no order that is known here."""
    import numpy as np
    import pyarrow as pa

    keys = sort_keys(pa.concat_tables([before.select(list(by)), after.select(list(by))]).columns)
    if keys is None:
        return None
    order = order_of(keys)
    second = np.flatnonzero(~differs(keys, order))[1:]  # the first row is like none
    olds, news = order[second - 1], order[second] - before.num_rows
    return (olds, news) if (olds < before.num_rows).all() and (news >= 0).all() else None


def _is_key(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return not column.null_count and (pa.types.is_integer(column.type) or pa.types.is_string(column.type))


def _unlike(one: pa.Array, other: pa.Array) -> np.ndarray:
    """Where two columns differ, floats in any bit."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    there = np.asarray(one.is_valid()) & np.asarray(other.is_valid())
    unlike = np.asarray(one.is_valid()) != np.asarray(other.is_valid())
    if pa.types.is_list(one.type):
        lengths, others = (np.asarray(side.value_lengths().fill_null(0)) for side in (one, other))
        unlike |= there & (lengths != others)
        same = there & (lengths == others)
        members = [side.filter(pa.array(same)).flatten() for side in (one, other)]
        unlike[np.repeat(np.flatnonzero(same), lengths[same])[_unlike(*members)]] = True
        return unlike
    bits = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}.get(one.type)
    if bits:
        one, other = one.view(bits), other.view(bits)
    return unlike | np.asarray(pc.not_equal(one, other).fill_null(False))


def has_any(path: Path, column: str, keys: pa.Array) -> bool:
    """Whether a file has one of the keys in a column, which is read by row group."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not len(keys):
        return False
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(columns=[column], use_threads=False)
        return any(pc.any(pc.is_in(batch.column(0), value_set=keys)).as_py() for batch in batches)
