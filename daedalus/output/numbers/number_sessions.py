"""Numbers a day's sessions: by statements bound to `sessions` and `content`, or in memory, which does the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from daedalus.sql.text import POSITION, ROW, Sql, parquet
from daedalus.tables.artifacts import fits, read_table, rows_of
from daedalus.tables.sorting import numbers_of, order_of, sort_keys, whole
from daedalus.tables.taken import taken

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SHIPPED = f"{parquet('content')} r JOIN {parquet('sessions', positions=True)} s ON s.{POSITION} = r.{ROW}"
_SESSIONS = f"""
    SELECT s.feed_session AS feed_session, min(s.event_timestamp) AS first_seen
    FROM {_SHIPPED}
    WHERE s.feed_session IS NOT NULL GROUP BY 1"""
SESSION_NAMES = Sql(f"SELECT DISTINCT s.feed_session AS feed_session FROM {_SHIPPED} WHERE s.feed_session IS NOT NULL")
SESSIONS_IN_ORDER = Sql(f"SELECT feed_session FROM ({_SESSIONS}) ORDER BY first_seen, feed_session")
# New sessions get max + 1 upwards, in order of their first event in the day's output, then by name.
DAY_SESSIONS = Sql(
    tables=(("known", f"""SELECT d.feed_session, d.first_seen, m.qid FROM ({_SESSIONS}) d
        LEFT JOIN {parquet("qid_map")} m ON m.feed_session = d.feed_session"""),),
    select=f"""
        SELECT feed_session, coalesce(qid, (SELECT coalesce(max(qid), -1) FROM {parquet("qid_map")})
            + row_number() OVER (PARTITION BY qid IS NULL ORDER BY first_seen, feed_session)) AS qid,
            qid IS NULL AS is_new FROM known ORDER BY qid""",
)  # fmt: skip
DAY_QIDS = Sql(f"""
    SELECT n.qid AS qid FROM {_SHIPPED}
    LEFT JOIN numbered n ON n.feed_session = s.feed_session ORDER BY r.{ROW}""")


class DaySessions:
    """The sessions of the rows that ship of a day, each with its first event; `artifacts` as in `QidMap.assign`.

    `names` are those of the sessions, in no order.
    """

    def __init__(self, artifacts: Mapping[str, Path]) -> None:
        shipped = whole(read_table(artifacts["content"], [ROW.strip('"')])[ROW.strip('"')])
        rows = read_table(artifacts["sessions"], ["feed_session", "event_timestamp"]).take(shipped)
        coded = whole(rows["feed_session"]).dictionary_encode()
        self.names: pa.Array = coded.dictionary
        self._codes = coded.indices
        self._times = numbers_of(rows["event_timestamp"])[0]

    def numbered(self, numbers: np.ndarray, following: int) -> tuple[pa.Table, pa.Table]:
        """(the sessions that the map lacks, with their numbers; the column `qid`, of each row's session).

        `numbers` are those of `names` in the map, -1 for what it lacks, which get those from `following` on.
        """
        import numpy as np
        import pyarrow as pa

        numbers = numbers.astype(np.int64)
        new = np.flatnonzero(numbers < 0)
        added = pa.table({"feed_session": taken(self.names, new), "qid": numbers[new]})
        if len(new):
            keys = sort_keys([pa.chunked_array([self._first_seen()[new]]), added["feed_session"]])
            assert keys is not None
            order = order_of(keys)
            numbers[new[order]] = np.arange(following, following + len(new))
            names = taken(whole(added["feed_session"]), order)
            added = pa.table({"feed_session": names, "qid": numbers[new[order]]})
        return added, pa.table({"qid": taken(pa.array(numbers), self._codes)})

    def _first_seen(self) -> np.ndarray:
        import numpy as np

        found = np.full(len(self.names), np.iinfo(np.int64).max)
        there = np.asarray(self._codes.is_valid())
        np.minimum.at(found, self._codes.fill_null(0).to_numpy()[there], self._times[there])
        return found


def sessions_in_memory(artifacts: Mapping[str, Path]) -> DaySessions | None:
    """None where the rows are too many for memory."""
    return DaySessions(artifacts) if fits(rows_of(artifacts["sessions"])) else None
