"""The steps `event_values` and `history` of one day: the events that an aggregation sees, each with its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.days import Day
from daedalus.skeleton.arrow.feed_files import FeedPart
from daedalus.skeleton.arrow.feed_rows import clean_rows
from daedalus.skeleton.arrow.pool_and_sessions import has_one_of, rows_of_events
from daedalus.skeleton.arrow.views import features_by_entity, is_plain
from daedalus.tables.artifacts import Files, fits, fits_whole, read_table, rows_of, write_table
from daedalus.tables.sorting import order_of, order_of_nearly_sorted, sort_keys, whole
from daedalus.windows.spec import PLACE, USERS, group_columns

if TYPE_CHECKING:
    import pyarrow as pa


def write_event_values(
    events: Sequence[str], column: str, entity: str, flatten: bool, contributor: bool, keys: Sequence[str],
    files: Files, out: Path, day: Day | None = None,
) -> Mapping[str, int] | None:  # fmt: skip
    """The step `event_values`; with `entity` the value is of the view, by that column of the rows, and with a `day` as
    of that. `keys` are columns of the feed; none: the user."""
    keys = keys or ["user_id"]
    needed = {*keys, "event_timestamp", entity or column, *(["artwork_id"] if contributor else [])}
    rows = rows_of_events(files, events, sorted(needed))
    if rows is None:
        return None
    if entity:
        found = features_by_entity(files["view"][0], entity, [column], rows[entity], day)
        if found is None or column in needed:
            return None
        rows = rows.append_column(column, found[column])
    return _write(rows, column, flatten, contributor, out, keys)


def write_history(
    parts: Sequence[FeedPart], events: Sequence[str], column: str, contributor: bool, filtered: Sequence[str],
    files: Files, out: Path,
) -> Mapping[str, int] | None:  # fmt: skip
    """The step `history` of the days of `parts`; events in `filtered` need an artwork that is in the pool."""
    import pyarrow.compute as pc

    further = [*(["artwork_id"] if contributor or filtered else []), *(["event"] if filtered else [])]
    wanted = list(dict.fromkeys(["user_id", "event_timestamp", column, *further]))
    rows = clean_rows(parts, events, wanted, files) if not filtered or fits_whole(files["pool"][0]) else None
    if rows is None:
        return None
    if filtered:
        pool = whole(read_table(files["pool"][0], ["id"])["id"])
        asked = has_one_of(rows["event"], filtered)
        rows = rows.filter(pc.or_(pc.invert(asked), pc.is_in(rows["artwork_id"], value_set=pool)))
    return _write(rows, column, False, contributor, out)


def write_feed_events(
    parts: Sequence[FeedPart], events: Sequence[str], wanted: Sequence[str], files: Files, out: Path
) -> Mapping[str, int] | None:
    """The step `history` of the days of `parts`, of rows as the feed has them, with the columns `wanted`."""
    rows = clean_rows(parts, events, wanted, files)
    return None if rows is None else write_sorted(rows, out)


def write_gathered(columns: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `history` of many days: the rows of blocks of fewer, sorted by all their columns."""
    import pyarrow as pa

    if not fits(sum(map(rows_of, files["events"]))):
        return None
    blocks = [read_table(path, columns) for path in files["events"]]
    if any(block.schema != blocks[0].schema for block in blocks):
        return None
    return write_sorted(pa.concat_tables(blocks).combine_chunks(), out)


def write_sorted(rows: pa.Table, out: Path) -> Mapping[str, int] | None:
    """Writes rows sorted by all their columns, which so are in a total order; None where only the SQL sorts them."""
    import pyarrow as pa

    keys = sort_keys(rows.columns)
    return None if keys is None else {"rows": write_table(out, rows.take(pa.array(order_of(keys))))}


def _write(
    rows: pa.Table, column: str, flatten: bool, contributor: bool, out: Path, keys: Sequence[str] = USERS
) -> Mapping[str, int] | None:
    """Writes the keys, time and value of the rows, sorted by them; a member of a list each if `flatten`."""
    import numpy as np
    import pyarrow as pa

    values = whole(rows[column])
    groups = USERS if tuple(keys) == USERS else group_columns(len(keys))
    columns: dict[str, Any] = dict(zip(groups, (rows[key] for key in keys), strict=True))
    columns["ts"] = rows["event_timestamp"]
    places = None
    if flatten:
        if not pa.types.is_list(values.type):
            return None
        lengths = np.asarray(values.value_lengths().fill_null(0))
        places = np.repeat(np.arange(len(values)), lengths)
        values = values.flatten()
    if not is_plain(values.type) or pa.types.is_floating(values.type) or pa.types.is_nested(values.type):
        return None
    if contributor:
        columns["artwork_id"] = rows["artwork_id"]
    if places is not None:
        columns = {name: whole(column).take(pa.array(places)) for name, column in columns.items()}
    names = [*groups, "ts", "value", *(["artwork_id"] if contributor else [])]
    found = pa.table({**columns, "value": values}).select(names)
    if values.null_count:
        found = found.filter(values.is_valid())
    if any(found[group].null_count for group in groups):
        found = found.drop_null()
    ranks = sort_keys(found.columns)
    return None if ranks is None else {"rows": write_table(out, found.take(pa.array(order_of_nearly_sorted(ranks))))}


def write_row_keys(keys: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `row_keys` of columns of the feed."""
    import numpy as np
    import pyarrow as pa

    (path,) = files["rows"]
    if not fits(rows_of(path)):
        return None
    rows = read_table(path, list(dict.fromkeys([*keys, "event_timestamp", "artwork_id"])))
    columns = dict(zip(group_columns(len(keys)), (rows[key] for key in keys), strict=True))
    taken = {name: rows[name] for name in ("event_timestamp", "artwork_id")}
    found = pa.table({**columns, **taken, PLACE: np.arange(rows.num_rows)}).drop_null()
    ranks = sort_keys([found[name] for name in columns])
    return None if ranks is None else {"rows": write_table(out, found.take(pa.array(order_of(ranks))))}
