"""What differs between two versions of a table, by key, and whether a file has such keys; without DuckDB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.tables.artifacts import fits_whole, read_file
from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import pyarrow as pa


def changed_among(old: Path, new: Path, key: str) -> pa.Array | None:
    """The keys whose rows differ between two files with the same columns; None where DuckDB must say it: for files that
    are too large, keys that repeat, are NULL, or are neither text nor whole numbers, and columns that Arrow cannot
    compare."""
    import pyarrow as pa

    if not (fits_whole(old) and fits_whole(new)):
        return None
    before, after = read_file(old), read_file(new)
    if not _is_key(before[key]) or not _is_key(after[key]) or any(map(pa.types.is_nested, before.schema.types)):
        return None
    try:
        return _changed(before, after, key)
    except pa.ArrowNotImplementedError:  # of types that Arrow cannot compare
        return None


def _changed(before: pa.Table, after: pa.Table, key: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    keys, others = whole(after[key]), whole(before[key])
    places = pc.index_in(keys, value_set=others)
    gone = others.filter(pc.invert(pc.is_in(others, value_set=keys)))
    differ = places.is_null()
    for name in before.column_names:
        differ = pc.or_(differ, _unlike(whole(before[name]).take(places), whole(after[name])))
    return pa.concat_arrays([keys.filter(differ), gone])


def _is_key(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pa.types.is_integer(column.type) or pa.types.is_string(column.type)
    return plain and not column.null_count and pc.count_distinct(column).as_py() == len(column)


def _unlike(one: pa.Array, other: pa.Array) -> pa.Array:
    """Where two columns differ, floats in any bit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bits = {pa.float32(): pa.int32(), pa.float64(): pa.int64()}.get(one.type)
    if bits:
        one, other = one.view(bits), other.view(bits)
    unlike = pc.not_equal(one, other).fill_null(False)
    return pc.or_(unlike, pc.xor(one.is_null(), other.is_null()))


def has_any(path: Path, column: str, keys: pa.Array) -> bool:
    """Whether a file has one of the keys in a column, which is read by row group."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(columns=[column], use_threads=False)
        return any(pc.any(pc.is_in(batch.column(0), value_set=keys)).as_py() for batch in batches)
