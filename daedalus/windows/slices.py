"""Computes an action whose output has a row for each of its rows in parts: `run` itself, on slices of what it reads.

A slice is whole row groups of the rows, so that a part's row groups are those of the whole, however many rows one user
has; and of files of events, which are sorted by user, the events of the users that the slice has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.splice import stacked
from daedalus.stagecache.action import Counts, Part, Parts
from daedalus.windows.groups import Groups
from daedalus.windows.windows_file import has_windows

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Run = Callable[[Mapping[str, Path], Path], Counts]

USER = "user_id"
_BATCH = 65_536


def in_slices(run: Run, rows: str, columns: Sequence[str], events: Sequence[str] = ()) -> Parts:
    """The parts of an action that is `run`: it reads these columns of what the action `rows` made, and `events`."""
    return Parts(lambda known: known[rows], partial(_run_slice, run, rows, [USER, *columns], events), join)


def _run_slice(
    run: Run, rows: str, columns: Sequence[str], events: Sequence[str], part: Part, upstream: Mapping[str, Path],
    out: Path,
) -> Counts:  # fmt: skip
    with TemporaryDirectory(prefix="slice-", dir=out.parent) as folder:
        sliced = {rows: Path(folder, "rows.parquet")}
        users = _slice_rows(upstream[rows], list(dict.fromkeys(columns)), part, sliced[rows])
        for i, name in enumerate(events):
            sliced[name] = Path(folder, f"events-{i}.parquet")
            _slice_events(upstream[name], users, sliced[name])
        return run({**upstream, **sliced}, out)


def _slice_rows(path: Path, columns: Sequence[str], part: Part, out: Path) -> tuple[tuple, tuple] | None:
    """Writes a part of the row groups; returns its first and its last user, None if it has no rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    users: list[tuple] = []
    with pq.ParquetFile(path) as file:

        def groups() -> Iterator[pa.Table]:
            for group in part.of(file.num_row_groups):
                table = file.read_row_group(group, columns=columns, use_threads=False)
                found = Groups([table[USER]])
                users.extend((found[0], found[-1]))
                yield table.select(columns)

        write_unpacked(out, pa.schema([file.schema_arrow.field(name) for name in columns]), groups())
    return (users[0], users[-1]) if users else None


def _slice_events(path: Path, users: tuple[tuple, tuple] | None, out: Path) -> None:
    """Writes the events of users, first to last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:

        def batches() -> Iterator[pa.Table]:
            if users is None:
                return
            for batch in file.iter_batches(_BATCH, use_threads=False):
                found = Groups([batch[USER]])
                if not len(found) or found[-1] < users[0]:
                    continue
                if found[0] > users[1]:
                    return
                begin, end = found.span(*users)
                yield pa.Table.from_batches([batch.slice(begin, end - begin)])

        write_unpacked(out, file.schema_arrow, batches())


def write_unpacked(out: Path, schema: pa.Schema, tables: Iterator[pa.Table]) -> int:
    """Writes a file that is read once and then removed: as fast as it can be, but text is numbered."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type)]
    rows = 0
    with pq.ParquetWriter(
        out, schema, compression="none", use_dictionary=texts, write_statistics=False, store_schema=False
    ) as writer:
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    return rows


def join(parts: Sequence[Path], upstream: Mapping[str, Path], out: Path) -> Counts:
    """Puts the rows of parts together. Windows are copied as they are: their row groups are those of the whole."""
    import pyarrow.parquet as pq

    if has_windows(parts[0]):
        return {"rows": stacked(parts, out)}
    return {"rows": write_parquet(out, pq.read_schema(parts[0]), _tables(map(pq.ParquetFile, parts)))}


def _tables(files: Iterator[pq.ParquetFile]) -> Iterator[pa.Table]:
    for file in files:
        with file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, use_threads=False)
