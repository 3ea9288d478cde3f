"""Numbers a day's sessions in memory, as DAY_SESSIONS and DAY_QIDS of qid_map.py do in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.sql.text import ROW
from daedalus.tables.artifacts import fits, read_table, rows_of
from daedalus.tables.sorting import numbers_of, order_of, sort_keys, whole

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class DaySessions:
    """The sessions of the rows that ship of a day, each with its first event; `artifacts` as in `QidMap.assign`."""

    def __init__(self, artifacts: Mapping[str, Path]) -> None:
        shipped = whole(read_table(artifacts["content"], [ROW.strip('"')])[ROW.strip('"')])
        rows = read_table(artifacts["sessions"], ["feed_session", "event_timestamp"]).take(shipped)
        coded = whole(rows["feed_session"]).dictionary_encode()
        self.names: pa.Array = coded.dictionary
        self._codes = coded.indices
        self._times = numbers_of(rows["event_timestamp"])[0]

    def numbered(self, known: pa.Table) -> tuple[pa.Table, pa.Array]:
        """(the sessions that `known`, the map, lacks, with their numbers; the number of each row's session)."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        places = pc.index_in(self.names, value_set=whole(known["feed_session"]))
        numbers = np.array(whole(known["qid"]).take(places).fill_null(0))
        new = np.flatnonzero(places.is_null().to_numpy(zero_copy_only=False))
        added = pa.table({"feed_session": self.names.take(pa.array(new)), "qid": pa.nulls(len(new), pa.int64())})
        if len(new):
            keys = sort_keys([pa.chunked_array([self._first_seen()[new]]), added["feed_session"]])
            assert keys is not None
            order = order_of(keys)
            first = (pc.max(known["qid"]).as_py() if known.num_rows else -1) + 1
            numbers[new[order]] = np.arange(first, first + len(new))
            names = added["feed_session"].take(pa.array(order))
            added = pa.table({"feed_session": names, "qid": numbers[new[order]]}).combine_chunks()
        return added, pa.array(numbers, pa.int64()).take(self._codes)

    def _first_seen(self) -> np.ndarray:
        import numpy as np

        found = np.full(len(self.names), np.iinfo(np.int64).max)
        there = np.asarray(self._codes.is_valid())
        np.minimum.at(found, self._codes.fill_null(0).to_numpy()[there], self._times[there])
        return found


def sessions_in_memory(artifacts: Mapping[str, Path]) -> DaySessions | None:
    """None where the rows are too many for memory."""
    return DaySessions(artifacts) if fits(rows_of(artifacts["sessions"])) else None
