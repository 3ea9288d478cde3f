"""A feed day's clean rows, as `FeedDay.clean` selects them; the step `spine`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from daedalus.base.days import EPOCH, Day
from daedalus.skeleton.arrow.feed_files import (
    TEXTS,
    FeedPart,
    FileRows,
    Form,
    held_rows,
    is_known,
    rows_of_file,
    rows_of_files,
)
from daedalus.tables.artifacts import Files, SessionNumbers, fits, hold_sessions, write_table
from daedalus.tables.side_by_side import side_by_side
from daedalus.tables.sorting import (
    Ranks,
    first_of_equal,
    has_few_values,
    in_one_piece,
    keys_of,
    order_of,
    ranked,
    whole,
)
from daedalus.tables.taken import taken, text_of, with_used_values

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from daedalus.inputs.schemas import Group

_Days: TypeAlias = "int | np.ndarray"  # a day since 1970, of all rows or of each


def write_spine(part: FeedPart, order: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `spine`; `order` are the columns that its rows are sorted by."""
    read, day = _read(part, files), _since_epoch(part.day)
    if read is None:
        return None
    clean = _clean([(day, rows) for _, rows in read], part.deduplicate, order, part.names)
    if clean is None:
        return None
    of_day, rows = sum(int((rows.keyed & (rows.days == day)).sum()) for _, rows in read), len(clean.kept)
    counts = {**_counts(part, read), "duplicates": of_day - rows, "spine": rows}
    if sessions := clean.sessions():
        hold_sessions(out, sessions)
    return {**counts, "rows": write_table(out, clean.taken(part.names, coded=True))}


def clean_rows(
    parts: Sequence[FeedPart], events: Sequence[str], wanted: Sequence[str], files: Files
) -> pa.Table | None:
    """The columns `wanted` of the clean rows of one or more days that have one of `events`, in any order; None where
    the SQL must run."""
    read = _read_of_days(parts, files)
    if read is None:
        return None
    clean = _clean(read, parts[0].deduplicate, parts[0].names, wanted, events)
    return clean and clean.taken(wanted)


def _since_epoch(day: Day) -> int:
    return day.toordinal() - EPOCH


def _read(part: FeedPart, files: Files) -> list[tuple[int, FileRows]] | None:
    """(days by which its partition is late, rows) of each file; None if they are of other types, or too many."""
    if not is_known(part) or not fits(part.rows):
        return None
    form = Form.of(part)
    late, asked = [], []
    for group, bound in part.bound():
        for path, digest in zip(files[bound], part.digests[bound], strict=True):
            asked.append(partial(rows_of_file, path, digest, group, form))
            late.append(group.late)
    found = []
    for days, rows in zip(late, side_by_side(asked, part.rows), strict=True):
        if rows is None:
            return None
        found.append((days, rows))
    return found


def _read_of_days(parts: Sequence[FeedPart], files: Files) -> list[tuple[_Days, FileRows]] | None:
    """(the day that rows must be of, rows) of the files of one or more days; None as above.

    Files of several days, which have few rows, are read together, unless one of them is read for several days; those
    that are in memory are not read.
    """
    paths = [path for part in parts for _, bound in part.bound() for path in files[bound]]
    if len(parts) > 1 and len({*paths}) == len(paths):
        return _read_together(parts, files)
    found: list[tuple[_Days, FileRows]] = []
    for part in parts:
        read = _read(part, files)
        if read is None:
            return None
        found += ((_since_epoch(part.day), rows) for _, rows in read)
    return found


