"""The steps `event_values` and `history` of one day: the events that an aggregation sees, each with its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from daedalus.base.days import Day
from daedalus.skeleton.arrow.feed_files import FeedPart
from daedalus.skeleton.arrow.feed_rows import clean_rows
from daedalus.skeleton.arrow.pool_and_sessions import covered, has_one_of, rows_of_events
from daedalus.skeleton.arrow.views import among, features_by_entity, is_plain
from daedalus.tables.artifacts import Files, fits, fits_whole, read_table, rows_of, write_sorted, write_table
from daedalus.tables.sorting import has_one_order, order_of, order_of_nearly_sorted, sort_keys, whole
from daedalus.tables.taken import taken, taken_rows
from daedalus.windows.spec import PLACE, USERS, group_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.skeleton.joins_and_filters import FeatureView
    from daedalus.skeleton.where import Condition


class Asked(NamedTuple):
    """What an aggregation sees: `events` that meet the conditions `where`, each with its value, the `column` of the
    `view` or else of the feed; of a list each member if `flatten`. With `contributor` they keep their artwork. They are
    grouped by `keys`, of the feed or of `key_views`.
    """

    events: Sequence[str]
    column: str
    view: FeatureView | None
    flatten: bool
    contributor: bool
    where: Sequence[Condition]
    keys: Sequence[str]
    key_views: Sequence[FeatureView]

    @property
    def needed(self) -> list[str]:
        """The columns of the feed that it takes."""
        found = {*of_feed(self.keys, self.key_views), self.view.entity if self.view else self.column}
        found |= {one.view.entity if one.view else one.column for one in self.where}
        return sorted(found | {"event_timestamp", *(["artwork_id"] if self.contributor else [])})

    @property
    def as_of_day(self) -> bool:
        """Whether something of it is as of the day."""
        views = (self.view, *self.key_views, *(one.view for one in self.where))
        return any(view and view.as_of_day for view in views)


def of_feed(keys: Sequence[str], views: Sequence[FeatureView]) -> list[str]:
    """The columns of the feed that keys are, or by which they are found in `views`."""
    joined = [feature for view in views for feature in view.features]
    return [*(key for key in keys if key not in joined), *(view.entity for view in views)]


def write_event_values(asked: Asked, files: Files, out: Path, day: Day | None = None) -> Mapping[str, int] | None:
    """The step `event_values`. `day` is that of the rows where views are as of it."""
    return _write_asked(rows_of_events(files, asked.events, asked.needed), asked, files, out, day)


def write_looked_up(asked: Asked, filtered: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `history` of rows as the feed has them, which are looked up in views or in the pool: events in
    `filtered` need an artwork that is there. Views as of the day are as of the days of events."""
    (path,) = files["rows"]
    if not fits(rows_of(path)):
        return None
    return _write_asked(_in_pool(read_table(path, _also_of_pool(asked, filtered)), filtered, files), asked, files, out)


def write_history(
    parts: Sequence[FeedPart], asked: Asked, filtered: Sequence[str], files: Files, out: Path
) -> Mapping[str, int] | None:
    """The step `history` of the days of `parts`; events in `filtered` need an artwork that is in the pool."""
    rows = clean_rows(parts, asked.events, _also_of_pool(asked, filtered), files)
    return _write_asked(None if rows is None else _in_pool(rows, filtered, files), asked, files, out)


def _also_of_pool(asked: Asked, filtered: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*asked.needed, *(["artwork_id", "event"] if filtered else [])]))


def _in_pool(rows: pa.Table, filtered: Sequence[str], files: Files) -> pa.Table | None:
    """The rows without those of events in `filtered` whose artworks are not in the pool; None if it does not fit."""
    if not filtered:
        return rows
    (pool,) = files["pool"]
    if not fits_whole(pool):
        return None
    return rows.filter(covered(has_one_of(rows["event"], filtered), rows["artwork_id"], pool))


