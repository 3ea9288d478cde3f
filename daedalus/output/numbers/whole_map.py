"""Writes the files of a map as one, whose bytes depend on the rows alone; full row groups are copied as they lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.ports import Scratch
from daedalus.parquet.splice import picked
from daedalus.parquet.writer import ROWS_PER_GROUP, write_groups, write_plain

if TYPE_CHECKING:
    import pyarrow as pa

Group = tuple[Path, int]  # a row group of a file, by its number


def write_below(out: Path, added: pa.Table, above: int) -> None:
    """Writes a piece of a map, below `above` rows of it, in row groups that end where those of the whole will."""
    import pyarrow as pa

    first = min(-above % ROWS_PER_GROUP, added.num_rows)
    cuts = [0, *range(first, added.num_rows, ROWS_PER_GROUP), added.num_rows]
    groups = (added.slice(begin, end - begin).combine_chunks() for begin, end in pairwise(cuts) if begin < end)
    with pa.OSFile(str(out), "wb") as file:
        write_groups(file, added.schema, groups)


def write_whole(files: Sequence[Path], scratch: Scratch) -> Path:
    """A new file with the rows of all the files, of which there is at least one, in their order."""
    out, more = scratch.path(".parquet"), scratch.path(".parquet")
    groups, others = _divided(files, more)
    write_plain(more, _schema(), _rows(others))
    try:
        picked(groups, more, out)
    except ValueError:  # a map that another tool wrote
        write_plain(out, _schema(), _rows([group for group, _ in _groups(files)]))
    more.unlink()
    return out


def _divided(files: Sequence[Path], more: Path) -> tuple[list[Group], list[Group]]:
    """(the row groups of the whole: those of the files that lie as they must, else of `more`; those whose rows `more`
    has)."""
    groups = [*_groups(files)]
    found: list[Group] = []
    others: list[Group] = []
    made = held = 0  # row groups of `more`, and rows of the next one
    for place, (group, rows) in enumerate(groups, 1):
        if not held and (rows == ROWS_PER_GROUP or (rows < ROWS_PER_GROUP and place == len(groups))):
            found.append(group)
            continue
        others.append(group)
        held += rows
        while held >= ROWS_PER_GROUP or (held and place == len(groups)):
            found.append((more, made))
            made, held = made + 1, max(held - ROWS_PER_GROUP, 0)
    return found, others


def _groups(files: Sequence[Path]) -> Iterator[tuple[Group, int]]:
    """The row groups of the files, in order, each with its number of rows."""
    import pyarrow.parquet as pq

    for file in files:
        footer = pq.read_metadata(file)
        yield from (((file, i), footer.row_group(i).num_rows) for i in range(footer.num_row_groups))


def _rows(groups: Sequence[Group]) -> Iterator[pa.Table]:
    """The rows of row groups, one at a time."""
    import pyarrow.parquet as pq

    names = _schema().names
    for path, group in groups:
        with pq.ParquetFile(path) as file:
            yield file.read_row_group(group, names, use_threads=False).select(names).cast(_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("feed_session", pa.string()), ("qid", pa.int64())])
