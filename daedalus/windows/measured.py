"""Rolling of the kinds in kinds/: reads rows and events as the lists and counts of roll.py are, a column per window.

It gives what `measured_sql` selects; tests compare the two, and both with plain Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.config.aggregation_kinds import AggregationKind
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.tables.artifacts import fits, rows_of, write_table
from daedalus.tables.sorting import whole
from daedalus.windows.kinds.kind import kind_of, result_of
from daedalus.windows.roll import Rows, block_of, by_user, event_pieces, seen_by_rows
from daedalus.windows.seen import seen_of
from daedalus.windows.spec import Measured, Rolling

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.windows.seen import Seen

Compute = Callable[["Seen", "pa.Array", Measured], list["pa.Array"]]


def measure(
    measured: Measured, gives: str, reads: AggregationKind, compute: Compute, rows: Path, events: Sequence[Path],
    out: Path,
) -> dict[str, int]:  # fmt: skip
    """Writes a kind's columns for `rows`, of files as `roll` takes them; returns the action's counts.

    `gives` is as a kind says it, `reads` and `compute` are the kind's own. Raises DayError for what a column cannot
    hold.
    """
    schema, found = measured_tables(measured, gives, reads, compute, Rows(rows), events)
    tables = (table for _, table in found)
    return {"rows": written(out, schema, tables, whole=gives != "list" and fits(rows_of(rows)))}


def measured_tables(
    measured: Measured, gives: str, reads: AggregationKind, compute: Compute, rows: Rows, events: Sequence[Path]
) -> tuple[pa.Schema, Iterator[tuple[pa.RecordBatch, pa.Table]]]:
    """(the schema of a kind's columns, each batch of rows with these)."""
    read = Rolling(reads, measured.windows, measured.without_self, groups=measured.groups)
    pieces = event_pieces(events, read, values=reads.listed or measured.without_self == "value")
    kind = pieces[0].schema.field("value").type if "value" in pieces[0].schema.names else None
    schema = _schema(measured, result_of(gives, kind))
    found = seen_by_rows(read, rows, pieces, events)
    return schema, ((batch, _computed(measured, compute, schema, seen, values)) for batch, seen, values in found)


def written(out: Path, schema: pa.Schema, tables: Iterator[pa.Table], *, whole: bool) -> int:
    """Writes tables, and holds them if they are to be in memory as a `whole`; returns the number of rows."""
    import pyarrow as pa

    if whole:
        return write_table(out, pa.concat_tables([schema.empty_table(), *tables]))
    return write_parquet(out, schema, tables)


def measure_table(measured: Measured, rows: pa.Table, events: pa.Table, called: pa.ChunkedArray) -> pa.Table:
    """The same for tables as `roll_table` takes them; `called` are what errors call the users of rows."""
    import numpy as np
    import pyarrow as pa

    kind, names = kind_of(measured), [name for name, _ in measured.windows]
    result = result_of(measured.kind.gives, events.schema.field("value").type)
    if not rows.num_rows:
        return pa.schema([(name, result) for name in names]).empty_table()
    measured, batch, pieces, places = by_user(measured, rows, events)
    block = block_of(Rolling(kind.reads, measured.windows, measured.without_self), batch, pieces, apart=False)
    seen = seen_of(block.arguments, measured.without_self, whole(called).take(pa.array(np.argsort(places))))
    found = _computed(measured, kind.compute, _schema(measured, result), seen, block.values)
    return found.take(pa.array(places)).select(names)


def _schema(measured: Measured, result: pa.DataType) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, result) for name, _ in measured.windows])


def _computed(measured: Measured, compute: Compute, schema: pa.Schema, seen: Seen, values: pa.Array) -> pa.Table:
    """The columns of a batch of rows."""
    import pyarrow as pa

    columns = compute(seen, values, measured)
    return pa.Table.from_arrays([c.cast(field.type) for c, field in zip(columns, schema, strict=True)], schema=schema)
