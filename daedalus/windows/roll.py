"""Rolling by the compiled kernel: reads the events of feed days, writes windows aligned with the rows.

It gives what `rolling_sql` selects; tests compare the two. Rows are read by row group, and events, sorted by user,
only for the users of that row group: memory grows neither with the number of days nor with the feed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from daedalus.base.errors import DayError
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.list_writer import Lists, decoded
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.tables.artifacts import fits, read_table, rows_of, write_table
from daedalus.tables.held import HELD
from daedalus.tables.sorting import whole
from daedalus.windows.groups import Groups, numbered
from daedalus.windows.spec import Rolling
from daedalus.windows.windows_file import write_windows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from daedalus.windows.seen import Seen

_Rolling = TypeVar("_Rolling", bound=Rolling)

_FOREVER = 1 << 60  # microseconds: the length of a window without an edge
_NO_LIMIT = 1 << 60
_NEVER = -(1 << 62)  # a time before all others, from which a window's length can be subtracted without overflow
_LONGEST_COLUMN = (1 << 31) - 1  # values that an Arrow list column holds
_READ_ROWS = 65_536
_CODED = 16  # bytes of an event that numbers of values take beside it, at most
_ROOM = 1 << 22  # values that the lists of a block are expected to have, at most
_NARROW = 4  # events of so many take the memory of one row of a spine


def roll(rolling: Rolling, rows: Path, events: Sequence[Path], out: Path) -> dict[str, int]:
    """Writes an aggregation's windows for `rows` (user_id, artwork_id, event_timestamp; sorted by user): lists in
    the form of windows_file.py, counts as one column per window. Returns the action's counts.

    `events` are files of (user_id, ts, value, and artwork_id when a row's own events are excluded), each
    sorted by all of these, the times of one file before those of the next. Raises DayError when lists
    without `max_items` are too long for a column.
    """
    import pyarrow as pa

    pieces = event_pieces(events, rolling, values=_reads_values(rolling))
    kind = pieces[0].schema.field("value").type if rolling.kind.listed else None
    result = pa.int64() if kind is None else pa.list_(pa.field("element", kind))
    schema = pa.schema([(name, result) for name, _ in rolling.windows])
    if rolling.kind.listed:
        blocks = (block_of(rolling, batch, pieces) for batch in row_batches(rolling, Rows(rows)))
        return {"rows": write_windows(out, schema, _lists(rolling, blocks))}
    counts = (found for _, found in counted(rolling, Rows(rows), pieces, events, schema))
    if fits(rows_of(rows)):
        return {"rows": write_table(out, pa.concat_tables([schema.empty_table(), *counts]))}
    return {"rows": write_parquet(out, schema, counts)}


def event_pieces(events: Sequence[Path], rolling: Rolling, *, values: bool) -> Sequence[_Whole | _Piece]:
    """What a rolling needs of files of events: in memory if all fit, else read as it is needed."""
    own = ["artwork_id"] * (rolling.without_self == "event")
    columns = [*rolling.groups, "ts", *["value"] * values, *own]
    form = f"events {columns} {rolling.groups}"
    held = [(path, HELD.get(path, form)) for path in events]
    if fits(sum(rows_of(path) if one is None else one.rows for path, one in held) // _NARROW):
        return [one or _events_held(path, columns, rolling.groups, form) for path, one in held]
    return [_Piece(path, columns, rolling.groups) for path in events]


def _events_held(path: Path, columns: Sequence[str], groups: Sequence[str], form: str) -> _Whole:
    """A file of events, which is held: the days after its own read it too."""
    table = read_table(path, columns)
    found = _Whole(table, groups)
    HELD.put(path, found, table.nbytes + _CODED * table.num_rows, form)
    return found


class Rows(NamedTuple):
    """The rows of a file, by row group or so `many` at a time, with `further` columns besides what a rolling needs."""

    path: Path
    many: int = 0
    further: Sequence[str] = ()


def row_batches(rolling: Rolling, rows: Rows) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    path, many = rows.path, rows.many or ROWS_PER_GROUP
    columns = [*rolling.groups, "event_timestamp", *["artwork_id"] * bool(rolling.without_self), *rows.further]
    if fits(rows_of(path)):
        yield from read_table(path, columns).to_batches(many)
    else:
        yield from pq.ParquetFile(path).iter_batches(many, columns=columns, use_threads=False)


def seen_by_rows(
    rolling: Rolling, rows: Rows, pieces: Sequence[_Piece | _Whole], events: Sequence[Path]
) -> Iterator[tuple[pa.RecordBatch, Seen, pa.Array]]:
    """Each batch of rows, what it sees of `pieces`, which are those of the files `events`, and the values by code."""
    from daedalus.windows.seen import seen_by_batch, seen_of

    schema, spans = pieces[0].schema, [seconds for _, seconds in rolling.windows]
    zeros = rolling.kind.distinct and "value" in schema.names and _has_two_zeros(schema.field("value").type)
    files, whole_file = [str(path) for path in events], fits(rows_of(rows.path))
    what = (rows.many or ROWS_PER_GROUP, whole_file, spans, rolling.without_self, rolling.groups, zeros, schema.names,
            files)  # fmt: skip

    def find(batch: pa.RecordBatch) -> tuple[Seen, pa.Array]:
        block = block_of(rolling, batch, pieces, apart=False)
        return seen_of(block.arguments, rolling.without_self, block.names), block.values

    return seen_by_batch(rows.path, f"seen {what}", row_batches(rolling, rows), find)


def roll_table(rolling: Rolling, rows: pa.Table, events: pa.Table) -> pa.Table:
    """The same for tables in memory: one column per window, in the order of `rows`, which may be any.

    `events` are (user_id, ts, value, artwork_id) by time and value, with NULLs only in the artworks.
    A row whose time is NULL sees no events.
    """
    import pyarrow as pa

    names = [name for name, _ in rolling.windows]
    if not rows.num_rows:
        kind = pa.int64() if not rolling.kind.listed else pa.list_(events.schema.field("value").type)
        return pa.schema([(name, kind) for name in names]).empty_table()
    rolling, batch, pieces, places = by_user(rolling, rows, events)
    block = block_of(rolling, batch, pieces)
    if not rolling.kind.listed:
        counts = _counts(rolling, block, pa.schema([(name, pa.int64()) for name, _ in rolling.windows]))
        return counts.take(places).select(names)
    (lists,) = _lists(rolling, [block])
    schema = pa.schema([(name, pa.list_(lists.values.type)) for name, _ in rolling.windows])
    parts = [places[at : at + ROWS_PER_GROUP] for at in range(0, len(places), ROWS_PER_GROUP)]
    return pa.concat_tables(
        decoded(replace(lists, begins=lists.begins[some], sizes=lists.sizes[some]), schema) for some in parts
    ).select(names)


def by_user(
    rolling: _Rolling, rows: pa.Table, events: pa.Table
) -> tuple[_Rolling, pa.RecordBatch, Sequence[_All], np.ndarray]:
    """The arguments of `block_of` for tables as `roll_table` takes them, windows shortest first, and where each row is
    among its rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.unique(events["user_id"])
    users = _positions(_as(rows["user_id"], known.type), known).astype(np.int64)
    order = np.argsort(users, kind="stable")
    times = pc.fill_null(rows["event_timestamp"].cast(pa.int64()), _NEVER).cast(pa.timestamp("us"))
    columns = [pa.array(users), _as(rows["artwork_id"], events.schema.field("artwork_id").type), times]
    sorted_rows = pa.table(columns, ["user_id", "artwork_id", "event_timestamp"]).take(order).combine_chunks()
    owners = _positions(events["user_id"], known).astype(np.int64)
    events = events.set_column(0, "user_id", pa.array(owners)).take(np.argsort(owners, kind="stable"))
    rolling = replace(rolling, windows=tuple(sorted(rolling.windows, key=lambda window: window[1] or _FOREVER)))
    return rolling, sorted_rows.to_batches()[0], [_All(events)], np.argsort(order)


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The column cast to `kind`; integers that do not fit become NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) and pa.types.is_integer(kind):
        cast = column.cast(kind, safe=False)
        return pc.if_else(pc.equal(cast.cast(column.type, safe=False), column), cast, None)
    return column.cast(kind)


