"""Puts rows back into their places: tables come in any order of rows, and are given out by row group.

What does not fit into a part of a worker's share of memory waits in files beside the artifact, one per row group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.tables.held import HELD
from daedalus.windows.spec import PLACE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SHARE = 4  # the part of a worker's share of memory in which tables wait, as its divisor


def put_back(
    found: Iterable[tuple[np.ndarray, pa.Table]], rows: int, empty: pa.Table, folder: Path
) -> Iterator[pa.Table]:
    """The rows of tables by their places among so many rows, ROWS_PER_GROUP a table; `empty` is the row of each place
    that none has. `folder` is where files may wait."""
    waiting: dict[int, list[pa.Table]] = defaultdict(list)
    size, aside = 0, None
    with ExitStack() as end:
        for places, table in found:
            for group, part in _by_group(places, table):
                waiting[group].append(part)
            size += table.nbytes + places.nbytes
            if size > HELD.each // _SHARE:
                aside = aside or Path(end.enter_context(TemporaryDirectory(prefix="places-", dir=folder)))
                _write(waiting, aside)
                size = 0
        for group, first in enumerate(range(0, rows, ROWS_PER_GROUP)):
            parts = [*(_read(aside / str(group)) if aside else ()), *waiting.pop(group, ())]
            yield _in_order(parts, first, min(rows - first, ROWS_PER_GROUP), empty)


def _by_group(places: np.ndarray, table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The rows of a table by the row group of their places, with these."""
    import numpy as np
    import pyarrow as pa

    order = np.argsort(places, kind="stable")
    groups = places[order] // ROWS_PER_GROUP
    table = table.append_column(PLACE, pa.array(places)).take(pa.array(order))
    cuts = np.concatenate(([0], np.flatnonzero(np.diff(groups)) + 1, [len(groups)]))
    for begin, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        if end > begin:
            yield int(groups[begin]), table.slice(begin, end - begin)


def _write(waiting: dict[int, list[pa.Table]], aside: Path) -> None:
    """Appends what waits to the file of its row group."""
    import pyarrow as pa

    for group, parts in waiting.items():
        with (aside / str(group)).open("ab") as out, pa.ipc.new_stream(out, parts[0].schema) as stream:
            for part in parts:
                stream.write_table(part)
    waiting.clear()


def _read(path: Path) -> Iterator[pa.Table]:
    import pyarrow as pa

    if not path.exists():
        return
    size = path.stat().st_size
    with path.open("rb") as source:
        while source.tell() < size:
            yield pa.ipc.open_stream(source).read_all()


def _in_order(parts: Sequence[pa.Table], first: int, rows: int, empty: pa.Table) -> pa.Table:
    """So many rows from the place `first` on."""
    import numpy as np
    import pyarrow as pa

    taken = np.full(rows, sum(part.num_rows for part in parts))  # where the empty one is
    if parts:
        places = np.concatenate([part[PLACE].to_numpy() for part in parts])
        taken[places - first] = np.arange(len(places))
    tables = [*(part.drop_columns([PLACE]) for part in parts), empty]
    return pa.concat_tables(tables).combine_chunks().take(pa.array(taken))
