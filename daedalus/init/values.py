"""What the values of some rows tell: distinct ones, times by their size, owners of sessions, overlaps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from daedalus.sql.column_types import is_integer, is_plain, is_text, is_time, type_name

Columns = Mapping[str, str]  # name -> type as DuckDB calls it
Unit = Literal["s", "ms", "us", "ns"]

_ROWS = 100_000  # read of a feed or a view
_FILES = 64
_LEAST = 500  # rows of a file, where it has them
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800  # 1990 and 2100, in seconds
_ENOUGH = 20  # distinct values, for an overlap to tell something
_DAY = 86_400_000_000
_SIZES: Mapping[Unit, int] = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}  # of a unit, in a second


class Sample:
    """Some rows of files, over all of them: columns of plain types, and the number of each row's file.

    All times are TIMESTAMP, in UTC, and UUIDs are text.
    """

    def __init__(self, table: pa.Table, files: Sequence[int]) -> None:
        self.table, self.files = table, files
        self.kinds: Columns = {field.name: type_name(field.type) for field in table.schema}
        self.distinct = cache(self._distinct)
        self.unit = cache(self._unit)

    @classmethod
    def of(cls, files: Sequence[str]) -> Sample:
        """A sample of parquet files. Those that cannot be read are passed over: a run reports them."""
        step = max(1, -(-len(files) // _FILES))
        places = range(0, len(files), step)
        quota = max(_LEAST, _ROWS // max(len(places), 1))
        tables = [(place, table) for place in places for table in _first_rows(files[place], quota)]
        if not tables:
            return cls(pa.table({}), [])
        whole = _together([table for _, table in tables])
        return cls(whole, [place for place, table in tables for _ in range(table.num_rows)])

    def values(self, column: str) -> list:
        return self.table[column].to_pylist()

    def _distinct(self, column: str) -> frozenset:
        return frozenset(value for value in pc.unique(self.table[column]).to_pylist() if value is not None)

    def share(self, column: str) -> float:
        """The share of rows in which a column is not NULL."""
        rows = self.table.num_rows
        return 1 - self.table[column].null_count / rows if rows else 0

    def _unit(self, column: str) -> Unit | None:
        """The unit of whole numbers, or floats, that are times since 1970 by their size; None if they are none."""
        numbers = pc.drop_null(self.table[column]).cast(pa.float64(), safe=False)
        if not len(numbers):
            return None
        for unit, size in _SIZES.items():
            inside = pc.and_(
                pc.greater_equal(numbers, float(_EARLIEST * size)), pc.less(numbers, float(_LATEST * size))
            )
            if pc.mean(inside.cast(pa.int8())).as_py() > 0.95:
                return unit
        return None

    def days(self, column: str) -> list[int | None]:
        """The days since 1970 of a column of times, or of whole numbers that are."""
        values = self.table[column]
        if is_time(self.kinds[column]):
            return [None if number is None else number // _DAY for number in values.cast(pa.int64()).to_pylist()]
        size = _SIZES[self.unit(column) or "s"] * 86_400
        return [None if number is None else number // size for number in values.to_pylist()]

    def one_owner(self, column: str, owner: str) -> float:
        """The share of a column's values that occur with one value of another column alone."""
        pairs = self.table.select([column, owner]).drop_null()
        if not pairs.num_rows:
            return 0
        counts = pairs.group_by(column).aggregate([(owner, "count_distinct")])[f"{owner}_count_distinct"].to_pylist()
        return counts.count(1) / len(counts)

    def is_unique(self, column: str) -> bool:
        return len(self.distinct(column)) == self.table.num_rows - self.table[column].null_count

    def overlap(self, column: str, other: frozenset) -> float:
        """The share of a column's values that are among others; 0 where there are too few to tell."""
        mine = self.distinct(column)
        return len(mine & other) / len(mine) if min(len(mine), len(other)) >= _ENOUGH else 0


def family(kind: str) -> str:
    """Ids of one family may be equal: number or text; "" for what can be no id."""
    if is_integer(kind):
        return "number"
    return "text" if is_text(kind) or kind == "UUID" else ""


def _is_told(kind: str) -> bool:
    return is_plain(kind) or kind == "NULL"


def _first_rows(file: str, rows: int) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(file) as opened:
            names = [field.name for field in opened.schema_arrow if _is_told(type_name(field.type))]
            names = [name for name in names if opened.schema_arrow.names.count(name) == 1]
            some = None if any("." in name for name in names) else names  # a dot would name a part of a struct
            batch = next(opened.iter_batches(rows, columns=some), None)
            read = opened.schema_arrow.empty_table() if batch is None else pa.Table.from_batches([batch])
            yield plain(read.select(names))
    except (pa.ArrowException, OSError):
        return


def plain(table: pa.Table) -> pa.Table:
    """The table with types that go together over files: no dictionaries, all text as strings, times in UTC."""
    for place, field in enumerate(table.schema):
        column, kind = table[field.name], type_name(field.type)
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        if kind == "UUID":
            column = pa.chunked_array([[value and str(value) for value in column.to_pylist()]], pa.string())
        elif is_text(kind):
            column = column.cast(pa.string())
        elif is_time(kind):
            column = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(
                pa.timestamp("us")
            )
        table = table.set_column(place, field.name, column)
    return table


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of tables, without the columns whose types do not go together."""
    found: dict[str, pa.ChunkedArray] = {}
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        parts = [table.select([name]) if name in table.column_names else pa.table({name: pa.nulls(table.num_rows)})
                 for table in tables]  # fmt: skip
        try:
            found[name] = pa.concat_tables(parts, promote_options="permissive")[name]
        except pa.ArrowException:
            continue
    return pa.table(found)


def is_epoch(kind: str) -> bool:
    return is_integer(kind) or kind in ("UBIGINT", "DOUBLE")
