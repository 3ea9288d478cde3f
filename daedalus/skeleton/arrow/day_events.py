"""The steps `event_values` and `history` of one day: the events that an aggregation sees, each with its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daedalus.base.days import Day
from daedalus.skeleton.arrow.feed_files import FeedPart
from daedalus.skeleton.arrow.feed_rows import clean_rows
from daedalus.skeleton.arrow.pool_and_sessions import has_one_of, rows_of_events
from daedalus.skeleton.arrow.views import among, features_by_entity, is_plain
from daedalus.tables.artifacts import Files, fits, fits_whole, read_table, rows_of, write_table
from daedalus.tables.sorting import order_of, order_of_nearly_sorted, sort_keys, whole
from daedalus.windows.spec import PLACE, USERS, group_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.skeleton.joins_and_filters import FeatureView
    from daedalus.skeleton.where import Condition


def write_event_values(
    events: Sequence[str], column: str, view: FeatureView | None, flatten: bool, contributor: bool,
    where: Sequence[Condition], keys: Sequence[str], files: Files, out: Path, day: Day | None = None,
) -> Mapping[str, int] | None:  # fmt: skip
    """The step `event_values`; the value is of the `view`, or of the rows. `keys` are columns of the feed; none: the
    user. `day` is that of the rows where views are as of it."""
    keys = keys or ["user_id"]
    rows = rows_of_events(files, events, _needed(column, view, contributor, where, keys))
    if rows is None or (rows := _valued(rows, column, view, where, files, day)) is None:
        return None
    return _write(rows, column, flatten, contributor, out, keys)


def write_looked_up(
    column: str, view: FeatureView | None, flatten: bool, contributor: bool, filtered: Sequence[str],
    where: Sequence[Condition], keys: Sequence[str], files: Files, out: Path,
) -> Mapping[str, int] | None:  # fmt: skip
    """The step `history` of rows as the feed has them, whose values, conditions or artworks are looked up: as above,
    but of many days. The SQL looks up views that are as of the day."""
    keys = keys or ["user_id"]
    (path,) = files["rows"]
    if not fits(rows_of(path)) or any(one and one.as_of_day for one in (view, *(each.view for each in where))):
        return None
    needed = _needed(column, view, contributor, where, keys)
    rows = read_table(path, list(dict.fromkeys([*needed, *(["artwork_id", "event"] if filtered else [])])))
    rows = _in_pool(rows, filtered, files)
    if rows is None or (rows := _valued(rows, column, view, where, files, None)) is None:
        return None
    return _write(rows, column, flatten, contributor, out, keys)


def _needed(
    column: str, view: FeatureView | None, contributor: bool, where: Sequence[Condition], keys: Sequence[str]
) -> list[str]:
    """The columns of rows from which `_valued` and `_write` make events."""
    own = {*keys, "event_timestamp", view.entity if view else column, *(["artwork_id"] if contributor else [])}
    return sorted(own | _tested(where))


def _valued(
    rows: pa.Table, column: str, view: FeatureView | None, where: Sequence[Condition], files: Files, day: Day | None
) -> pa.Table | None:
    """The rows that meet all conditions, with their values; None where only the SQL knows a type."""
    found = _matching(rows, where, files, day)
    if found is None or not view:
        return found
    values = features_by_entity(view, files["view"][0], [column], found, day)
    if values is None or column in found.column_names:
        return None
    return found.append_column(column, values[column])


def _in_pool(rows: pa.Table, filtered: Sequence[str], files: Files) -> pa.Table | None:
    """The rows without those of events in `filtered` whose artworks are not in the pool; None if it does not fit."""
    import pyarrow.compute as pc

    if not filtered:
        return rows
    (path,) = files["pool"]
    if not fits_whole(path):
        return None
    asked, pool = has_one_of(rows["event"], filtered), whole(read_table(path, ["id"])["id"])
    return rows.filter(pc.or_(pc.invert(asked), pc.is_in(rows["artwork_id"], value_set=pool)))


def _tested(where: Sequence[Condition]) -> set[str]:
    """The columns of rows by which conditions are looked up."""
    return {condition.view.entity if condition.view else condition.column for condition in where}


def _matching(rows: pa.Table, where: Sequence[Condition], files: Files, day: Day | None) -> pa.Table | None:
    """The rows that meet all conditions; None where only the SQL knows a type."""
    import pyarrow as pa

    for condition in where:
        name, view = condition.column, condition.view
        found = features_by_entity(view, files[view.bound][0], [name], rows, day) if view else {name: rows[name]}
        if found is None or (met := among(found[name], condition.type, condition.values)) is None:
            return None
        rows = rows.filter(pa.array(met))
    return rows.combine_chunks()


def write_history(
    parts: Sequence[FeedPart], events: Sequence[str], column: str, contributor: bool, filtered: Sequence[str],
    where: Sequence[Condition], keys: Sequence[str], files: Files, out: Path,
) -> Mapping[str, int] | None:  # fmt: skip
    """The step `history` of the days of `parts`; events in `filtered` need an artwork that is in the pool. Conditions
    and `keys`, without which it is the user, are of the feed."""
    keys = keys or ["user_id"]
    further = [*(["artwork_id"] if contributor or filtered else []), *(["event"] if filtered else [])]
    wanted = list(dict.fromkeys([*keys, "event_timestamp", column, *further, *sorted(_tested(where))]))
    rows = clean_rows(parts, events, wanted, files)
    if rows is None or (rows := _in_pool(rows, filtered, files)) is None:
        return None
    if (rows := _matching(rows, where, files, None)) is None:
        return None
    return _write(rows, column, False, contributor, out, keys)


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
    rows: pa.Table, column: str, flatten: bool, contributor: bool, out: Path, keys: Sequence[str]
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
