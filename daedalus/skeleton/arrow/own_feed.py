"""The steps `spine` and `history` of a feed with names of its own, or with times as whole numbers.

Only the reading of a file is another than in feed_files.py: its columns get the spine's names, its times become times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.days import DAY_US
from daedalus.config.columns import REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.inputs.schemas import OwnGroup
from daedalus.skeleton.arrow.day_events import _write, columns_of, write_sorted
from daedalus.skeleton.arrow.feed_files import Codes, FeedPart, FileRows, _typed, is_known
from daedalus.skeleton.arrow.feed_rows import _clean, _counts, _since_epoch
from daedalus.skeleton.arrow.pool_and_sessions import has_one_of
from daedalus.sql.own_columns import TIME, UNITS, OwnColumns
from daedalus.tables.artifacts import Files, fits, fits_whole, read_file, read_table, write_table
from daedalus.tables.held import FEED, HELD
from daedalus.tables.side_by_side import side_by_side
from daedalus.tables.sorting import numbers_of, whole

if TYPE_CHECKING:
    import pyarrow as pa

_FAR = 1 << 62  # microseconds: what is beyond, the SQL may refuse


def write_own_spine(part: FeedPart, order: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `spine`, see `write_spine`."""
    read = _read(part, files)
    found = _clean(part, read, order) if read is not None else None
    if read is None or found is None:
        return None
    day = _since_epoch(part.day)
    of_day = sum(int((rows.keyed & (rows.days == day)).sum()) for _, rows in read)
    counts = {**_counts(part, read), "duplicates": of_day - found.num_rows, "spine": found.num_rows}
    return {**counts, "rows": write_table(out, found.select(list(SPINE_COLUMNS)))}


def write_own_history(
    part: FeedPart, events: Sequence[str], column: str, contributor: bool, filtered: Sequence[str],
    files: Files, out: Path,
) -> Mapping[str, int] | None:  # fmt: skip
    """The step `history` of one day, see `write_history`."""
    import pyarrow.compute as pc

    read = _read(part, files) if not filtered or fits_whole(files["pool"][0]) else None
    wanted = columns_of(column, contributor, filtered)
    rows = _clean(part, read, list(SPINE_COLUMNS), events, wanted) if read is not None else None
    if rows is None:
        return None
    if filtered:
        pool = whole(read_table(files["pool"][0], ["id"])["id"])
        asked = has_one_of(rows["event"], filtered)
        rows = rows.filter(pc.or_(pc.invert(asked), pc.is_in(rows["artwork_id"], value_set=pool)))
    return _write(rows, column, False, contributor, out)


def write_own_feed_events(
    part: FeedPart, events: Sequence[str], wanted: Sequence[str], files: Files, out: Path
) -> Mapping[str, int] | None:
    """The step `history` of one day of rows, see `write_feed_events`."""
    read = _read(part, files)
    rows = _clean(part, read, list(SPINE_COLUMNS), events, wanted) if read is not None else None
    return None if rows is None else write_sorted(rows, out)


def _read(part: FeedPart, files: Files) -> list[tuple[int, FileRows]] | None:
    """(days by which its partition is late, rows) of each file; None if they are of other types, or too many."""
    if not all(map(is_known, part.groups)) or not fits(part.rows):
        return None
    codes = Codes.of(part.groups, part.platforms)
    late, asked = [], []
    for i, group in enumerate(part.groups):
        for path, digest in zip(files[f"feed_{i}"], part.digests[f"feed_{i}"], strict=True):
            own = group.own if isinstance(group, OwnGroup) else OwnColumns()
            asked.append(partial(_rows_of_file, path, digest, group.schema, own, codes))
            late.append(group.late)
    found = side_by_side(asked, part.rows)
    rows = [(days, one) for days, one in zip(late, found, strict=True) if one is not None]
    return rows if len(rows) == len(asked) else None


def _rows_of_file(
    path: Path | str, digest: str, schema: Mapping[str, str], own: OwnColumns, codes: Codes
) -> FileRows | None:
    """The rows of a file by the spine's names; None if only the SQL can read it."""
    key = f"{digest} {codes} {own}"
    if (held := HELD.get(key, FEED)) is None and (held := _of_file(path, schema, own, codes)) is not None:
        HELD.put(key, held, held.table.nbytes + held.days.nbytes + held.keyed.nbytes, FEED)
    return held


def _of_file(path: Path | str, schema: Mapping[str, str], own: OwnColumns, codes: Codes) -> FileRows | None:
    import numpy as np
    import pyarrow as pa

    texts = [own.own(column) for column, kind in schema.items() if kind == "VARCHAR"]
    table = read_file(path, [own.own(column) for column in schema], numbered=texts)
    table = pa.table({column: table[own.own(column)] for column in schema})
    if own.unit:
        times = _times(table[TIME], own.unit)
        if times is None:
            return None
        table = table.set_column(table.column_names.index(TIME), TIME, times)
    if any(pa.types.is_timestamp(f.type) and f.type.unit not in ("us", "ms") for f in table.schema):
        return None
    rows = _typed(table, codes)
    if rows is None:
        return None
    keyed = np.ones(rows.num_rows, np.bool_)
    for column in REQUIRED_COLUMNS:
        if rows[column].null_count:
            keyed &= np.asarray(rows[column].is_valid())
    return FileRows(rows, keyed, numbers_of(rows[TIME])[0] // DAY_US)


def _times(column: pa.ChunkedArray, unit: str) -> pa.Array | None:
    """Whole numbers as times, nanoseconds rounded down; None where some are too far."""
    import numpy as np
    import pyarrow as pa

    numbers, missing = numbers_of(whole(column).cast(pa.int64()))
    size = UNITS.get(unit, 1)
    if len(numbers) and (int(numbers.max()) > _FAR // size or int(numbers.min()) < -(_FAR // size)):
        return None
    micros = numbers // 1000 if unit == "ns" else numbers * size
    return pa.array(micros.astype(np.int64), pa.int64(), mask=missing).view(pa.timestamp("us"))