class _All:
    """A table with the events of all groups, in any order of groups, in place of a `_Piece`."""

    def __init__(self, table: pa.Table) -> None:
        self._table, self.schema = table, table.schema

    def of_groups(self, first: tuple, last: tuple) -> list[pa.RecordBatch]:
        return self._table.to_batches()


class _Whole:
    """A file of events in memory, sorted by group, in place of a `_Piece`."""

    def __init__(self, table: pa.Table, groups: Sequence[str]) -> None:
        self.schema, self.rows = table.schema, table.num_rows
        self._batches = table.to_batches()  # one, or none of no rows
        self._groups = Groups([table[name] for name in groups])
        self._values = table["value"] if "value" in table.column_names else None
        self._coded: tuple[np.ndarray, pa.Array] | None = None

    def of_groups(self, first: tuple, last: tuple) -> list[pa.RecordBatch]:
        begin, end = self._groups.span(first, last)
        return [batch.slice(begin, end - begin) for batch in self._batches]

    def codes_of_groups(self, first: tuple, last: tuple) -> tuple[np.ndarray, pa.Array]:
        """Numbers for the values of groups `first` to `last`, and the values of all by number, which are told apart
        once: all days read the same publications."""
        assert self._values is not None
        self._coded = self._coded or _coded(self._values)
        begin, end = self._groups.span(first, last)
        return self._coded[0][begin:end], self._coded[1]