def _read_together(parts: Sequence[FeedPart], files: Files) -> list[tuple[_Days, FileRows]] | None:
    import numpy as np

    if not all(map(is_known, parts)) or not fits(sum(part.rows for part in parts)):
        return None
    found: list[tuple[_Days, FileRows]] = []
    asked: dict[tuple[Group, Form], list[tuple[Path | str, int]]] = {}
    for part in parts:
        day, form = _since_epoch(part.day), Form.of(part)
        for group, bound in part.bound():
            for path, digest in zip(files[bound], part.digests[bound], strict=True):
                if rows := held_rows(digest, group, form):
                    found.append((day, rows))
                else:
                    asked.setdefault((group, form), []).append((path, day))
    for (group, form), members in asked.items():
        read = rows_of_files([path for path, _ in members], group, form)
        if read is None:
            return None
        together, lengths = read
        found.append((np.repeat([day for _, day in members], lengths), together))
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
    read: Sequence[tuple[_Days, FileRows]], deduplicate: bool, order: Sequence[str], wanted: Sequence[str],
    events: Sequence[str] | None = None,
) -> _Clean | None:  # fmt: skip
    """The rows of files that are of the day they must be of and have all keys, sorted, without duplicates, with the
    columns `wanted`; None where they have no sort keys.

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
            table, mask = _some_rows(table, mask), np.ones(int(mask.sum()), np.bool_)
        tables.append(table)
        masks.append(mask)
    table, kept = pa.concat_tables(tables), np.flatnonzero(np.concatenate(masks))
    sorted_by = (*order, *(TEXTS if deduplicate else ())) if len(kept) else ()
    found = _columns(table, sorted_by, wanted)
    values, of_sessions = {name: column.values for name, column in found.items()}, None
    if sorted_by:
        of_sessions = found["feed_session"].ranks
        keys = keys_of(found.pop(column).ranks for column in sorted_by)  # each is let go of when it is in its number
        if keys is None:
            return None
        keys = keys if len(kept) == table.num_rows else [key[kept] for key in keys]
        places = order_of(keys)
        kept = kept[first_of_equal(keys, places) if deduplicate else places]
    return _Clean(values, kept, of_sessions)


def _some_rows(table: pa.Table, mask: np.ndarray) -> pa.Table:
    """Some rows of a file, and of its text no more values than they have, which may be few of many."""
    import pyarrow as pa

    def found(column: pa.ChunkedArray) -> pa.Array:
        array = whole(column)
        few = pa.types.is_dictionary(array.type) and len(array.dictionary) > len(array)
        return with_used_values(array) if few else array

    return pa.table(list(map(found, table.filter(pa.array(mask)).columns)), table.schema.names)


class _Column(NamedTuple):
    """A column in one piece, and what `keys_of` takes of it; None where it is not asked for, or there is no such."""

    values: pa.Array
    ranks: Ranks | None


class _Clean(NamedTuple):
    """Clean rows: columns of the rows that were read, which of these are kept, in their order, and `ranked` sessions of
    the rows that were read, if there are any."""

    columns: Mapping[str, pa.Array]
    kept: np.ndarray
    of_sessions: Ranks | None

    def taken(self, names: Sequence[str], *, coded: bool = False) -> pa.Table:
        """Columns of the rows that are kept; if `coded`, text of few values as numbers of them."""
        import pyarrow as pa

        places = pa.array(self.kept)
        columns = side_by_side([partial(_taken, self.columns[name], places, coded) for name in names], len(places))
        return pa.table(dict(zip(names, columns, strict=True)))

    def sessions(self) -> SessionNumbers | None:
        """The sessions of the rows that are kept, if there are any."""
        import numpy as np

        if self.of_sessions is None:
            return None
        ((numbers, count),) = self.of_sessions
        return SessionNumbers(numbers[self.kept].astype(np.int32), count - 1)


def _columns(table: pa.Table, sorted_by: Sequence[str], wanted: Sequence[str]) -> dict[str, _Column]:
    """The columns of a table that are asked for, ranked those that are `sorted_by`."""
    import pyarrow as pa

    def found(name: str) -> _Column:
        values = in_one_piece(table[name])
        return _Column(values, ranked(values) if name in sorted_by else None)

    texts = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    asked = dict.fromkeys([*sorted_by, *wanted])
    names = [*filter(asked.__contains__, texts), *(name for name in asked if name not in texts)]  # slow ones first
    return dict(zip(names, side_by_side([partial(found, name) for name in names], table.num_rows), strict=True))


def _taken(column: pa.Array, places: pa.Array, coded: bool) -> pa.Array:
    """The values at `places`; numbers of values as text, but for few values if `coded`."""
    import pyarrow as pa

    text = pa.types.is_dictionary(column.type)
    if column.null_count == len(column):  # no file has the column
        return pa.nulls(len(places), pa.string() if text else column.type)
    found = taken(column, places)
    return text_of(found) if text and not (coded and has_few_values(found)) else found
