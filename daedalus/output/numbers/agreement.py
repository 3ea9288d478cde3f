"""Whether a map has the numbers that partitions hold, as its index tells without a look into the map."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.output.part_file import read_parts
from daedalus.tables.sorting import whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from daedalus.output.numbers.session_index import SessionIndex


def agrees(index: SessionIndex, held: Iterable[tuple[Path, bool]]) -> bool:
    """`held` are parts of partitions, and whether they carry feed_session. If False, it may still be that it has."""
    import pyarrow as pa

    try:
        return all(_has_pairs(index, path) if carries else _has_numbers(index, path) for path, carries in held)
    except (OSError, pa.ArrowException):
        return False


def _has_pairs(index: SessionIndex, path: Path) -> bool:
    import pyarrow as pa

    rows = read_parts([path], ["feed_session", "qid"])
    rows = rows.filter(rows["qid"].is_valid())
    if rows["feed_session"].null_count:
        return False
    coded = whole(rows["feed_session"].cast(pa.string())).dictionary_encode()
    known = index.numbers(coded.dictionary)
    return bool((known[coded.indices.to_numpy()] == _numbers(rows)).all())


def _has_numbers(index: SessionIndex, path: Path) -> bool:
    """A map whose numbers have no gaps has all that are below the next."""
    rows = read_parts([path], ["qid"])
    numbers = _numbers(rows.filter(rows["qid"].is_valid()))
    return index.rows == index.next and bool(((numbers >= 0) & (numbers < index.next)).all())


def _numbers(rows: pa.Table) -> np.ndarray:
    return whole(rows["qid"]).to_numpy()
