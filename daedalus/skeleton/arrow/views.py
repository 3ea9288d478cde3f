"""Joins the rows of views to the rows of a day: which types are known here, where an entity's row is, and which values
are among some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.days import DAY_US, Day, end_of
from daedalus.sql.column_types import holds, is_integer
from daedalus.sql.text import TIME
from daedalus.tables.artifacts import fits_whole, read_table
from daedalus.tables.sorting import numbers_of, whole
from daedalus.tables.taken import taken

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from daedalus.skeleton.joins_and_filters import FeatureView

_TIME = TIME.strip('"')
_FEW = 8  # entities for each row: with more, rows are looked up one by one, in the time that a table of them takes


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of a type are the same in DuckDB's result and in the artifact that it comes from."""
    import pyarrow as pa

    t = pa.types
    if t.is_list(kind):
        return is_plain(kind.value_type)
    signed = t.is_signed_integer(kind)
    return signed or t.is_boolean(kind) or t.is_string(kind) or kind in (
        pa.float32(), pa.float64(), pa.date32(), pa.timestamp("us")
    )  # fmt: skip


def features_by_entity(
    view: FeatureView, file: Path | str, features: Sequence[str], rows: pa.Table, day: Day | None
) -> dict[str, pa.Array] | None:
    """Features of a view for each of `rows`, by its entity: NULL where the view has no row. None where only the SQL
    knows a type, or the view's `file` does not fit into memory.

    A view as of the day has a row per version there, and a row's is the latest before the end of the `day`, or of its
    own day if there is none.
    """
    if not fits_whole(file):
        return None
    entity, time = view.entity, [_TIME] * view.as_of_day
    values = read_table(file, list(dict.fromkeys([entity, *features, *time])))
    if not all(is_plain(values.schema.field(name).type) for name in features):
        return None
    entities = whole(values[entity])
    if not view.as_of_day:
        places = rows_by_entity(rows[entity], entities)
    elif day is None:
        places = versions_of_own_days(rows[entity], rows["event_timestamp"], entities, values[_TIME])
    else:
        latest = latest_before_end_of(day, values[entity], values[_TIME])
        found = rows_by_entity(rows[entity], taken(entities, latest))
        places = None if found is None else taken(latest, found)
    if places is None:
        return None
    return {name: taken(whole(values[name]), places) for name in features}


def latest_before_end_of(day: Day, entities: pa.ChunkedArray, times: pa.ChunkedArray) -> pa.Array:
    """The positions of each entity's last version before the end of a day, by entity. Versions are sorted by entity and
    time; one whose time is NULL is older than any day."""
    import numpy as np
    import pyarrow as pa

    micros, missing = numbers_of(times)
    past = micros < end_of(day)
    places = np.flatnonzero(past if missing is None else past | missing)
    last = np.ones(len(places), np.bool_)
    last[:-1] = _begins(taken(whole(entities), places))[1:]
    return pa.array(places[last])


def versions_of_own_days(
    rows: pa.ChunkedArray, row_times: pa.ChunkedArray, entities: pa.Array, times: pa.ChunkedArray
) -> pa.Array | None:
    """For each row the position of its entity's last version before the end of the row's own day, or NULL; None for
    types that only the SQL joins. Versions as above."""
    import numpy as np
    import pyarrow as pa

    begins = _begins(entities)
    found = rows_by_entity(rows, entities.filter(pa.array(begins)))
    if found is None:
        return None
    micros, missing = numbers_of(times)
    days, row_days = micros // DAY_US, numbers_of(row_times)[0] // DAY_US
    if missing is not None:
        days[missing] = np.iinfo(np.int64).min
    known = np.unique(np.concatenate((days, row_days)))
    number, wanted = np.cumsum(begins) - 1, found.fill_null(-1).to_numpy()  # of the entity of a version, and of a row
    versions = number * len(known) + np.searchsorted(known, days)  # ascending
    places = np.searchsorted(versions, wanted * len(known) + np.searchsorted(known, row_days), side="right") - 1
    return pa.array(places, mask=(wanted < 0) | (np.append(number, -1)[places] != wanted))


def _begins(entities: pa.Array) -> np.ndarray:
    """Where an entity's versions begin, which lie together."""
    import numpy as np
    import pyarrow.compute as pc

    begins = np.ones(len(entities), np.bool_)
    begins[1:] = np.asarray(pc.not_equal(entities.slice(1), entities.slice(0, max(len(entities) - 1, 0))))
    return begins


def rows_by_entity(rows: pa.ChunkedArray, entities: pa.ChunkedArray | pa.Array) -> pa.Array | None:
    """For each row the position of its entity among `entities`, which ascend, or NULL; None for other types."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if rows.null_count:
        return None
    if pa.types.is_string(rows.type) and pa.types.is_string(entities.type):
        return pc.index_in(whole(rows), value_set=whole(entities))
    if not (pa.types.is_signed_integer(rows.type) and pa.types.is_signed_integer(entities.type)):
        return None
    if len(entities) <= _FEW * len(rows):  # one table of all of them is soon made
        return pc.index_in(whole(rows).cast(pa.int64()), value_set=whole(entities).cast(pa.int64()))
    wanted, there = numbers_of(rows)[0], numbers_of(entities)[0]
    places = np.searchsorted(there, wanted)
    places[places == len(there)] = 0
    return pa.array(places, mask=there[places] != wanted)


def among(column: pa.ChunkedArray | pa.Array, kind: str, values: Sequence[object]) -> np.ndarray | None:
    """Where a text, a boolean or a whole number is one of `values`, NULL never; None for other types."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = {"VARCHAR": str, "BOOLEAN": bool}.get(kind, int if is_integer(kind) else None)
    if plain is None or not all(type(value) is plain for value in values):
        return None
    values = [value for value in values if holds(kind, value)]
    if not values:
        return np.zeros(len(column), np.bool_)
    return np.asarray(pc.is_in(whole(column), value_set=pa.array(values, column.type)))