def _reads_values(rolling: Rolling) -> bool:
    """Whether the values of events are needed; plain counts do not need them."""
    return rolling.kind.listed or rolling.without_self == "value"


class Block(NamedTuple):
    """A batch of rows and the events of their groups, as arguments of the kernel."""

    arguments: tuple
    values: pa.Array  # by code; where events have no codes, by event
    kinds: int  # how many own codes there are
    names: pa.Array  # of the rows' groups, by their first column


def block_of(
    rolling: Rolling, rows: pa.RecordBatch, pieces: Sequence[_Piece | _Whole | _All], *, apart: bool = True
) -> Block:
    """The block of rows. Where values need not be told `apart`, and nothing is left out by them, they have no codes, as
    each event has its own."""
    import numpy as np
    import pyarrow as pa

    groups = Groups([rows[name] for name in rolling.groups])
    found = [piece.of_groups(groups[0], groups[-1]) for piece in pieces]
    ends = np.cumsum([0, *(sum(batch.num_rows for batch in batches) for batches in found)])
    events = pa.Table.from_batches(chain.from_iterable(found), pieces[0].schema).combine_chunks()
    codes, values = np.zeros(events.num_rows, np.int32) if apart else None, pa.nulls(1)
    if _reads_values(rolling):
        column = _one_zero(events["value"]) if rolling.kind.distinct else events["value"]
        apart = apart or rolling.without_self == "value" or pa.types.is_dictionary(column.type)
        codes, values = _codes(pieces, groups, column) if apart else (None, whole(column))
    row_groups, event_groups = numbered(*([table[name] for name in rolling.groups] for table in (rows, events)))
    own, row_own, kinds = codes, np.full(len(row_groups), -1, np.int32), len(values)
    if rolling.without_self:
        owners = values
        if rolling.without_self == "event":
            own, owners = _coded(events["artwork_id"])
        row_own, kinds = _positions(rows["artwork_id"], owners), len(owners)
    row_columns = (row_groups, _micros(rows["event_timestamp"]), row_own)
    event_columns = (event_groups, _micros(events["ts"]), codes, own)
    spans = np.array([_FOREVER if s is None else s * 1_000_000 for _, s in rolling.windows])
    runs = np.concatenate(([0], np.flatnonzero(np.diff(row_groups)) + 1, [len(row_groups)]))
    pieces_of = np.stack([ends[:-1], ends[1:]], axis=1)
    return Block((runs, row_columns, event_columns, pieces_of, spans), values, kinds, rows[rolling.groups[0]])


def _codes(
    pieces: Sequence[_Piece | _Whole | _All], groups: Groups, column: pa.ChunkedArray
) -> tuple[np.ndarray, pa.Array]:
    """Numbers for the values of groups, which are the `column`, and the values by number."""
    if len(pieces) == 1 and isinstance(pieces[0], _Whole) and not _has_two_zeros(column.type):
        return pieces[0].codes_of_groups(groups[0], groups[-1])
    return _coded(column)


