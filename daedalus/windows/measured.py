"""Rolling of the kinds in kinds/: reads rows and events as the lists and counts of roll.py are, a column per window.

It gives what `measured_sql` selects; tests compare the two, and both with plain Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.config.aggregation_kinds import AggregationKind
from daedalus.parquet.writer import write_parquet
from daedalus.tables.artifacts import fits, rows_of, write_table
from daedalus.tables.sorting import whole
from daedalus.windows.kinds.kind import kind_of, result_of
from daedalus.windows.kinds.seen import seen_of
from daedalus.windows.roll import Block, block_of, by_user, event_pieces, row_batches
from daedalus.windows.spec import Measured, Rolling

if TYPE_CHECKING:
    import pyarrow as pa

    from daedalus.windows.kinds.seen import Seen

Compute = Callable[["Seen", "pa.Array", Measured], list["pa.Array"]]


def measure(
    measured: Measured, gives: str, reads: AggregationKind, compute: Compute, rows: Path, events: Sequence[Path],
    out: Path,
) -> dict[str, int]:  # fmt: skip
    """Writes a kind's columns for `rows`, of files as `roll` takes them; returns the action's counts.

    `gives` is as a kind says it, `reads` and `compute` are the kind's own. Raises DayError for what a column cannot
    hold.
    """
    read = Rolling(reads, measured.windows, measured.without_self)
    values = ["value"] if reads.listed or measured.without_self == "value" else []
    owners = ["artwork_id"] if measured.without_self == "event" else []
    pieces = event_pieces(events, ["user_id", "ts", *values, *owners])
    kind = pieces[0].schema.field("value").type if values else None
    result = result_of(gives, kind)
    schema = _schema(measured, result)
    batches = row_batches(rows, ["user_id", "artwork_id", "event_timestamp"])
    tables = (_computed(measured, compute, schema, block_of(read, batch, pieces)) for batch in batches)
    return {"rows": _written(out, schema, tables, whole=gives != "list" and fits(rows_of(rows)))}


def _written(out: Path, schema: pa.Schema, tables: Iterator[pa.Table], *, whole: bool) -> int:
    """Writes tables, and holds them if they are to be in memory as a `whole`; returns the number of rows."""
    import pyarrow as pa

    if whole:
        return write_table(out, pa.concat_tables([schema.empty_table(), *tables]))
    return write_parquet(out, schema, tables)


def measure_table(measured: Measured, rows: pa.Table, events: pa.Table) -> pa.Table:
    """The same for tables as `roll_table` takes them."""
    import numpy as np
    import pyarrow as pa

    kind, names = kind_of(measured), [name for name, _ in measured.windows]
    result = result_of(measured.kind.gives, events.schema.field("value").type)
    if not rows.num_rows:
        return pa.schema([(name, result) for name in names]).empty_table()
    measured, batch, pieces, places = by_user(measured, rows, events)
    block = block_of(Rolling(kind.reads, measured.windows, measured.without_self), batch, pieces)
    block = block._replace(users=whole(rows["user_id"]).take(pa.array(np.argsort(places))))
    found = _computed(measured, kind.compute, _schema(measured, result), block)
    return found.take(pa.array(places)).select(names)


def _schema(measured: Measured, result: pa.DataType) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, result) for name, _ in measured.windows])


def _computed(measured: Measured, compute: Compute, schema: pa.Schema, block: Block) -> pa.Table:
    """The columns of a batch of rows."""
    import pyarrow as pa

    seen = seen_of(block.arguments, measured.without_self, block.users)
    columns = compute(seen, block.values, measured)
    return pa.Table.from_arrays([c.cast(field.type) for c, field in zip(columns, schema, strict=True)], schema=schema)
