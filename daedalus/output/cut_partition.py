"""A partition's part files: columns of the rows that ship, cut out of artifacts that have all rows of the sessions.

Which rows ship is decided last, so another content filter costs this much and no more: nothing is joined
or listed anew. Each artifact is cut to a file of its own, a row group at a time; the files align, and are spliced.
A row group of the partition is what ships of a row group of the artifacts, whose numbers of values serve again, or of
several that together do not fill one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.base.durable import remove_folder
from daedalus.parquet.list_writer import Lists, numbered, write_lists
from daedalus.parquet.splice import Spliced
from daedalus.parquet.writer import ROWS_PER_GROUP, write_groups
from daedalus.sql.text import ROW
from daedalus.windows.windows_file import ITEMS, WindowsFile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

_SHIPPED = "qids"  # the artifact that has the rows that ship and no other
_Pieces = list[tuple[int, "np.ndarray"]]  # a row group of a partition: (row group of the artifacts, places in it)
Reuse = Callable[[Path], Mapping[str, Path]]


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
        columns of the rows that ship as they would be cut.
        """
        cuts = folder.with_name(f"{folder.name}.columns")
        folder.mkdir()
        cuts.mkdir()
        try:
            with Spliced(self.columns, _aligned(self.columns, artifacts, cuts, reuse)) as whole:
                for part, begin in enumerate(range(0, max(whole.rows, 1), self.chunk_rows)):
                    whole.write(folder / f"part-{part}-0.parquet", begin, min(begin + self.chunk_rows, whole.rows))
                return whole.rows
        finally:
            remove_folder(cuts)


def _aligned(
    columns: Sequence[tuple[str, str]], artifacts: Mapping[str, Path], cuts: Path, reuse: Reuse
) -> dict[str, Path]:
    """Files with the columns of the rows that ship, by artifact: cut to `cuts` where there is none."""
    aligned = dict(reuse(cuts / "reused"))
    groups = _row_groups(artifacts)
    for number, source in enumerate(dict.fromkeys(source for _, source in columns)):
        if source not in aligned:
            aligned[source] = cuts / str(number)
            names = [name for name, of in columns if of == source]
            _put_into(groups, source, artifacts[source], names, aligned[source])
    return aligned


def _row_groups(artifacts: Mapping[str, Path]) -> list[_Pieces]:
    import pyarrow.parquet as pq

    there = pq.read_metadata(artifacts["sessions"])
    with pq.ParquetFile(artifacts["content"]) as file:
        kept = file.read(use_threads=False)[ROW.strip('"')].to_numpy()
    return row_groups(kept, [there.row_group(i).num_rows for i in range(there.num_row_groups)])


def row_groups(kept: np.ndarray, group_rows: Sequence[int]) -> list[_Pieces]:
    """The row groups of a partition that has the rows `kept`, which ascend, of artifacts with row groups of so many."""
    import numpy as np

    found: list[_Pieces] = []
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
    """Writes the first row group of a partition, all columns that `source`, which is not `content`, has of it.

    `artifacts` are `source`, `sessions` and `content`.
    """
    import pyarrow.parquet as pq

    groups = _row_groups(artifacts)[:1]
    names = [name for name in pq.read_schema(artifacts[source]).names if name != ITEMS]
    _put_into(groups, source, artifacts[source], names, out)


def _put_into(groups: Sequence[_Pieces], source: str, path: Path, names: Sequence[str], out: Path) -> None:
    (regroup if source == _SHIPPED else cut)(path, names, groups, out)


def regroup(path: Path, names: Sequence[str], groups: Sequence[_Pieces], out: Path) -> None:
    """Writes columns of an artifact that has the rows that ship and no other, in the row groups of the partition."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=list(names), use_threads=False, partitioning=None)
    sizes = [sum(len(rows) for _, rows in pieces) for pieces in groups]
    if sum(sizes) != table.num_rows:
        raise ValueError(f"{table.num_rows} rows where {sum(sizes)} ship")
    tables = [table.slice(end - size, size) for end, size in zip(accumulate(sizes), sizes, strict=True)]
    write_groups(out, table.schema, tables)


def cut(path: Path, names: Sequence[str], groups: Sequence[_Pieces], out: Path) -> None:
    """Writes columns of an artifact with the rows in `groups`, the row groups that are written.

    Windows become lists, all of them: how one is numbered follows from all, and must not from those that are chosen.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    if ITEMS in metadata.schema.to_arrow_schema().names:
        with WindowsFile(path) as windows:
            write_lists(out, windows.schema, (_lists(windows, pieces) for pieces in groups))
    else:
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=_coded(metadata)) as file:
            schema = pa.schema([file.schema_arrow.field(name) for name in names])
            write_groups(out, schema, (_rows(file, schema.names, pieces) for pieces in groups))


def _coded(metadata: pq.FileMetaData) -> list[str]:
    """The columns of strings that are numbers of values there, and need not become strings in between."""
    chunks = [metadata.row_group(0).column(i) for i in range(metadata.num_columns)] if metadata.num_row_groups else []
    return [c.path_in_schema for c in chunks if c.physical_type == "BYTE_ARRAY" and "RLE_DICTIONARY" in c.encodings]


def _rows(file: pq.ParquetFile, names: Sequence[str], pieces: _Pieces) -> pa.Table:
    import pyarrow as pa

    found = [file.read_row_group(group, columns=names, use_threads=False).take(rows) for group, rows in pieces]
    table = pa.concat_tables(found).select(names).combine_chunks()
    columns = [_used(c.chunk(0)) if pa.types.is_dictionary(c.type) else c for c in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _used(coded: pa.DictionaryArray) -> pa.DictionaryArray:
    """With the values that rows have and no other: a reader takes the least and the greatest from all of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    used = coded.indices.unique().drop_null()
    return pa.DictionaryArray.from_arrays(pc.index_in(coded.indices, value_set=used), coded.dictionary.take(used))


def _lists(windows: WindowsFile, pieces: _Pieces) -> Lists:
    """A row group. Where most rows of one ship, with the values as they lie there, of which some may not occur now."""
    if len(pieces) == 1:
        ((group, rows),) = pieces
        lists = windows.group(group)
        if 2 * len(rows) > len(lists.begins):
            return replace(lists, begins=lists.begins[rows], sizes=lists.sizes[rows])
        return numbered([_some(lists, rows)])
    return numbered([_some(windows.group(group), rows) for group, rows in pieces])


def _some(lists: Lists, rows: np.ndarray) -> Lists:
    """Some rows, and no more numbers than they have."""
    import numpy as np

    from daedalus.parquet import compiled_lists

    sizes = lists.sizes[rows]
    ends = np.cumsum(sizes[:, -1])
    codes = np.empty(ends[-1], lists.codes.dtype)
    compiled_lists.prefixes(lists.codes, lists.begins[rows], sizes[:, -1], codes)
    return Lists(codes, ends - sizes[:, -1], sizes, lists.values)