def _write_asked(
    rows: pa.Table | None, asked: Asked, files: Files, out: Path, day: Day | None = None
) -> Mapping[str, int] | None:
    """Writes those of the rows that are asked for; None where only the SQL knows a type, or there are no rows."""
    rows = None if rows is None else _matching(rows, asked.where, files, day)
    if rows is None:
        return None
    if asked.view:
        found = features_by_entity(asked.view, files["view"][0], [asked.column], rows, day)
        if found is None or asked.column in rows.column_names:
            return None
        rows = rows.append_column(asked.column, found[asked.column])
    with_keys = _with_keys(rows, asked.key_views, files, day)
    return None if with_keys is None else _write(with_keys, asked, out)


def _with_keys(rows: pa.Table, views: Sequence[FeatureView], files: Files, day: Day | None) -> pa.Table | None:
    """The rows with the keys that views have; None where only the SQL knows a type."""
    for view in views:
        found = features_by_entity(view, files[view.bound][0], view.features, rows, day)
        if found is None:
            return None
        for name, values in found.items():
            rows = rows if name in rows.column_names else rows.append_column(name, values)
    return rows


def _has_float_keys(rows: pa.Table, keys: Sequence[str]) -> bool:
    """Whether some keys are floats, of which the SQL makes one zero and one NaN."""
    import pyarrow as pa

    return any(pa.types.is_floating(rows[key].type) for key in keys)


def _matching(rows: pa.Table, where: Sequence[Condition], files: Files, day: Day | None) -> pa.Table | None:
    """The rows that meet all conditions; None where only the SQL knows a type."""
    import pyarrow as pa

    for condition in where:
        name, view = condition.column, condition.view
        found = features_by_entity(view, files[view.bound][0], [name], rows, day) if view else {name: rows[name]}
        if found is None or (met := among(found[name], condition.type, condition.values)) is None:
            return None
        rows = rows.filter(pa.array(met)).combine_chunks()
    return rows


def _write(rows: pa.Table, asked: Asked, out: Path) -> Mapping[str, int] | None:
    """Writes the keys, time and value of the rows, sorted by them."""
    import numpy as np
    import pyarrow as pa

    values = whole(rows[asked.column])
    groups = USERS if tuple(asked.keys) == USERS else group_columns(len(asked.keys))
    columns: dict[str, Any] = dict(zip(groups, (rows[key] for key in asked.keys), strict=True))
    columns["ts"] = rows["event_timestamp"]
    places = None
    if asked.flatten:
        if not pa.types.is_list(values.type):
            return None
        lengths = np.asarray(values.value_lengths().fill_null(0))
        places = np.repeat(np.arange(len(values)), lengths)
        values = values.flatten()
    if not is_plain(values.type) or pa.types.is_nested(values.type) or not has_one_order(values):
        return None
    if _has_float_keys(rows, asked.keys):
        return None
    if asked.contributor:
        columns["artwork_id"] = rows["artwork_id"]
    if places is not None:
        columns = {name: taken(whole(column), places) for name, column in columns.items()}
    names = [*groups, "ts", "value", *(["artwork_id"] if asked.contributor else [])]
    found = pa.table({**columns, "value": values}).select(names)
    if values.null_count:
        found = found.filter(values.is_valid())
    if any(found[group].null_count for group in groups):
        found = found.drop_null()
    ranks = sort_keys(found.columns)
    return None if ranks is None else {"rows": write_table(out, taken_rows(found, order_of_nearly_sorted(ranks)))}


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


def write_row_keys(
    keys: Sequence[str], views: Sequence[FeatureView], files: Files, out: Path, day: Day | None = None
) -> Mapping[str, int] | None:
    """The step `row_keys`; keys are columns of the feed, or of `views`. `day` is that of the rows."""
    import numpy as np
    import pyarrow as pa

    (path,) = files["rows"]
    if not fits(rows_of(path)):
        return None
    named = ("event_timestamp", "artwork_id")
    rows = _with_keys(read_table(path, list(dict.fromkeys([*of_feed(keys, views), *named]))), views, files, day)
    if rows is None or _has_float_keys(rows, keys):
        return None
    columns = dict(zip(group_columns(len(keys)), (rows[key] for key in keys), strict=True))
    found = pa.table({**columns, **{name: rows[name] for name in named}, PLACE: np.arange(rows.num_rows)}).drop_null()
    ranks = sort_keys([found[name] for name in columns])
    return None if ranks is None else {"rows": write_table(out, taken_rows(found, order_of(ranks)))}
