"""A feed day's clean rows, as `FeedDay.clean` selects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.base.days import Day
from daedalus.config.columns import CODES, REQUIRED_COLUMNS, SPINE_COLUMNS
from daedalus.inputs.countries import country_codes
from daedalus.skeleton.feed_day import FeedDay
from daedalus.sql.column_types import is_integer
from daedalus.tables.artifacts import fits, write_table
from daedalus.tables.sorting import first_of_equal, order_of, sort_keys, whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_DAY_US = 86_400_000_000
_EPOCH = Day(1970, 1, 1).toordinal()
_TEXT = "_text"  # suffix of a code's original text
_READ = {"BIGINT": ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT"),
         "TIMESTAMP": ("TIMESTAMP", "TIMESTAMPTZ"), "VARCHAR": ("VARCHAR",)}  # fmt: skip

Files = Mapping[str, Sequence[Path | str]]


class _Rows(NamedTuple):
    """Rows of one group of files, before anything is left out.

    `keyed`: has all keys; `day`: days from the day that is made to the row's own.
    """

    table: pa.Table
    keyed: np.ndarray
    day: np.ndarray


def write_spine(feed: FeedDay, day: Day, order: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `spine`; `order` are the columns that its rows are sorted by."""
    groups = _read(feed, day, files)
    if groups is None:
        return None
    found = _clean(feed, groups, order)
    if found is None:
        return None
    counts = _counts(feed, groups)
    counts["spine"] = found.num_rows
    counts["duplicates"] = sum(int((group.keyed & (group.day == 0)).sum()) for group in groups) - found.num_rows
    return {**counts, "rows": write_table(out, found.select(list(SPINE_COLUMNS)))}


def clean_rows(feed: FeedDay, day: Day, events: Sequence[str], files: Files) -> pa.Table | None:
    """The clean rows of the day that have one of `events`, in any order; None where the SQL must run."""
    groups = _read(feed, day, files, events)
    return None if groups is None else _clean(feed, groups, list(SPINE_COLUMNS))


def _read(feed: FeedDay, day: Day, files: Files, events: Sequence[str] | None = None) -> list[_Rows] | None:
    """The rows of each group of files; None if a type is not known here, or they are too many."""
    import pyarrow.parquet as pq

    if any(not _is_known(group.schema, group.format) for group in feed.groups):
        return None
    footers = [[pq.read_metadata(path) for path in files[f"feed_{i}"]] for i in range(len(feed.groups))]
    if not fits(sum(footer.num_rows for group in footers for footer in group)):
        return None
    as_text = _codes_as_text(feed)
    found = []
    for i, group in enumerate(feed.groups):
        table = _table(files[f"feed_{i}"], group.schema, events)
        rows = _typed(table, group.schema, dict(feed.platforms), as_text) if table is not None else None
        if rows is None:
            return None
        found.append(_Rows(rows, *_keyed(rows, day)))
    return found


def _is_known(schema: Mapping[str, str], form: str) -> bool:
    """Whether columns of these types are read here."""
    for column, kind in schema.items():
        wanted = SPINE_COLUMNS[column]
        known = is_integer(kind) or kind == "VARCHAR" if column in CODES else kind in _READ.get(wanted, ())
        if not known:
            return False
    return form == "parquet" and set(REQUIRED_COLUMNS) <= set(schema)


def _codes_as_text(feed: FeedDay) -> list[str]:
    """The codes that are text in some group, so that all groups' are compared as text."""
    return [code for code in CODES if any(group.schema.get(code) == "VARCHAR" for group in feed.groups)]


def _table(paths: Sequence[Path | str], schema: Mapping[str, str], events: Sequence[str] | None) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    tables = []
    for path in paths:
        with open(path, "rb") as source, pq.ParquetFile(source) as file:
            table = file.read(list(schema), use_threads=False)
        if any(pa.types.is_timestamp(f.type) and f.type.unit not in ("us", "ms") for f in table.schema):
            return None
        if events is not None:
            table = table.filter(pc.is_in(table["event"], value_set=pa.array(events, pa.string())))
        tables.append(table)
    return pa.concat_tables(tables, promote_options="permissive")


