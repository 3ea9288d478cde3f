"""A partition's part files: columns of the rows that ship, cut out of artifacts that have all rows of the sessions.

Which rows ship is decided last, so another content filter costs this much and no more: nothing is joined
or listed anew. Artifacts are cut together, a row group at a time, to one file, of which the parts are spliced.
A row group of the partition is what ships of a row group of the artifacts, whose numbers of values serve again, or of
several that together do not fill one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from daedalus.base.durable import remove_folder
from daedalus.parquet.footer import Assembled, Chunk, in_memory, joined
from daedalus.parquet.list_writer import Lists, chunks_of, form_of, numbered
from daedalus.parquet.splice import Source, Spliced
from daedalus.parquet.writer import ROWS_PER_GROUP, encodings_of
from daedalus.sql.text import ROW
from daedalus.tables.artifacts import read_table, rows_of
from daedalus.tables.plain_columns import Pieces, PlainColumns, ShippedColumns
from daedalus.tables.side_by_side import side_by_side
from daedalus.windows.windows_file import ITEMS, WindowsFile, has_windows

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SHIPPED = "qids"  # the artifact that has the rows that ship and no other
_SMALL = 16 << 20  # bytes of artifacts whose cut is put together in memory
Reuse = Callable[[Path], Mapping[str, Path]]


class Wanted(NamedTuple):
    """Columns of an artifact; `shipped` if it has the rows that ship and no other."""

    path: Path
    names: Sequence[str]
    shipped: bool = False


@dataclass(frozen=True)
class ParquetSink:
    """Writes partitions: `part-N-0.parquet` files of `chunk_rows` rows each but the last.

    `columns` are (name, artifact that holds it).
    """

    columns: tuple[tuple[str, str], ...]
    chunk_rows: int

    def write(self, folder: Path, artifacts: Mapping[str, Path], reuse: Reuse = lambda free: {}) -> int:
        """Writes the files of a partition to a new folder; returns the rows written.

        `artifacts` are the files by name. Those of `sessions` and of the rest are aligned row by row, in the same row
        groups; `content` says which of these rows ship. `reuse(free path)` gives files, by artifact, that have the
        columns of the rows that ship as they would be cut; it makes the folder of that path if it needs it.
        """
        cuts = folder.with_name(f"{folder.name}.columns")
        folder.mkdir()
        try:
            reused = reuse(cuts / "reused")
            wanted = self._wanted(artifacts, reused)
            groups = shipped_groups(artifacts) if wanted else []
            rows = sum(len(rows) for pieces in groups for _, rows in pieces)
            if not reused and rows <= self.chunk_rows:
                cut(wanted, groups, folder / "part-0-0.parquet", [name for name, _ in self.columns])
                return rows
            sources: dict[str, Source] = {**reused}
            if wanted:
                made = _cut(wanted, groups, cuts)
                sources = {source: reused.get(source, made) for _, source in self.columns}
            return self._splice(folder, sources)
        finally:
            if cuts.exists():
                remove_folder(cuts)

    def _wanted(self, artifacts: Mapping[str, Path], reused: Mapping[str, Path]) -> list[Wanted]:
        """The columns that are to be cut, by artifact."""
        names: dict[str, list[str]] = {}
        for name, source in self.columns:
            if source not in reused:
                names.setdefault(source, []).append(name)
        return [Wanted(artifacts[source], found, source == SHIPPED) for source, found in names.items()]

    def _splice(self, folder: Path, sources: Mapping[str, Source]) -> int:
        """Writes the files from some with the columns of all of them; returns the rows."""
        with Spliced(self.columns, sources) as whole:
            for part, begin in enumerate(range(0, max(whole.rows, 1), self.chunk_rows)):
                whole.write(folder / f"part-{part}-0.parquet", begin, min(begin + self.chunk_rows, whole.rows))
            return whole.rows


def _cut(wanted: Sequence[Wanted], groups: Sequence[Pieces], cuts: Path) -> Source:
    """A file of all that is to be cut, in memory if it is small."""
    small = sum(artifact.path.stat().st_size for artifact in wanted) <= _SMALL
    cuts.mkdir(exist_ok=True)
    made = io.BytesIO() if small else cuts / "cut"
    cut(wanted, groups, made)
    return made


def shipped_groups(artifacts: Mapping[str, Path]) -> list[Pieces]:
    kept = read_table(artifacts["content"], [ROW.strip('"')]).column(0).to_numpy()
    rows = rows_of(artifacts["sessions"])
    return row_groups(kept, [min(ROWS_PER_GROUP, rows - at) for at in range(0, rows, ROWS_PER_GROUP)])


def row_groups(kept: np.ndarray, group_rows: Sequence[int]) -> list[Pieces]:
    """The row groups of a partition that has the rows `kept`, which ascend, of artifacts with row groups of so many."""
    import numpy as np

    found: list[Pieces] = []
    filled, ends = ROWS_PER_GROUP, np.cumsum(group_rows)
    for group, rows in enumerate(np.split(kept, kept.searchsorted(ends))[: len(ends)]):
        if not len(rows):
            continue
        if filled + len(rows) > ROWS_PER_GROUP:
            found.append([])
            filled = 0
        found[-1].append((group, rows - (ends[group] - group_rows[group])))
        filled += len(rows)
    return found


def cut_sample(artifacts: Mapping[str, Path], source: str, out: Path) -> None:
    """Writes the first row group of a partition, all columns that `source` has of it.

    `artifacts` are `source`, whose rows are those of the sessions, `sessions` and `content`.
    """
    import pyarrow.parquet as pq

    names = [name for name in pq.read_schema(artifacts[source]).names if name != ITEMS]
    cut([Wanted(artifacts[source], names)], shipped_groups(artifacts)[:1], out)


def cut(
    wanted: Sequence[Wanted], groups: Sequence[Pieces], out: Path | BinaryIO, order: Sequence[str] = ()
) -> None:  # fmt: skip
    """Writes columns of artifacts with the rows in `groups`, the row groups that are written, in `order`; without one,
    windows come first.

    Windows become lists, all of them: how one is numbered follows from all, and must not from those that are chosen.
    """
    if isinstance(out, Path):
        with out.open("wb") as opened:
            cut(wanted, groups, opened, order)
        return
    import pyarrow as pa

    with ExitStack() as stack:
        listed = {artifact.path for artifact in wanted if has_windows(artifact.path)}
        lists = [stack.enter_context(WindowsFile(path)) for path, _, _ in wanted if path in listed]
        plain = [_opened(artifact, groups) for artifact in wanted if artifact.path not in listed]
        schema = pa.schema([field for columns in plain for field in columns.schema])
        forms = [form_of(windows.schema) for windows in lists] + [form_of(schema)] * bool(plain)
        columns = {name: form for form in forms for name in form.columns}
        names = order or [*columns]
        file = Assembled(out, joined([(name, columns[name]) for name in names]))

        def encoded() -> Iterator[Callable[[], dict[str, list[Chunk]]]]:
            """Reads row group by row group; what is returned encodes one."""
            encodings: Mapping[str, Any] | None = None
            for pieces in groups:
                table = None
                if plain:
                    arrays = [column for columns in plain for column in columns.of_rows(pieces)]
                    table = pa.Table.from_arrays(arrays, schema=schema)
                    encodings = encodings_of(schema, table) if encodings is None else encodings
                listed = [(windows.schema, _lists(windows, pieces)) for windows in lists]
                yield partial(_chunks, listed, table, encodings)

        sizes = [sum(len(rows) for _, rows in pieces) for pieces in groups]
        for rows, chunks in zip(sizes, side_by_side(encoded(), sum(sizes)), strict=True):
            file.add((chunk for name in names for chunk in chunks[name]), rows)
        file.finish()


def _chunks(
    listed: Sequence[tuple[pa.Schema, Lists]], table: pa.Table | None, encodings: Mapping[str, Any] | None
) -> dict[str, list[Chunk]]:  # fmt: skip
    """The column chunks of a row group by column."""
    chunks = {
        name: [chunk]
        for schema, lists in listed
        for name, chunk in zip(schema.names, chunks_of(schema, lists), strict=True)
    }
    if table is not None:
        rows = in_memory(table.schema, [table], encodings)
        chunks |= {name: rows.chunks(0, name) for name in table.column_names}
    return chunks


def _opened(artifact: Wanted, groups: Sequence[Pieces]) -> PlainColumns | ShippedColumns:
    if not artifact.shipped:
        return PlainColumns(artifact.path, artifact.names)
    return ShippedColumns(artifact.path, artifact.names, sum(len(rows) for pieces in groups for _, rows in pieces))


def _lists(windows: WindowsFile, pieces: Pieces) -> Lists:
    """A row group. Where most rows of one ship, with the values as they lie there, of which some may not occur now."""
    if len(pieces) == 1:
        ((group, rows),) = pieces
        lists = windows.group(group)
        if 2 * len(rows) > len(lists.begins):
            return replace(lists, begins=lists.begins.take(rows), sizes=lists.sizes.take(rows, axis=0))
        return numbered([_some(lists, rows)])
    return numbered([_some(windows.group(group), rows) for group, rows in pieces])


def _some(lists: Lists, rows: np.ndarray) -> Lists:
    """Some rows, and no more numbers than they have."""
    import numpy as np

    from daedalus.parquet import compiled_lists

    sizes = lists.sizes.take(rows, axis=0)
    ends = np.cumsum(sizes[:, -1])
    codes = np.empty(ends[-1], lists.codes.dtype)
    compiled_lists.prefixes(lists.codes, lists.begins.take(rows), sizes[:, -1], codes)
    return Lists(codes, ends - sizes[:, -1], sizes, lists.values)
