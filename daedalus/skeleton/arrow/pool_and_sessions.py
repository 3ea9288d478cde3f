"""The steps `coverage` and `sessions`: which rows of a feed day stay, by the embedding pool and by their sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.config.columns import SPINE_COLUMNS
from daedalus.tables.artifacts import Files, fits, fits_whole, read_events, read_table, rows_of, write_table
from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


def write_coverage(events: Sequence[str], files: Files, out: Path) -> Mapping[str, int] | None:
    """The step `coverage`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    (spine,), (pool,) = files["spine"], files["pool"]
    if not fits(rows_of(spine)) or not fits_whole(pool):
        return None
    asked = pa.array(_chosen(spine, events))
    artworks = read_table(spine, ["artwork_id"])["artwork_id"]
    known = pc.is_in(artworks, value_set=whole(read_table(pool, ["id"])["id"]))
    covered = pc.or_(pc.invert(asked), known)
    return {"rows": write_table(out, pa.table({"covered": covered}))}


def covered_rows(files: Files, columns: Sequence[str]) -> pa.Table | None:
    """Columns of the spine's rows that the coverage filter keeps; of all rows where no coverage is bound."""
    (spine,) = files["spine"]
    if not fits(rows_of(spine)):
        return None
    rows = read_table(spine, columns)
    if "coverage" in files:
        rows = rows.filter(read_table(files["coverage"][0], ["covered"])["covered"])
    return rows


def rows_of_events(files: Files, events: Sequence[str], columns: Sequence[str]) -> pa.Table | None:
    """The same of the rows that have one of `events`."""
    import numpy as np
    import pyarrow as pa

    (spine,) = files["spine"]
    if not fits(rows_of(spine)):
        return None
    chosen = _chosen(spine, events)
    if "coverage" in files:
        chosen &= whole(read_table(files["coverage"][0], ["covered"])["covered"]).to_numpy(zero_copy_only=False)
    return read_table(spine, columns).take(pa.array(np.flatnonzero(chosen)))


def _chosen(spine: Path | str, events: Sequence[str]) -> np.ndarray:
    """Which rows of the spine have one of `events`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = read_events(spine)
    among = pc.is_in(coded.dictionary, value_set=pa.array(events, pa.string()))
    return among.to_numpy(zero_copy_only=False)[coded.indices.to_numpy()]


def write_sessions(
    events: Sequence[str], drop_view_only: bool, drop_single_like: bool, files: Files, out: Path
) -> Mapping[str, int] | None:
    """The step `sessions`; `events` count as views."""
    import pyarrow as pa

    rows = covered_rows(files, list(SPINE_COLUMNS))
    if rows is None:
        return None
    kept = rows
    if (drop_view_only or drop_single_like) and rows.num_rows:
        kept = rows.filter(pa.array(_stay(rows, events, drop_view_only, drop_single_like)))
    return {"target": rows.num_rows, "rows": write_table(out, kept)}


def _stay(rows: pa.Table, events: Sequence[str], drop_view_only: bool, drop_single_like: bool) -> np.ndarray:
    """Which rows are of no session or of one that is not dropped."""
    import numpy as np

    coded = whole(rows["feed_session"]).dictionary_encode()
    count = len(coded.dictionary)
    sessions = coded.indices.fill_null(count).to_numpy()  # the last is of rows without one
    acts = ~np.asarray(has_one_of(rows["event"], events))
    acted = np.bincount(sessions[acts], minlength=count + 1)
    dropped = np.zeros(count + 1, np.bool_)
    if drop_view_only:
        dropped |= acted == 0
    if drop_single_like:
        likes = acts & np.asarray(has_one_of(rows["event"], ["like"]))
        dropped |= (acted == 1) & (np.bincount(sessions[likes], minlength=count + 1) == 1)
    dropped[count] = False
    return ~dropped[sessions]


def has_one_of(column: pa.ChunkedArray, values: Sequence[str]) -> pa.Array:
    """Whether each text, none of which is NULL, is one of `values`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(whole(column), value_set=pa.array(values, pa.string()))
