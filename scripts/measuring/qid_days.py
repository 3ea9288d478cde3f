"""Days against a qid map of any size, in a process of their own.

  qid_days.py make FOLDER --sessions N     makes a map of N sessions, with names of 32 hex digits
  qid_days.py run FOLDER --sessions N      numbers --days days below it, as the step `qids` does, and ends as a run does

A day has --rows rows of --each rows a session, half of them of those N, spread over all of them. `run` prints, as JSON,
seconds and processor seconds of the first day, in which an index may have to be made, of the others, and of what the
run's end takes; with the peak of its memory, in which counts what is mapped of the index. With --in-three a day is
numbered by three tasks, as on a cluster: then seconds are those of the one that the coordinator runs, beside those of
the `workers`, and `through` are the bytes that it reads and writes; else those of the whole.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from daedalus.output.local_map import LocalMap
from daedalus.output.numbers.day_sessions import write_numbers, write_sessions
from daedalus.output.numbers.session_index import SessionIndex
from daedalus.output.qid_map import QidMap
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.writer import ROWS_PER_GROUP
from daedalus.sql.duck import Ducks
from daedalus.stagecache.records.artifact_store import Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.traces import Traces
from daedalus.tables.held import HELD

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_TEXT = 32  # hex digits of a name
_NEW = 10**12  # from here on up are sessions that the map was not made with
_DAY = 86_400 * 10**6
Times = tuple[float, float]


def names(numbers: np.ndarray) -> pa.Array:
    """The names of the sessions with such numbers: as good as random."""
    halves = np.empty((len(numbers), 2), np.uint64)
    for half in range(2):
        word = numbers.astype(np.uint64) * np.uint64(2) + np.uint64(half + 1)
        for shift, times in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            word = (word ^ word >> np.uint64(shift)) * np.uint64(times)
        halves[:, half] = word ^ word >> np.uint64(31)
    data = halves.view(np.uint8)
    text = np.empty((len(numbers), _TEXT), np.uint8)
    text[:, ::2], text[:, 1::2] = _HEX[data >> 4], _HEX[data & 15]
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * _TEXT
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(text))


def make(root: Path, sessions: int) -> None:
    (root / "out").mkdir(parents=True)
    schema = pa.schema([("feed_session", pa.string()), ("qid", pa.int64())])

    def groups() -> Iterator[pa.Table]:
        for begin in range(0, sessions, ROWS_PER_GROUP):
            qids = np.arange(begin, min(begin + ROWS_PER_GROUP, sessions))
            yield pa.table({"feed_session": names(qids), "qid": qids}, schema=schema)

    write_parquet(root / "out/qid_map.parquet", schema, groups())


class Place:
    """The map in a folder, opened as a run opens it."""

    def __init__(self, root: Path) -> None:
        self.root, traces = root, Traces(root / "traces.db")
        self.digests, self.scratch = FileDigests(traces), Scratch(root / "tmp")
        self.home = LocalMap(root / "out", self.digests, traces)
        index = SessionIndex(root / "qids", self.scratch, self.digests)
        self.ducks = Ducks({}, self.scratch)
        self.qids = QidMap(self.home, index, self.scratch, self.ducks)
        if not self.home.state()["lineage"]:  # a map that was made counts as one that a run left
            self.home.remember("made", self.home.content())
        self.qids.current = self.home.state()["lineage"]

    def day(self, made: int, rows: int, each: int) -> dict[str, Path]:
        """The artifacts of a day; so many sessions of the map have the numbers from 0 up as their names."""
        there, count = self.qids.rows(), rows // each
        chance = np.random.default_rng(there)
        old = np.unique(chance.integers(0, made, count // 2))
        sessions = np.concatenate([old, np.arange(count - count // 2) + _NEW + there])
        of = chance.permutation(np.repeat(sessions, each))
        times = np.sort(chance.integers(0, _DAY, len(of)))
        found = {name: self.root / f"{name}-{there}.parquet" for name in ("sessions", "content")}
        table = pa.table({"feed_session": names(of), "event_timestamp": pa.array(times, pa.timestamp("us"))})
        pq.write_table(table, found["sessions"])
        pq.write_table(pa.table({"daeda:row": np.arange(len(of))}), found["content"])
        return found

    def number(self, artifacts: dict[str, Path], in_three: bool) -> tuple[Times, Times, int]:
        """What a day takes on the coordinator and on workers, and the bytes of files that the coordinator handles."""
        column, *between = (self.root / name for name in ("column", "names", "numbers"))
        if not in_three:
            here = timed(lambda: self.qids.assign(artifacts, column))
            return here, (0.0, 0.0), sum(path.stat().st_size for path in (*artifacts.values(), column))
        first = timed(lambda: write_sessions(artifacts, self.ducks, "a", between[0]))
        here = timed(lambda: self.qids.number(between[0], "b", between[1]))
        rest = timed(lambda: write_numbers(artifacts, *between, self.ducks, column))
        return here, (first[0] + rest[0], first[1] + rest[1]), sum(path.stat().st_size for path in between)


def run(root: Path, made: int, days: int, rows: int, each: int, in_three: bool) -> dict[str, object]:
    place = Place(root)
    HELD.limit(4 << 30, 2)
    before, spent, workers, through = place.qids.rows(), [], [], []
    for _ in range(days):
        artifacts = place.day(made, rows, each)
        for found, one in zip((spent, workers, through), place.number(artifacts, in_three), strict=True):
            found.append(one)
        for path in artifacts.values():
            path.unlink()
    end = timed(place.qids.settle)
    place.digests.settle()
    place.scratch.close()
    grown = place.qids.rows() - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "sessions": before,
        "new_sessions": grown,
        "first": spent[0],
        "days": spent[1:],
        "workers": workers[1:],
        "through": through[1:],
        "end": end,
        "memory": memory,
    }


def timed(work: Callable[[], object]) -> Times:
    """Seconds on the clock and on the processor."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return round(time.perf_counter() - clock, 4), round(time.process_time() - cpu, 4)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["make", "run"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=6)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--each", type=int, default=15, help="rows of a session")
    parser.add_argument("--in-three", action="store_true")
    a = parser.parse_args()
    if a.what == "make":
        make(a.folder, a.sessions)
    else:
        print(json.dumps(run(a.folder, a.sessions, a.days, a.rows, a.each, a.in_three)))


if __name__ == "__main__":
    main()
