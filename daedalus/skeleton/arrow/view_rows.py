"""The rows of catalog views, as `read_view` and `list_published` select them; the steps `view` and `published`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.inputs.schemas import Group
from daedalus.sql.column_types import arrow_type, is_read_on_arrow
from daedalus.sql.text import TIME
from daedalus.tables.artifacts import Files, fits_whole, read_file, read_table, write_sorted, write_table
from daedalus.tables.sorting import differs, keys_of, numbers_of, order_of, ranked, whole
from daedalus.tables.taken import taken_rows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_TIME = TIME.strip('"')
_COPIES = 3  # of a view in memory, while it is sorted
_SPAN = 1 << 61  # microseconds between two times of a view, at most


class ViewPart(NamedTuple):
    """What is read of a view, apart from how SQL would read it.

    `groups` are files by schema, bound as `view_i`, and `places` those of each group's files among all of them. `own`
    is what the files call the entity, of type `kind`; `features` are their names and types.
    """

    groups: Sequence[Group]
    places: Sequence[Sequence[int]]
    entity: str
    own: str
    time: str
    features: tuple[tuple[str, str], ...]
    kind: str
    every_version: bool


def write_view(part: ViewPart, files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `view`; None where only the SQL reads a file."""
    import numpy as np
    import pyarrow as pa

    bound = [files[f"view_{i}"] for i in range(len(part.groups))]
    known = all(_is_read(group, part) for group in part.groups)
    if not known or not fits_whole(*(path for paths in bound for path in paths), times=_COPIES):
        return None
    read: dict[int, pa.Table] = {}
    for group, places, paths in zip(part.groups, part.places, bound, strict=True):
        for place, path in zip(places, paths, strict=True):
            table = _typed(read_file(path, list(group.schema)), group, part)
            if table is None:
                return None
            read[place] = table
    rows = pa.concat_tables([read[place] for place in sorted(read)]).combine_chunks()
    rows = rows.filter(rows[part.entity].is_valid()) if rows[part.entity].null_count else rows
    entity, time = ranked(rows[part.entity]), _by_time(rows[_TIME])
    if entity is None or time is None:
        return None
    keys, of_version = keys_of([entity, time]), keys_of([entity, time] if part.every_version else [entity])
    assert keys is not None and of_version is not None
    order = order_of(keys)  # of equal times as in the files
    last = np.ones(len(order), np.bool_)
    last[:-1] = differs(of_version, order)[1:]
    return {"rows": write_table(out, taken_rows(rows, order[last]))}


def write_published(
    published_at: str, author: str, kinds: tuple[str, str], every_version: bool, files: Files, out: Path
) -> Mapping[str, int] | None:
    """The step `published`; `kinds` are the types that ids of users and artworks have."""
    import numpy as np
    import pyarrow as pa

    (path,) = files["view"]
    if not fits_whole(path, times=_COPIES):
        return None
    rows = read_table(path, list(dict.fromkeys(["artwork_id", published_at, author, *[_TIME] * every_version])))
    if every_version:  # sorted by artwork and time, NULL times first
        artworks = ranked(rows["artwork_id"])
        if artworks is None:
            return None
        last = np.ones(rows.num_rows, np.bool_)
        last[:-1] = differs([key for key, _ in artworks], np.arange(rows.num_rows))[1:]
        rows = rows.filter(pa.array(last))
    columns = {"user_id": rows[author], "ts": rows[published_at], "value": rows["artwork_id"]}
    wanted = dict(zip(columns, map(arrow_type, (kinds[0], "TIMESTAMP", kinds[1])), strict=True))
    if not all(_is_cast(column.type, wanted[name]) for name, column in columns.items()):
        return None
    found = pa.table({name: whole(column).cast(wanted[name]) for name, column in columns.items()})
    return write_sorted(found.drop_null(), out)


def _is_cast(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether Arrow casts one type to the other as DuckDB does."""
    import pyarrow as pa

    if pa.types.is_timestamp(wanted):
        return kind in (wanted, pa.date32())
    return kind == wanted or (pa.types.is_signed_integer(kind) and pa.types.is_signed_integer(wanted))


def _is_read(group: Group, part: ViewPart) -> bool:
    """Whether all columns of files of a group are read here, as the types that they are wanted as."""
    schema, wanted = group.schema, [(part.own, part.kind), (part.time, "TIMESTAMP"), *part.features]
    return group.format == "parquet" and all(
        is_read_on_arrow(schema[own], kind) for own, kind in wanted if own in schema
    )


def _typed(read: pa.Table, group: Group, part: ViewPart) -> pa.Table | None:
    """The entity, the time and the features of what was read of a file; None where DuckDB gives a float other bits."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    features = ((name, name, kind) for name, kind in part.features)
    for column, own, kind in ((part.entity, part.own, part.kind), (_TIME, part.time, "TIMESTAMP"), *features):
        wanted = arrow_type(kind)
        found = whole(read[own]).cast(wanted) if own in group.schema else pa.nulls(read.num_rows, wanted)
        found.validate(full=True)  # also that text is UTF-8
        if not _has_plain_floats(found):
            return None
        columns[column] = found
    return pa.table(columns)


def _has_plain_floats(column: pa.Array) -> bool:
    """Whether a column has no float of which DuckDB may change the bits: no NaN, and no zero below zero."""
    import numpy as np
    import pyarrow as pa

    values = column.flatten() if pa.types.is_list(column.type) else column
    if not pa.types.is_floating(values.type):
        return True
    numbers = values.drop_null().to_numpy()
    return not (np.isnan(numbers) | (np.signbit(numbers) & (numbers == 0))).any()


def _by_time(times: pa.ChunkedArray) -> list[tuple[np.ndarray, int]] | None:
    """Times as `ranked` has them, but that NULL is the least; None where they are too far apart."""
    import numpy as np

    micros, missing = numbers_of(times)
    present = micros if missing is None else micros[~missing]
    if not len(present):
        return [(np.zeros(len(micros), np.int64), 1)]
    least, most = int(present.min()), int(present.max())
    if most - least >= _SPAN:
        return None
    keys = micros - (least - 1)
    if missing is not None:
        keys[missing] = 0
    return [(keys, most - least + 2)]
