"""Reads and writes artifacts as Arrow tables; columns that are held in memory are not read again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.tables.held import EVENTS, HELD, NUMBERS, SESSIONS
from daedalus.tables.sorting import has_one_order, numbered_text, order_of, sort_keys, whole
from daedalus.tables.taken import taken_rows, text_of, with_used_values

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

Files = Mapping[str, Sequence[Path | str]]  # by the name that a step gives them

_NUMBERED = 8  # bytes of a value, and its share of the dictionary, in a column that is numbers of values
_SHORT = 1 << 16  # bytes of a file
_ROW_BYTES = 300  # of a row of the spine in memory, with what sorting it takes


def read_table(path: Path | str, columns: Sequence[str]) -> pa.Table:
    """Columns of an artifact, each of one chunk."""
    import pyarrow as pa

    table = read_coded(path, columns)
    if not any(pa.types.is_dictionary(kind) for kind in table.schema.types):
        return table
    texts = [text_of(whole(column)) if pa.types.is_dictionary(column.type) else column for column in table.columns]
    return pa.table(texts, table.column_names)


def read_coded(path: Path | str, columns: Sequence[str]) -> pa.Table:
    """The same; text that is in memory as numbers of values stays so."""
    found = held_columns(path, columns)
    if found is not None:
        return found
    table = _read(path, columns, _held(path))
    _hold(path, table)
    return table.select(list(columns))


def held_columns(path: Path | str, columns: Sequence[str]) -> pa.Table | None:
    """The same as `read_coded` if all of them are in memory."""
    held = _held(path)
    return held.select(list(columns)) if held is not None and set(columns) <= set(held.column_names) else None


def _held(path: Path | str) -> pa.Table | None:
    held: pa.Table | None = HELD.get(path)
    return held if held is not None else HELD.get(path, NUMBERS)


def read_events(path: Path | str) -> pa.DictionaryArray:
    """The column `event` of a spine as numbers of its values, which is a third of the time that its text takes."""
    found: pa.DictionaryArray | None = HELD.get(path, EVENTS)
    if found is None:
        held = held_columns(path, ["event"])
        column = whole((held if held is not None else read_file(path, ["event"], ["event"]))["event"])
        found = numbered_text(column)
        if found is not column or held is None:
            HELD.put(path, found, found.nbytes, EVENTS)
    return found


class SessionNumbers(NamedTuple):
    """The sessions of rows as numbers from 0 up; that of rows without one is `null`, the largest."""

    numbers: np.ndarray
    null: int


def read_sessions(path: Path | str) -> SessionNumbers:
    """The column `feed_session` of a spine as numbers of its values."""
    found: SessionNumbers | None = HELD.get(path, SESSIONS)
    if found is None:
        coded = whole(read_table(path, ["feed_session"])["feed_session"]).dictionary_encode()
        null = len(coded.dictionary)
        found = SessionNumbers(coded.indices.fill_null(null).to_numpy(), null)
    return found


def hold_sessions(path: Path | str, found: SessionNumbers) -> None:
    """Holds the numbers of a spine's sessions for the step that reads them."""
    HELD.put(path, found, found.numbers.nbytes, SESSIONS)


def _read(path: Path | str, columns: Sequence[str], held: pa.Table | None) -> pa.Table:
    """All columns wanted and those that are held; reads the others."""
    if held is None:
        return read_file(path, columns)
    table = read_file(path, [name for name in columns if name not in held.column_names])
    for name in held.column_names:
        table = table.append_column(name, held[name])
    return table


def read_file(path: Path | str, columns: Sequence[str] | None = None, numbered: Sequence[str] = ()) -> pa.Table:
    """Columns of any parquet file, each of one chunk; None for all of them. Nothing is held.

    Columns of text among `numbered` come as numbers of values, as they are in most files, where pyarrow can do that in
    no more time than it takes to read text; in a short file, to find that out takes longer.
    """
    import pyarrow.parquet as pq

    with open(path, "rb") as source:
        footer = pq.read_metadata(source) if numbered and os.fstat(source.fileno()).st_size > _SHORT else None
        coded = _numbered_there(footer, numbered) if footer else None
        with pq.ParquetFile(source, metadata=footer, read_dictionary=coded) as file:
            return file.read(columns and list(columns), use_threads=False).combine_chunks()


def _numbered_there(footer: pq.FileMetaData, names: Sequence[str]) -> list[str]:
    """The columns among `names` that are numbers of values in a file, as far as bytes tell: else pyarrow tells values
    apart one by one. It gives no numbers for delta encodings."""
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    places = {footer.schema.column(i).path: i for i in range(footer.num_columns)}

    def is_numbered(name: str) -> bool:
        chunks = [group.column(places[name]) for group in groups]
        if any(encoding.startswith("DELTA") for chunk in chunks for encoding in chunk.encodings):
            return False
        size = sum(chunk.total_uncompressed_size for chunk in chunks)
        return size < _NUMBERED * sum(chunk.num_values for chunk in chunks)

    return [name for name in names if name in places and is_numbered(name)]


def rows_of(path: Path | str) -> int:
    """The rows of an artifact."""
    import pyarrow.parquet as pq

    held = HELD.get(path)
    if held is not None:
        return held.num_rows
    return pq.read_metadata(path).num_rows


def fits(rows: int) -> bool:
    """Whether so many rows of a feed day can be worked on in memory, within a worker's share."""
    return rows * _ROW_BYTES <= HELD.each


def fits_whole(*paths: Path | str, times: int = 1) -> bool:
    """Whether all of some files can be read into memory so many times, within a worker's share: lists and text may
    have four times the bytes there that they have unpacked in a file. What is held there is."""
    import pyarrow.parquet as pq

    size = 0
    for footer in (pq.read_metadata(path) for path in paths if HELD.get(path) is None):
        unpacked = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
        size += 4 * unpacked + 8 * footer.num_rows * footer.num_columns
    return HELD.each > 0 and times * size <= HELD.each


def write_table(path: Path, table: pa.Table) -> int:
    """Writes an artifact and holds it; returns the number of rows. Text may be numbers of values, each of which has
    one: the bytes are those of plain text."""
    table = table.combine_chunks()
    rows = write_parquet(path, table.schema, _row_groups(table))
    _hold(path, table)
    return rows


def write_sorted(rows: pa.Table, out: Path) -> Mapping[str, int] | None:
    """Writes rows sorted by all their columns, which so are in a total order; None where only the SQL sorts them."""
    keys = sort_keys(rows.columns) if all(map(has_one_order, rows.columns)) else None
    return None if keys is None else {"rows": write_table(out, taken_rows(rows, order_of(keys)))}


def _row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """A table by row group, where text that is numbers of values has those that occur there, the first one first."""
    import pyarrow as pa

    numbered = [i for i, kind in enumerate(table.schema.types) if pa.types.is_dictionary(kind)]
    for at in range(0, table.num_rows, ROWS_PER_GROUP) if numbered else ():
        group = table.slice(at, ROWS_PER_GROUP)
        for place in numbered:
            group = group.set_column(place, table.field(place), with_used_values(whole(group.column(place))))
        yield group
    if not numbered:
        yield table


def _hold(path: Path | str, table: pa.Table) -> None:
    """Holds a table, or what is no text of one that is too large: of a spine, what most steps read."""
    import pyarrow as pa

    if HELD.takes(table.nbytes):
        HELD.put(path, table, table.nbytes)
    else:
        numbers = table.select([field.name for field in table.schema if not pa.types.is_string(field.type)])
        HELD.put(path, numbers, numbers.nbytes, NUMBERS)