def _typed(
    table: pa.Table, schema: Mapping[str, str], platforms: Mapping[str, int], as_text: Sequence[str]
) -> pa.Table | None:
    """The spine's columns, and the original texts of codes."""
    import pyarrow as pa

    kinds = {"BIGINT": pa.int64(), "TIMESTAMP": pa.timestamp("us"), "VARCHAR": pa.string(), "INTEGER": pa.int32()}
    columns: dict[str, pa.Array] = {}
    for column, kind in SPINE_COLUMNS.items():
        if column not in schema:
            columns[column] = pa.nulls(table.num_rows, kinds[kind])
        elif column not in CODES:
            columns[column] = whole(table[column].cast(kinds[kind]))
    for code in CODES:
        found = whole(table[code]) if code in schema else columns[code]
        numbers = _numbers(found, _platform(platforms) if code == "platform_code" else _country)
        if numbers is None:
            return None
        columns[code] = numbers
        columns[code + _TEXT] = found.cast(pa.string() if code in as_text else pa.int64())
    return pa.table(columns)


def _numbers(code: pa.Array, number_of: Callable[[str], int | None]) -> pa.Array | None:
    """A code's numbers, 0 for what is not known; None where only the SQL knows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(code.type):
        wide = code.cast(pa.int64())
        small = pc.and_(pc.greater_equal(wide, -(1 << 31)), pc.less(wide, 1 << 31))
        return pc.fill_null(pc.if_else(small, wide, 0), 0).cast(pa.int32())
    coded = code.cast(pa.string()).dictionary_encode()
    numbers = [number_of(name) for name in coded.dictionary.to_pylist()]
    return None if None in numbers else pc.fill_null(pa.array(numbers, pa.int32()).take(coded.indices), 0)


def _platform(platforms: Mapping[str, int]) -> Callable[[str], int]:
    return lambda name: platforms.get(name, 0)


def _country(name: str) -> int | None:
    """None for letters whose upper case is DuckDB's own."""
    return _countries().get(name.upper(), 0) if name.isascii() else None


@cache
def _countries() -> Mapping[str, int]:
    table = country_codes()
    return dict(zip(table["alpha2"].to_pylist(), table["code"].to_pylist(), strict=True))


def _keyed(rows: pa.Table, day: Day) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np
    import pyarrow as pa

    keyed = np.ones(rows.num_rows, np.bool_)
    for column in REQUIRED_COLUMNS:
        if rows[column].null_count:
            keyed &= np.asarray(rows[column].is_valid())
    times = whole(rows["event_timestamp"]).fill_null(pa.scalar(0, pa.timestamp("us"))).view(pa.int64()).to_numpy()
    return keyed, times // _DAY_US - (day.toordinal() - _EPOCH)


def _counts(feed: FeedDay, groups: Sequence[_Rows]) -> dict[str, int]:
    """Rows of each partition that were read, lack a key, or are of a day that may not lie there."""
    found: dict[str, int] = {}
    late = feed.lateness
    for group, rows in zip(feed.groups, groups, strict=True):
        sign = f"+{group.late}" if group.late else ""
        stray = (rows.day < group.late - late.after) | (rows.day > group.late + late.before)
        numbers = {"read": rows.table.num_rows, "null_keys": int((~rows.keyed).sum()),
                   "strays": int((rows.keyed & stray).sum())}  # fmt: skip
        for name, number in numbers.items():
            found[name + sign] = found.get(name + sign, 0) + number
    return {"read": 0, "null_keys": 0, "strays": 0, **found}


def _clean(feed: FeedDay, groups: Sequence[_Rows], order: Sequence[str]) -> pa.Table | None:
    """The rows of the day that have all keys, sorted, without duplicates; None where they have no sort keys."""
    import pyarrow as pa

    kept = []
    for rows in groups:
        mask = rows.keyed & (rows.day == 0)
        kept.append(rows.table if mask.all() else rows.table.filter(pa.array(mask)))
    table = pa.concat_tables(kept).combine_chunks()
    if not table.num_rows:
        return table
    texts = [code + _TEXT for code in CODES] if feed.deduplicate else []
    keys = sort_keys([table[column] for column in (*order, *texts)])
    if keys is None:
        return None
    places = order_of(keys)
    return table.take(pa.array(first_of_equal(keys, places) if feed.deduplicate else places))