def counted(
    rolling: Rolling, rows: Rows, pieces: Sequence[_Piece | _Whole], events: Sequence[Path], schema: pa.Schema
) -> Iterator[tuple[pa.RecordBatch, pa.Table]]:
    """Each batch of rows, and how many events it sees; arguments as in `seen_by_rows`."""
    if rolling.without_self:
        for batch in row_batches(rolling, rows):
            yield batch, _counts(rolling, block_of(rolling, batch, pieces), schema)
    else:
        for batch, seen, _ in seen_by_rows(rolling, rows, pieces, events):
            yield batch, _as_columns(seen.ends[:, None] - seen.begins, schema)


def _counts(rolling: Rolling, block: Block, schema: pa.Schema) -> pa.Table:
    from daedalus.windows import kernel

    return _as_columns(kernel.count_events(*block.arguments, block.kinds), schema)


def _as_columns(counts: np.ndarray, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_arrays([pa.array(column) for column in counts.T], schema=schema)


def _lists(rolling: Rolling, blocks: Iterable[Block]) -> Iterator[Lists]:
    import numpy as np

    from daedalus.windows import kernel

    limit = min(rolling.max_items or _NO_LIMIT, _NO_LIMIT)
    many_own = rolling.without_self == "event" or (rolling.without_self == "value" and not rolling.kind.distinct)
    noted = not rolling.without_self
    room = np.empty(_ROOM, np.int32)  # kept from block to block; memory that is never written to costs nothing
    for block in blocks:
        room, begins, sizes, firsts = kernel.newest_values(
            *block.arguments, limit, rolling.kind.distinct, many_own, noted, len(block.values), room
        )
        total = int(sizes[:, -1].sum())
        if total > _LONGEST_COLUMN:
            raise DayError("lists too long for a column", where="training/aggregations.yaml", found="no max_items",
                           expected=f"at most {_LONGEST_COLUMN:,} values in {len(begins):,} rows",
                           hint="set max_items")  # fmt: skip
        yield Lists(room[:total], begins, sizes, block.values, firsts=firsts if noted else None)


def _coded(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Numbers for a column's values, and the values by number."""
    coded = whole(column).dictionary_encode()
    return coded.indices.to_numpy(), coded.dictionary


def _one_zero(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turns -0.0 into 0.0: as distinct values they are equal, but Arrow would give them two numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.add(column, pa.scalar(0, column.type)) if _has_two_zeros(column.type) else column


def _has_two_zeros(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return kind in (pa.float32(), pa.float64())


def _positions(column: pa.Array, among: pa.Array) -> np.ndarray:
    """The index of each value in `among`, -1 for a value that is not there."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.index_in(column, value_set=among), -1).to_numpy(zero_copy_only=False)


def _micros(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    import pyarrow as pa

    return whole(column).view(pa.int64()).to_numpy()


class _Piece:
    """A file of events, sorted by group and read once from front to back."""

    def __init__(self, path: Path, columns: Sequence[str], groups: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        self._batches = file.iter_batches(_READ_ROWS, columns=list(columns), use_threads=False)
        self.schema = pa.schema([file.schema_arrow.field(name) for name in columns])
        self._held = self.schema.empty_table()
        self._groups = groups
        self._last: tuple | None = None  # the last group held

    def of_groups(self, first: tuple, last: tuple) -> list[pa.RecordBatch]:
        """The events of groups `first` to `last`, inclusive. Events of earlier ones are dropped; `last` is kept, since
        the next batch of rows may begin with that group."""
        import pyarrow as pa

        held = [self._held]
        while self._last is None or self._last <= last:
            batch = next(self._batches, None)
            if batch is None:
                break
            if batch.num_rows:
                self._last = Groups([batch[name] for name in self._groups])[-1]
                held.append(pa.Table.from_batches([batch]).select(self.schema.names))
        table = pa.concat_tables(held)
        groups = Groups([table[name] for name in self._groups])
        begin, end = groups.span(first, last)
        self._held = table.slice(groups.span(last, last)[0])
        return table.slice(begin, end - begin).to_batches()
