"""Rolling by other keys than the user. Rows come sorted by their keys (the step row_keys), are rolled in that order as
in roll.py and measured.py, and what they see is put back into their places.

Memory grows with the events of one key in the window, but neither with the rows nor with the results of a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.base.errors import DayError
from daedalus.config.aggregation_kinds import AggregationKind
from daedalus.parquet.list_writer import Lists, decoded
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.tables.artifacts import fits, rows_of
from daedalus.tables.sorting import whole
from daedalus.windows.measured import Compute, measured_tables, written
from daedalus.windows.put_back import put_back
from daedalus.windows.roll import (
    _LONGEST_COLUMN,
    Rows,
    _lists,
    _Piece,
    _reads_values,
    _Whole,
    block_of,
    counted,
    event_pieces,
    row_batches,
)
from daedalus.windows.spec import PLACE, Measured, Rolling
from daedalus.windows.windows_file import ITEMS, write_windows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_BATCH = 8  # row groups of rows at a time, where a row has no list: a large group is gathered anew for each batch


class Keyed(NamedTuple):
    """The rows of the sessions, and what row_keys has of them."""

    rows: Path
    keys: Path


def roll_by_key(rolling: Rolling, keyed: Keyed, events: Sequence[Path], out: Path) -> dict[str, int]:
    """Writes the windows of lists and counts as `roll` does; files of events have the columns of the groups."""
    import pyarrow as pa

    pieces = event_pieces(events, rolling, values=_reads_values(rolling))
    if not rolling.kind.listed:
        schema = pa.schema([(name, pa.int64()) for name, _ in rolling.windows])
        return _write(out, schema, counted(rolling, _rows(keyed, _BATCH), pieces, events, schema), keyed, 0)
    kind = pieces[0].schema.field("value").type
    schema = pa.schema([(name, pa.list_(pa.field("element", kind))) for name, _ in rolling.windows])
    tables = ((places, _as_table(one, schema)) for places, one in _listed(rolling, keyed, pieces))
    empty = pa.table([pa.array([[]], schema.field(-1).type), *([pa.array([0], pa.int32())] * len(schema))],
                     [ITEMS, *schema.names])  # fmt: skip
    back = put_back(tables, rows_of(keyed.rows), empty, out.parent)
    return {"rows": write_windows(out, schema, map(_as_lists, back))}


def measure_by_key(
    measured: Measured, gives: str, reads: AggregationKind, compute: Compute, keyed: Keyed, events: Sequence[Path],
    out: Path,
) -> dict[str, int]:  # fmt: skip
    """Writes the columns of a kind as `measure` does."""
    rows = _rows(keyed, 1 if gives == "list" else _BATCH)
    schema, found = measured_tables(measured, gives, reads, compute, rows, events)
    empty: object = {"NULL": None, "0": 0, "[]": []}[measured.kind.empty]
    return _write(out, schema, found, keyed, empty)


def _rows(keyed: Keyed, groups: int) -> Rows:
    """The rows by their keys, so many row groups at a time."""
    return Rows(keyed.keys, groups * ROWS_PER_GROUP, [PLACE])


def _listed(rolling: Rolling, keyed: Keyed, pieces: Sequence[_Piece | _Whole]) -> Iterator[tuple[np.ndarray, Lists]]:
    """The lists of each batch of rows, with the places of these."""
    batches, again = tee(row_batches(rolling, _rows(keyed, 1)))
    lists = _lists(rolling, (block_of(rolling, batch, pieces) for batch in batches))
    return ((batch[PLACE].to_numpy(), one) for one, batch in zip(lists, again, strict=True))


def _write(
    out: Path, schema: pa.Schema, found: Iterable[tuple[pa.RecordBatch, pa.Table]], keyed: Keyed, empty: object
) -> dict[str, int]:
    """Writes columns of batches in the places of their rows, `empty` for rows without a key."""
    import pyarrow as pa

    rows = rows_of(keyed.rows)
    none = pa.Table.from_arrays([pa.array([empty], field.type) for field in schema], schema=schema)
    listed = any(pa.types.is_list(field.type) for field in schema)
    placed = ((batch[PLACE].to_numpy(), table) for batch, table in found)
    tables = put_back(placed, rows, none, out.parent)
    return {"rows": written(out, schema, tables, whole=not listed and fits(rows))}


def _as_table(lists: Lists, schema: pa.Schema) -> pa.Table:
    """The longest list of each row, and the length of each window's."""
    import pyarrow as pa

    longest = replace(lists, sizes=lists.sizes[:, -1:])
    table = decoded(longest, pa.schema([(ITEMS, schema.field(-1).type)]))
    for name, sizes in zip(schema.names, lists.sizes.T, strict=True):
        table = table.append_column(name, pa.array(sizes, pa.int32()))
    return table


def _as_lists(table: pa.Table) -> Lists:
    import numpy as np

    sizes = np.stack([column.to_numpy() for column in table.columns[1:]], axis=1).astype(np.int64)
    if (total := int(sizes[:, -1].sum())) > _LONGEST_COLUMN:
        raise DayError("lists too long for a column", where="training/aggregations.yaml", found=f"{total:,} values",
                       expected=f"at most {_LONGEST_COLUMN:,} values in {len(sizes):,} rows",
                       hint="set max_items")  # fmt: skip
    coded = whole(table[ITEMS]).flatten().dictionary_encode()
    begins = np.cumsum(sizes[:, -1]) - sizes[:, -1]
    return Lists(coded.indices.to_numpy(), begins, sizes, coded.dictionary)
