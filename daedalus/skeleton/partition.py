"""A partition's part files: columns of the rows that ship, cut out of artifacts that have all rows of the sessions.

Which rows ship is decided last, so another content filter costs this much and no more: nothing is joined
or listed anew. Each artifact is cut to a file of its own, a row group at a time; the files align, and are spliced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.durable import remove_folder
from daedalus.skeleton.lists import Lists, write_lists
from daedalus.skeleton.parquet import ROWS_PER_GROUP, write_parquet
from daedalus.skeleton.splice import Spliced
from daedalus.skeleton.sql import ROW
from daedalus.skeleton.windows import ITEMS, WindowsFile

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

_ALIGNED = ("content", "qids")  # artifacts that have the rows that ship and no other
Standing = Callable[[Path], Mapping[str, Path]]


def write_partition(
    folder: Path,
    columns: Sequence[tuple[str, str]],
    artifacts: Mapping[str, Path],
    chunk_rows: int,
    standing: Standing = lambda free: {},
) -> int:
    """Writes `part-N-0.parquet` files of `chunk_rows` rows each but the last; returns the rows written.

    `columns` are (name, artifact that holds it), `artifacts` the files by name. Those of `sessions` and of the
    rest are aligned row by row; `content` says which of these rows ship. Without `sessions`, all are aligned and
    ship: so daedalus 0.2 kept them. `standing(free path)` gives files, by artifact, that have the columns of the rows
    that ship as they would be cut.
    """
    cuts = folder.with_name(f"{folder.name}.columns")
    folder.mkdir()
    cuts.mkdir()
    try:
        aligned = _aligned(columns, artifacts, cuts, standing) if "sessions" in artifacts else artifacts
        with Spliced(columns, aligned) as whole:
            for part, begin in enumerate(range(0, max(whole.rows, 1), chunk_rows)):
                whole.write(folder / f"part-{part}-0.parquet", begin, min(begin + chunk_rows, whole.rows))
            return whole.rows
    finally:
        remove_folder(cuts)


def _aligned(
    columns: Sequence[tuple[str, str]], artifacts: Mapping[str, Path], cuts: Path, standing: Standing
) -> dict[str, Path]:
    """Files with the columns of the rows that ship, by artifact: cut to `cuts` where there is none."""
    aligned = {source: artifacts[source] for source in _ALIGNED if source in artifacts}
    aligned |= standing(cuts / "standing")
    kept = _rows_that_ship(artifacts["content"])
    for number, source in enumerate(dict.fromkeys(source for _, source in columns)):
        if source not in aligned:
            aligned[source] = cuts / str(number)
            cut(artifacts[source], [name for name, of in columns if of == source], kept, aligned[source])
    return aligned


def _rows_that_ship(content: Path) -> np.ndarray:
    """Their places among the rows of the sessions, ascending."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(content) as file:
        return file.read(use_threads=False)[ROW.strip('"')].to_numpy()


def cut_sample(artifacts: Mapping[str, Path], source: str, out: Path) -> None:
    """Writes what ships of the first row group of `source`, which is not `content`, all its columns."""
    import numpy as np
    import pyarrow.parquet as pq

    kept = _rows_that_ship(artifacts["content"])
    if source in _ALIGNED:
        kept = np.arange(len(kept))
    kept = kept[: kept.searchsorted(ROWS_PER_GROUP)]
    cut(artifacts[source], pq.read_schema(artifacts[source]).names, kept, out)


def cut(path: Path, names: Sequence[str], kept: np.ndarray, out: Path) -> None:
    """Writes columns of an artifact with the rows `kept`, which ascend.

    Windows become lists, all of them: how one is numbered follows from all, and must not from those that are chosen.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if ITEMS not in schema.names:
            write_parquet(out, pa.schema([schema.field(name) for name in names]), _rows(file, names, kept))
            return
    with WindowsFile(path) as windows:
        write_lists(out, windows.schema, _lists(windows, kept))


def _rows(file: pq.ParquetFile, names: Sequence[str], kept: np.ndarray) -> Iterator[pa.Table]:
    for group, rows in _by_group(kept):
        table = file.read_row_group(group, columns=list(names), use_threads=False)
        yield (table if len(rows) == table.num_rows else table.take(rows)).select(list(names))


def _lists(windows: WindowsFile, kept: np.ndarray) -> Iterator[list[Lists]]:
    """Row groups of the rows `kept`, in pieces: a row group that its rows lie in makes one."""
    read, lists = -1, None  # the row group that was read last: the next rows may lie in it too
    for begin in range(0, len(kept), ROWS_PER_GROUP):
        pieces = []
        for group, rows in _by_group(kept[begin : begin + ROWS_PER_GROUP]):
            if group != read:
                lists = None  # one at a time
                read, lists = group, windows.group(group)
            assert lists is not None
            pieces.append(_some(lists, rows))
        yield pieces


def _some(lists: Lists, rows: np.ndarray) -> Lists:
    """Some rows, and no more numbers than they have."""
    import numpy as np

    from daedalus.skeleton import packing

    sizes = lists.sizes[rows]
    ends = np.cumsum(sizes[:, -1])
    codes = np.empty(ends[-1], lists.codes.dtype)
    packing.prefixes(lists.codes, lists.begins[rows], sizes[:, -1], codes)
    return Lists(codes, ends - sizes[:, -1], sizes, lists.values)


def _by_group(kept: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(row group, places in it) of rows, ascending."""
    import numpy as np

    groups = kept // ROWS_PER_GROUP
    for rows in np.split(kept, np.flatnonzero(np.diff(groups)) + 1) if len(kept) else ():
        group = int(rows[0]) // ROWS_PER_GROUP
        yield group, rows - group * ROWS_PER_GROUP
