"""The step `spine` of a feed whose ids are text.

Only the reading of a file is another than in own_feed.py, whose code is in keys. Text is kept as numbers of values
until rows are sorted; a UUID is text in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from daedalus.base.days import DAY_US
from daedalus.config.columns import IDS, REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.inputs.schemas import Group, OwnGroup
from daedalus.skeleton.arrow.feed_files import Codes, FeedPart, FileRows, _typed, is_known
from daedalus.skeleton.arrow.feed_rows import _clean, _counts, _since_epoch
from daedalus.skeleton.arrow.own_feed import _times
from daedalus.sql.own_columns import TIME, OwnColumns
from daedalus.tables.artifacts import Files, fits, read_file, write_table
from daedalus.tables.held import FEED, HELD
from daedalus.tables.side_by_side import side_by_side
from daedalus.tables.sorting import numbered_text, numbers_of, whole

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = ("VARCHAR", "UUID")


def write_text_spine(part: FeedPart, order: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `spine`, see `write_spine`."""
    read = _read(part, files)
    found = _clean(part, read, order) if read is not None else None
    if read is None or found is None:
        return None
    day = _since_epoch(part.day)
    of_day = sum(int((rows.keyed & (rows.days == day)).sum()) for _, rows in read)
    counts = {**_counts(part, read), "duplicates": of_day - found.num_rows, "spine": found.num_rows}
    return {**counts, "rows": write_table(out, found.select(list(SPINE_COLUMNS)))}


def _read(part: FeedPart, files: Files) -> list[tuple[int, FileRows]] | None:
    """(days by which its partition is late, rows) of each file; None if they are of other types, or too many."""
    if not all(is_known(_without_texts(group)) for group in part.groups) or not fits(part.rows):
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


def _without_texts(group: Group) -> Group:
    """The group as if ids that are text were whole numbers."""
    columns = tuple((c, "BIGINT" if c in IDS and kind in _TEXTS else kind) for c, kind in group.columns)
    return structs.replace(group, columns=columns)


def _rows_of_file(
    path: Path | str, digest: str, schema: Mapping[str, str], own: OwnColumns, codes: Codes
) -> FileRows | None:
    """The rows of a file by the spine's names, text ids as numbers of values; None if only the SQL can read it."""
    key = f"{digest} {codes} {own} texts"
    if (held := HELD.get(key, FEED)) is None and (held := _of_file(path, schema, own, codes)) is not None:
        HELD.put(key, held, held.table.nbytes + held.days.nbytes + held.keyed.nbytes, FEED)
    return held


def _of_file(path: Path | str, schema: Mapping[str, str], own: OwnColumns, codes: Codes) -> FileRows | None:
    import numpy as np
    import pyarrow as pa

    texts = [own.own(column) for column, kind in schema.items() if kind == "VARCHAR"]
    table = read_file(path, [own.own(column) for column in schema], numbered=texts)
    columns = {column: table[own.own(column)] for column in schema}
    if own.unit:
        times = _times(columns[TIME], own.unit)
        if times is None:
            return None
        columns[TIME] = pa.chunked_array([times])
    ids = {column: _numbered(columns[column]) for column in IDS if schema[column] in _TEXTS}
    table = pa.table({**columns, **dict.fromkeys(ids, pa.nulls(table.num_rows, pa.int64()))})
    if any(pa.types.is_timestamp(f.type) and f.type.unit not in ("us", "ms") for f in table.schema):
        return None
    rows = _typed(table, codes)
    if rows is None:
        return None
    for column, found in ids.items():
        rows = rows.set_column(rows.column_names.index(column), column, found)
    keyed = np.ones(rows.num_rows, np.bool_)
    for column in REQUIRED_COLUMNS:
        if rows[column].null_count:
            keyed &= np.asarray(rows[column].is_valid())
    return FileRows(rows, keyed, numbers_of(rows[TIME])[0] // DAY_US)


def _numbered(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Ids as numbers of texts."""
    import pyarrow as pa

    ids = whole(column)
    if not isinstance(ids, pa.ExtensionArray):
        return numbered_text(ids)
    coded = ids.storage.dictionary_encode()
    digits = (value.hex() for value in coded.dictionary.to_pylist())
    spelled = ["-".join((d[:8], d[8:12], d[12:16], d[16:20], d[20:])) for d in digits]
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(spelled, pa.string()))
