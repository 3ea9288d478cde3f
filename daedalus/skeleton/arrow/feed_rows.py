"""A feed day's clean rows, as `FeedDay.clean` selects them; the step `spine`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.days import Day
from daedalus.config.columns import SPINE_COLUMNS
from daedalus.skeleton.arrow.feed_files import TEXTS, Codes, FeedPart, FileRows, is_known, rows_of_file
from daedalus.tables.artifacts import Files, fits, write_table
from daedalus.tables.side_by_side import side_by_side
from daedalus.tables.sorting import first_of_equal, order_of, sort_keys

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH = Day(1970, 1, 1).toordinal()


def write_spine(part: FeedPart, order: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `spine`; `order` are the columns that its rows are sorted by."""
    read, day = _read(part, files), _since_epoch(part.day)
    if read is None:
        return None
    found = _clean([(day, rows) for _, rows in read], part.deduplicate, order)
    if found is None:
        return None
    of_day = sum(int((rows.keyed & (rows.days == day)).sum()) for _, rows in read)
    counts = {**_counts(part, read), "duplicates": of_day - found.num_rows, "spine": found.num_rows}
    return {**counts, "rows": write_table(out, found.select(list(SPINE_COLUMNS)))}


def clean_rows(
    parts: Sequence[FeedPart], events: Sequence[str], wanted: Sequence[str], files: Files
) -> pa.Table | None:
    """The columns `wanted` of the clean rows of one or more days that have one of `events`, in any order; None where
    the SQL must run."""
    read: list[tuple[int, FileRows]] = []
    for part in parts:
        found = _read(part, files)
        if found is None:
            return None
        read += ((_since_epoch(part.day), rows) for _, rows in found)
    return _clean(read, parts[0].deduplicate, list(SPINE_COLUMNS), events, wanted)


def _since_epoch(day: Day) -> int:
    return day.toordinal() - _EPOCH


def _read(part: FeedPart, files: Files) -> list[tuple[int, FileRows]] | None:
    """(days by which its partition is late, rows) of each file; None if they are of other types, or too many."""
    if not all(map(is_known, part.groups)) or not fits(part.rows):
        return None
    codes = Codes.of(part.groups, part.platforms)
    late, asked = [], []
    for group, bound in part.bound():
        for path, digest in zip(files[bound], part.digests[bound], strict=True):
            asked.append(partial(rows_of_file, path, digest, group, codes))
            late.append(group.late)
    found = []
    for days, rows in zip(late, side_by_side(asked, part.rows), strict=True):
        if rows is None:
            return None
        found.append((days, rows))
    return found


def _counts(part: FeedPart, read: Sequence[tuple[int, FileRows]]) -> dict[str, int]:
    """Rows of each partition that were read, lack a key, or are of a day that may not lie there."""
    found = {"read": 0, "null_keys": 0, "strays": 0}
    lateness, day = part.lateness, _since_epoch(part.day)
    for late, rows in read:
        sign = f"+{late}" if late else ""
        stray = (rows.days < day + late - lateness.after) | (rows.days > day + late + lateness.before)
        numbers = {"read": len(rows.days), "null_keys": len(rows.days) - int(rows.keyed.sum()),
                   "strays": int((rows.keyed & stray).sum())}  # fmt: skip
        for name, number in numbers.items():
            found[name + sign] = found.get(name + sign, 0) + number
    return found


def _clean(
    read: Sequence[tuple[int, FileRows]], deduplicate: bool, order: Sequence[str], events: Sequence[str] | None = None,
    wanted: Sequence[str] = tuple(SPINE_COLUMNS),
) -> pa.Table | None:  # fmt: skip
    """The rows of each file that are of its day, those that have all keys, sorted, without duplicates, or columns
    `wanted` of them; None where they have no sort keys.

    A file that has rows of several days is there for each. Files most of whose rows are of the day stay as they are
    until the end: what is sorted is their places.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    tables, masks, asked = [], [], pa.array(events, pa.string()) if events is not None else None
    for day, rows in read:
        table, mask = rows.table, rows.keyed & (rows.days == day)
        if asked is not None:
            mask &= np.asarray(pc.is_in(table["event"].chunk(0), value_set=asked))
        if 2 * int(mask.sum()) < len(mask):
            table, mask = table.filter(pa.array(mask)), np.ones(int(mask.sum()), np.bool_)
        tables.append(table)
        masks.append(mask)
    table, kept = pa.concat_tables(tables).combine_chunks(), np.flatnonzero(np.concatenate(masks))
    if len(kept):
        keys = sort_keys([table[column] for column in (*order, *(TEXTS if deduplicate else ()))])
        if keys is None:
            return None
        keys = keys if len(kept) == table.num_rows else [key[kept] for key in keys]
        places = order_of(keys)
        kept = kept[first_of_equal(keys, places) if deduplicate else places]
    columns = side_by_side([partial(_taken, table[name], pa.array(kept)) for name in wanted], len(kept))
    return pa.table(dict(zip(wanted, columns, strict=True)))


def _taken(column: pa.ChunkedArray, places: pa.Array) -> pa.ChunkedArray:
    """The values at `places`; as text, if they are numbers of values."""
    import pyarrow as pa

    taken = column.take(places)
    return taken.cast(pa.string()) if pa.types.is_dictionary(taken.type) else taken
