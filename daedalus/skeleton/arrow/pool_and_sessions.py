"""The steps `coverage` and `sessions`: which rows of a feed day stay, by the embedding pool and by their sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.tables.artifacts import (
    Files,
    SessionNumbers,
    fits,
    fits_whole,
    read_coded,
    read_events,
    read_sessions,
    read_table,
    rows_of,
    write_table,
)
from daedalus.tables.side_by_side import side_by_side
from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def write_coverage(events: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `coverage`."""
    import pyarrow as pa

    (spine,), (pool,) = files["spine"], files["pool"]
    if not fits(rows_of(spine)) or not fits_whole(pool):
        return None
    asked = pa.array(_chosen(spine, events))
    artworks = read_table(spine, ["artwork_id"])["artwork_id"]
    return {"rows": write_table(out, pa.table({"covered": covered(asked, artworks, pool)}))}


def covered(asked: pa.Array, artworks: pa.ChunkedArray, pool: Path | str) -> pa.ChunkedArray:
    """Which rows the coverage filter keeps: those that are not `asked`, and those whose artworks are in the pool."""
    import pyarrow.compute as pc

    return pc.or_(pc.invert(asked), pc.is_in(artworks, value_set=whole(read_table(pool, ["id"])["id"])))


def rows_of_events(files: Files, events: Sequence[str], columns: Sequence[str]) -> pa.Table | None:
    """Columns of the spine's rows that have one of `events`, and that the coverage filter keeps where one is bound."""
    (spine,) = files["spine"]
    if not fits(rows_of(spine)):
        return None
    chosen, covered = _chosen(spine, events), _covered(files)
    return _only(read_table(spine, columns), chosen if covered is None else chosen & covered)


def _covered(files: Files) -> np.ndarray | None:
    """Which rows of the spine the coverage filter keeps; None where no coverage is bound."""
    if "coverage" not in files:
        return None
    return whole(read_table(files["coverage"][0], ["covered"])["covered"]).to_numpy(zero_copy_only=False)


def _only(rows: pa.Table, chosen: np.ndarray) -> pa.Table:
    """The rows that are chosen."""
    import numpy as np
    import pyarrow as pa

    places = pa.array(np.flatnonzero(chosen))
    columns = side_by_side([partial(column.take, places) for column in rows.columns], rows.num_rows)
    return pa.table(list(columns), schema=rows.schema)


def _chosen(spine: Path | str, events: Sequence[str]) -> np.ndarray:
    """Which rows of the spine have one of `events`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = read_events(spine)
    among = pc.is_in(coded.dictionary, value_set=pa.array(events, pa.string()))
    return among.to_numpy(zero_copy_only=False)[coded.indices.to_numpy()]


def write_sessions(
    names: Sequence[str], events: Sequence[str], drop_view_only: bool, drop_single_like: bool, files: Files, out: Path
) -> Mapping[str, int] | None:
    """The step `sessions`, with the columns `names` of the spine; `events` count as views."""
    (spine,) = files["spine"]
    if not fits(rows_of(spine)):
        return None
    rows, kept = read_coded(spine, names), _covered(files)
    target = rows.num_rows if kept is None else int(kept.sum())
    if (drop_view_only or drop_single_like) and target:
        acts, likes = ~_chosen(spine, events), _chosen(spine, ["like"])
        if kept is not None:
            acts &= kept
        stay = _stay(read_sessions(spine), acts, likes & acts, drop_view_only, drop_single_like)
        kept = stay if kept is None else kept & stay
    return {"target": target, "rows": write_table(out, rows if kept is None else _only(rows, kept))}


def _stay(
    sessions: SessionNumbers, acts: np.ndarray, likes: np.ndarray, drop_view_only: bool, drop_single_like: bool
) -> np.ndarray:  # fmt: skip
    """Which rows are of no session or of one that is not dropped. `acts` are no views, and `likes` some of them."""
    import numpy as np

    of_row, count = sessions.numbers, sessions.null + 1
    acted = np.bincount(of_row[acts], minlength=count)
    dropped = np.zeros(count, np.bool_)
    if drop_view_only:
        dropped |= acted == 0
    if drop_single_like:
        dropped |= (acted == 1) & (np.bincount(of_row[likes], minlength=count) == 1)
    dropped[sessions.null] = False
    return ~dropped[of_row]


def has_one_of(column: pa.ChunkedArray, values: Sequence[str]) -> pa.Array:
    """Whether each text, none of which is NULL, is one of `values`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(whole(column), value_set=pa.array(values, pa.string()))
