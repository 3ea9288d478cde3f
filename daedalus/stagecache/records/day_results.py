"""SQLite table of the days that the last run asked for and did not finish: what happened to each, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from daedalus.stagecache.records.traces import Traces


class DayResults:
    """The results of the days of one output root; a day that was finished has none."""

    def __init__(self, traces: Traces, root: str) -> None:
        self._traces, self._root = traces, root

    def all(self) -> dict[str, dict]:
        """What is recorded, by day; each has `run`, the id of the run."""
        rows = self._traces.rows("select day, run, result from day_results where root = ?", [self._root])
        return {day: {**json.loads(result), "run": run} for day, run, result in rows}

    def record(self, run: str, results: Mapping[str, dict], finished: Iterable[str] = ()) -> None:
        """Writes the results of days that a run did not finish, and removes those of `finished` days."""
        written = [(self._root, day, run, json.dumps(result)) for day, result in results.items()]
        with self._traces.writing() as db:
            db.executemany("delete from day_results where root = ? and day = ?", [(self._root, d) for d in finished])
            db.executemany("insert or replace into day_results values (?, ?, ?, ?)", written)
