"""A feed day's rows in parts, a range of users each: each is computed as the whole is, from files of its rows.

Where ranges begin is found in a sample of the rows, so that parts have about as many rows each, however many one user
has: that user is in one part alone. Equal rows have the same user, so they meet in one part. Rows without a user, which
are only counted, are in the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.actions.actions import Bound
from daedalus.inputs.schemas import Group, OwnGroup
from daedalus.skeleton.arrow.feed_files import FeedPart
from daedalus.sql.own_columns import OwnColumns
from daedalus.stagecache.action import Counts, Part, Parts
from daedalus.windows.slices import USER, join, write_unpacked

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_WHOLE = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT")
# Types of columns that are the same in a file that pyarrow writes of what it read.
_KNOWN = (*_WHOLE, "VARCHAR", "UUID", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP_NS", "FLOAT", "DOUBLE", "BOOLEAN", "DATE")
_BATCH = 65_536
_SAMPLE = 1_000_000


def has_ranges(groups: Sequence[Group]) -> bool:
    """Whether files of these types can be cut by their users."""
    users = {schema[USER] for group in groups if USER in (schema := dict(group.columns))}
    known = all(kind in _KNOWN for group in groups for _, kind in group.columns)
    alike = len(users) == 1 or users <= set(_WHOLE)
    return known and alike and all(group.format == "parquet" and USER in dict(group.columns) for group in groups)


def parts_of_users(
    part: FeedPart, fast: Callable[[tuple[FeedPart, ...]], partial] | None, run: partial[Counts]
) -> Parts:
    """The parts of an action that is `run`; `fast` is what may run in place of its statement."""

    def run_part(which: Part, upstream: Mapping[str, Path], out: Path) -> Counts:
        counts: Counts = run(upstream, out, cut=partial(_cut, part, fast, which))
        return counts

    return Parts(lambda known: part.rows, run_part, join)


def _cut(
    part: FeedPart, fast: Callable[[tuple[FeedPart, ...]], partial] | None, which: Part, bound: Bound, folder: Path
) -> tuple[Bound, partial | None]:
    """The files of a part's rows in place of the feed's, and what may read them."""
    files = list(part.bound())
    least, end = _range(which, [(_own(group, USER), path) for group, name in files for path in bound[name]], part.rows)
    now, rows = dict(bound), 0
    for group, name in files:
        now[name] = []
        for i, path in enumerate(bound[name]):
            made = folder / f"{name}-{i}.parquet"
            columns = list(dict.fromkeys(_own(group, column) for column, _ in group.columns))
            rows += _write_range(path, columns, _own(group, USER), least, end, made)
            now[name].append(made)
    digests = {name: [f"{one} {which}" for one in found] for name, found in part.digests.items()}
    return now, fast and fast((part._replace(digests=digests, rows=rows),))


def _own(group: Group, column: str) -> str:
    own = group.own if isinstance(group, OwnGroup) else OwnColumns()
    return own.own(column)


def _range(which: Part, files: Sequence[tuple[str, Path | str]], rows: int) -> tuple[Any, Any]:
    """The first user of a part, None for the first part, and the first behind it, None for the last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    step, sample = rows // _SAMPLE + 1, []
    for column, path in files:
        with _opened(path) as file:
            for batch in file.iter_batches(_BATCH, columns=[column], use_threads=False):
                sample.append(_comparable(batch.column(0))[::step].drop_null())
    users = pa.concat_arrays(sample) if sample else pa.nulls(0)
    if not len(users):
        return (None, None) if not which.index else (pa.scalar(None, users.type),) * 2  # which no user is above
    ascending = users.take(pc.sort_indices(users))
    begins = [ascending[len(ascending) * i // which.count] for i in (which.index, which.index + 1) if i < which.count]
    return begins[0] if which.index else None, begins[1] if len(begins) > 1 else None


def _write_range(path: Path | str, columns: Sequence[str], user: str, least: Any, end: Any, out: Path) -> int:
    """Writes the rows of a file whose users are in a range; returns their number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with _opened(path) as file:
        schema = pa.schema([file.schema_arrow.field(name) for name in columns])

        def found() -> Iterator[pa.Table]:
            for batch in file.iter_batches(_BATCH, columns=list(columns), use_threads=False):
                users = _comparable(batch[user])  # in the order of the file, not of `columns`
                if least is None:
                    mask = pc.less(users, end).fill_null(True) if end is not None else None
                else:
                    mask = pc.greater_equal(users, least)
                    mask = pc.and_(mask, pc.less(users, end)) if end is not None else mask
                table = pa.Table.from_batches([batch]).select(columns)
                yield table if mask is None else table.filter(mask)

        return write_unpacked(out, schema, found())


def _opened(path: Path | str) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, coerce_int96_timestamp_unit="us")


def _comparable(users: pa.Array) -> pa.Array:
    """Ids of all files in one type, in which they ascend as their text does if they are UUIDs."""
    import pyarrow as pa

    if isinstance(users, pa.ExtensionArray):
        return users.storage.cast(pa.binary())
    if pa.types.is_integer(users.type):
        return users.cast(pa.int64())
    return users.cast(pa.string()) if not pa.types.is_string(users.type) else users
