"""What each column of one partition holds: nulls, mean, percentiles, lengths of lists, values of text.

All is exact and counted by value, in one pass over the part files. A partition of few values is read at once, a larger
one column by column, and of a column not more than a million values at a time: what is held of it are its distinct
values, and of lists only their lengths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from daedalus.statistics.counts import Counts, as_arrow, as_numpy, count_numbers, count_texts
from daedalus.statistics.histogram import histogram

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Kind = Literal["number", "boolean", "list", "text", "time", "other"]
_AT_ONCE = 1 << 20  # values read at once, of all columns together
_TOP = 3  # values of a text column
_TOP_LENGTH = 60  # characters of them that are kept
_PERCENTILES = {"p5": 5, "p50": 50, "p95": 95}
_IN_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_A_DAY = 86400  # seconds
_LARGE, _SMALL = 1e288, 2.0**-64  # times as many rows as there can be, it is finite; a power of 2 loses no digit


def partition_statistics(parts: Sequence[Path], columns: Collection[str] | None = None) -> dict[str, Any]:
    """`rows` and `columns`, of all or some names, each with `name`, `type`, `kind`, `nulls` and what its kind has:

    number: `finite`, `mean`, `p5`, `p50`, `p95`, `distinct`, `histogram`; boolean: `mean` (the share that is true);
    list: the same of its lengths, and `empty`; time: the same in seconds since 1970;
    text: `distinct` and `top`, the commonest values with their rows. A percentile is the smallest value
    that at least so many of the values do not exceed; NaN and infinities are in none of them.

    Numbers are distinct as they are stored, and told as 64-bit floats. A mean is that of such floats, each times its
    rows, added in numpy's pairwise order, whose error is that of a few additions.
    """
    if not parts:
        return {"rows": 0, "columns": []}
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [pa.OSFile(str(part)) for part in parts]  # of a path pyarrow would first find the file system
    footers = [pq.read_metadata(file) for file in files]
    schema, rows = footers[-1].schema.to_arrow_schema(), sum(footer.num_rows for footer in footers)
    texts = [field.name for field in schema if kind_of(field.type) == "text"]
    found = []
    asked = [name for name in schema.names if columns is None or name in columns]
    for names, rows_at_once in _shares(footers, asked, rows):
        counters = {name: _Column(schema.field(name)) for name in names}
        chosen = None if len(names) == len(schema) else names
        for part, footer in zip(files, footers, strict=True):
            with pq.ParquetFile(part, metadata=footer, read_dictionary=texts) as file:
                for batch in file.iter_batches(rows_at_once, columns=chosen, use_threads=False):
                    read = dict(zip(batch.schema.names, batch.columns, strict=True))
                    for name, column in counters.items():
                        column.add(read[name])
        found += [column.found() for column in counters.values()]
    return {"rows": rows, "columns": found}


def _shares(footers: Sequence[Any], names: Sequence[str], rows: int) -> Iterator[tuple[Sequence[str], int]]:
    """(columns that are read together, how many of their rows at once)."""
    values = dict.fromkeys(names, 0)
    for footer in footers:
        groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
        for chunk in (group.column(i) for group in groups for i in range(footer.num_columns)):
            name = chunk.path_in_schema.partition(".list.")[0]
            if name not in values:  # a part of a struct, or of a column that is not asked for
                name = next((one for one in names if chunk.path_in_schema.startswith(f"{one}.")), "")
            if name:
                values[name] += chunk.num_values
    if names and sum(values.values()) <= _AT_ONCE:
        yield names, max(rows, 1)
        return
    for name in names:
        yield [name], max(rows * _AT_ONCE // max(values[name], rows, 1), 1)


@cache
def kind_of(kind: pa.DataType) -> Kind:
    """The kind of a column of this type, which decides its statistics."""
    import pyarrow.types as is_a

    if is_a.is_boolean(kind):
        return "boolean"
    if is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_decimal(kind):
        return "number"
    if is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind):
        return "list"
    if is_a.is_string(kind) or is_a.is_large_string(kind):
        return "text"
    return "time" if is_a.is_timestamp(kind) or is_a.is_date(kind) else "other"


class _Column:
    """Counts one column, batch by batch."""

    def __init__(self, field: pa.Field) -> None:
        self._field, self._kind = field, kind_of(field.type)
        self._rows = self._nulls = self._trues = 0
        self._counts = Counts()

    def add(self, array: pa.Array) -> None:
        self._rows += len(array)
        self._nulls += array.null_count
        if self._kind == "boolean":
            self._trues += array.true_count
        elif self._kind == "text":
            self._counts.add(*count_texts(array))
        elif self._kind != "other":
            self._counts.add(*_counted(array, self._kind))

    def found(self) -> dict[str, Any]:
        found = {"name": self._field.name, "type": str(self._field.type), "kind": self._kind, "nulls": self._nulls}
        if self._kind == "boolean":
            known = self._rows - self._nulls
            return {**found, "mean": self._trues / known if known else None}
        if self._kind == "other":
            return found
        values, counts = self._counts.all()
        if self._kind == "text":
            return {**found, "distinct": len(values), "top": _top(values, counts)}
        told = _finite(values, counts)
        if self._kind == "number":
            more = {"finite": int(told[1].sum()), "distinct": len(values)}
            return {**found, **_summary(*told), **more, "histogram": _histogram(values.dtype.kind in "iu", *told)}
        if self._kind == "list":
            empty = int(counts[values == 0].sum())
            return {**found, **_summary(*told), "empty": empty, "histogram": _histogram(True, *told)}
        return {**found, **_summary(_as_seconds(told[0], self._field.type), told[1])}


def _histogram(whole: bool, values: np.ndarray, counts: np.ndarray) -> dict[str, Any] | None:
    """A histogram of ascending numbers, of which each occurs so often."""
    return histogram(values, counts.cumsum(), whole=whole)


def _counted(array: pa.Array, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """(the distinct values of a batch, ascending; how often each occurs): lengths of lists, times in their unit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "list":
        array = pc.list_value_length(array)
    elif kind == "time":
        array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    elif pa.types.is_decimal(array.type):
        return _counted_decimals(array)
    return count_numbers(as_numpy(array))


def _counted_decimals(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The same of decimals, which numpy has not: as Python's."""
    import numpy as np

    values, counts = array.drop_null().value_counts().flatten()
    return count_numbers(np.array(values.to_pylist(), object), as_numpy(counts))


def _finite(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending numbers without NaN and infinities, as 64-bit floats; and how often each occurs."""
    import numpy as np

    if values.dtype.kind == "f":
        finite = slice(np.searchsorted(values, -np.inf, "right"), np.searchsorted(values, np.inf, "left"))
        values, counts = values[finite], counts[finite]
    return values.astype(np.float64), counts


def _as_seconds(values: np.ndarray, kind: pa.DataType) -> np.ndarray:
    """Times in the unit of their type as seconds."""
    import pyarrow.types as is_a

    if is_a.is_date32(kind):
        return values * _A_DAY
    return values / _IN_A_SECOND["ms" if is_a.is_date64(kind) else kind.unit]


def _summary(values: np.ndarray, counts: np.ndarray) -> dict[str, float | None]:
    """The mean and the percentiles of ascending numbers, of which each occurs so often."""
    if not len(values):
        return dict.fromkeys(("mean", *_PERCENTILES))
    upto = counts.cumsum()
    total = int(upto[-1])
    ranks = [-(-total * share // 100) for share in _PERCENTILES.values()]
    found = values[upto.searchsorted(ranks)].tolist()
    # Numbers so large that their sum would be infinite are added as smaller ones.
    small = _SMALL if max(-values[0], values[-1]) > _LARGE else 1.0
    mean = (values * small * counts).sum() / total / small
    return {"mean": float(mean), **dict(zip(_PERCENTILES, found, strict=True))}


def _top(values: pa.Array, counts: np.ndarray) -> list[list]:
    """The commonest texts, with the rows that have them; of equally common ones the first in order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(values):  # of a column without rows nothing was ever counted
        return []
    table = pa.RecordBatch.from_arrays([values, as_arrow(counts)], ["text", "rows"])
    places = pc.select_k_unstable(table, _TOP, [("rows", "descending"), ("text", "ascending")])
    texts, rows = values.take(places).to_pylist(), counts[as_numpy(places)].tolist()
    return [[text[:_TOP_LENGTH], n] for text, n in zip(texts, rows, strict=True)]
