"""A qid map that grows in pieces: no crash, no second coordinator and no older version hands a number out twice."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import tempfile
from itertools import accumulate, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crashes import Crash, Faults
from hypothesis import given, settings
from hypothesis import strategies as st

from daedalus.base import digest
from daedalus.base.durable import move_file
from daedalus.base.errors import DaedalusError, DayError
from daedalus.base.file_stat import stat_of
from daedalus.output.local_map import LocalMap
from daedalus.output.numbers import pieces, session_index, whole_map
from daedalus.output.numbers.pieces import FOLDER, Pieces, map_files
from daedalus.output.numbers.session_index import SessionIndex
from daedalus.output.qid_map import QidMap
from daedalus.parquet import writer
from daedalus.sql.duck import Ducks
from daedalus.stagecache.records.artifact_store import Scratch
from daedalus.stagecache.records.file_digests import FileDigests
from daedalus.stagecache.records.traces import Traces
from daedalus.tables.held import HELD

STRIDE = min(int(os.environ.get("DAEDA_FAULT_STRIDE", "3")), 3)  # 1 tries every boundary
# The sessions of each day's rows, in order of time; None has no number. Some come back, one day has nothing new.
DAYS = (["b", "a", None, "b"], ["c", "a", "d", "c"], ["a", "d"], ["f", None, "e", "b", "g", "é", ""])
EXPECTED = {name: number for number, name in enumerate(["b", "a", "c", "d", "f", "e", "g", "é", ""])}


@pytest.fixture(autouse=True)
def small_index(monkeypatch):
    """An index that writes files from the first session on; days are numbered in memory."""
    monkeypatch.setattr(session_index, "_IN_MEMORY", 3)
    monkeypatch.setattr(session_index, "_FEW", 1)
    monkeypatch.setattr(HELD, "each", 1 << 30)


class Run:
    """A run over an output in a folder, as a new process makes one."""

    def __init__(self, root: Path, cache: str = "cache") -> None:
        self.root, self.out = root, root / "out"
        (root / cache).mkdir(parents=True, exist_ok=True)
        self.out.mkdir(exist_ok=True)
        self.traces = Traces(root / cache / "traces.db")
        digests, scratch = FileDigests(self.traces), Scratch(root / cache / "tmp")
        self.staged = Scratch(self.out, ".daeda-")
        self.home = LocalMap(self.out, digests, self.traces)
        index = SessionIndex(root / cache / "qids", scratch, digests)
        self.ducks = Ducks({}, scratch)
        self.qids = QidMap(self.home, index, self.staged, self.ducks)

    def days(self, *places: int, carries: bool = True) -> None:
        for place in places:
            column = self.root / f"{place}.column.parquet"
            self.qids.assign(self.artifacts(place), column)
            rows = {"qid": pq.read_table(column)["qid"]}
            if carries:
                rows["feed_session"] = pa.array(DAYS[place], pa.string())
            folder = self.out / f"dt=2026-01-0{place + 1}"
            folder.mkdir(exist_ok=True)
            staged = self.staged.path(".parquet")
            pq.write_table(pa.table(rows), staged)
            move_file(staged, folder / "part-0-0.parquet")

    def artifacts(self, place: int) -> dict[str, Path]:
        found = {name: self.root / f"{place}.{name}.parquet" for name in ("sessions", "content")}
        times = pa.array(range(len(DAYS[place])), pa.timestamp("us"))
        names = pa.array(DAYS[place], pa.string())
        pq.write_table(pa.table({"feed_session": names, "event_timestamp": times}), found["sessions"])
        pq.write_table(pa.table({"daeda:row": pa.array(range(len(names)))}), found["content"])
        return found

    def whole(self, *places: int, carries: bool = True) -> None:
        self.qids.lineage(reconcile=True)
        self.days(*places, carries=carries)
        self.qids.settle()


def read(*files: Path) -> dict[str, int]:
    tables = [pq.ParquetFile(file).read() for file in files]
    found = {name: qid for table in tables for name, qid in zip(*table.to_pydict().values(), strict=True)}
    assert len(found) == sum(table.num_rows for table in tables) == len(set(found.values()))
    return found


def used(root: Path) -> set[int]:
    parts = [pq.ParquetFile(path).read(["qid"]) for path in root.glob("out/dt=*/*.parquet")]
    return {qid for part in parts for qid in part["qid"].to_pylist()} - {None}


def an_older_version_is_safe(root: Path, cache: str = "cache") -> None:
    """It knows the file alone: either all that is used is in there, or it does not take the file for its own."""
    file = root / "out/qid_map.parquet"
    state = Traces(root / cache / "traces.db").fact(f"qid_map:{root / 'out'}") or {"digest": "", "next": ""}
    content = digest.of_file(file) if file.exists() else ""
    numbers = set(read(file).values()) if file.exists() else set()
    assert content not in (state["digest"], state["next"]) or used(root) <= numbers


def test_days_in_one_run_or_in_many_give_one_file(tmp_path):
    Run(tmp_path / "one").whole(0, 1, 2, 3)
    for place in range(len(DAYS)):
        Run(tmp_path / "many").whole(place)
    one, many = ((tmp_path / name / "out/qid_map.parquet").read_bytes() for name in ("one", "many"))
    assert one == many and read(tmp_path / "one/out/qid_map.parquet") == EXPECTED
    assert not (tmp_path / "one/out" / FOLDER).exists()


@settings(max_examples=80, deadline=None)
@given(sizes=st.lists(st.integers(0, 11), min_size=1, max_size=5), begun=st.integers(0, 2), data=st.data())
def test_a_map_has_the_same_bytes_however_its_rows_came(sizes, begun, data):
    """As pieces that know what is above them, or that do not, as those of other machines; below a map that was
    written, or none. Groups of four rows stand for those of a real map."""
    count = sum(sizes)
    names = pa.array([f"s{i}" for i in range(count)], pa.string())
    rows = pa.table({"feed_session": names, "qid": pa.array(range(count), pa.int64())})

    def written(folder: Path, cuts: list[int]) -> bytes:
        scratch = Scratch(folder)
        files: list[Path] = []
        for at, (begin, end) in enumerate(pairwise(cuts)):
            files.append(scratch.path(".parquet"))
            above = begin if data.draw(st.booleans()) else data.draw(st.integers(0, 9))
            whole_map.write_below(files[-1], rows.slice(begin, end - begin), above)
            if at < begun:
                files = [whole_map.write_whole(files, scratch)]
        found = whole_map.write_whole(files, scratch)
        footer = pq.read_metadata(found)
        groups = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        assert pq.read_table(found) == rows and set(groups[:-1]) <= {4} and max(groups, default=0) <= 4
        return found.read_bytes()

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(writer, "ROWS_PER_GROUP", 4)
        patch.setattr(whole_map, "ROWS_PER_GROUP", 4)
        assert written(Path(folder), [0, *accumulate(sizes)]) == written(Path(folder), [0, count])


def test_a_map_of_more_pieces_than_files_may_be_open_is_written(tmp_path):
    scratch, soft = Scratch(tmp_path), resource.getrlimit(resource.RLIMIT_NOFILE)
    files = []
    for i in range(60):
        files.append(scratch.path(".parquet"))
        whole_map.write_below(files[-1], pa.table({"feed_session": [f"s{i}"], "qid": pa.array([i], pa.int64())}), i)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, soft[1]))
    try:
        found = whole_map.write_whole(files, scratch)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, soft)
    assert pq.read_table(found)["qid"].to_pylist() == list(range(60))


def test_a_run_writes_the_file_once(tmp_path):
    run = Run(tmp_path)
    run.whole(0)
    before = stat_of(str(tmp_path / "out/qid_map.parquet"))
    run.days(1, 3)
    assert stat_of(str(tmp_path / "out/qid_map.parquet")) == before
    assert read(*map_files(tmp_path / "out")) == EXPECTED
    assert read(run.qids.file()) == EXPECTED and run.qids.rows() == len(EXPECTED) and not run.qids.is_whole()
    an_older_version_is_safe(tmp_path)
    run.qids.settle()
    assert read(tmp_path / "out/qid_map.parquet") == EXPECTED and run.qids.is_whole()


def test_sql_numbers_a_day_as_memory_does(tmp_path, monkeypatch):
    Run(tmp_path / "memory").whole(0, 1, 2, 3)
    monkeypatch.setattr(HELD, "each", 0)
    Run(tmp_path / "sql").whole(0, 1, 2, 3)
    for name in ("out/qid_map.parquet", *(f"out/dt=2026-01-0{day}/part-0-0.parquet" for day in range(1, 5))):
        assert pq.read_table(tmp_path / "memory" / name) == pq.read_table(tmp_path / "sql" / name)


@pytest.mark.parametrize("carries", [True, False])
def test_a_crash_at_any_boundary_hands_no_number_out_twice(tmp_path, monkeypatch, carries):
    """After a first run; whatever the crash left, an older version is safe, and a rerun ends as if there was none."""
    template = tmp_path / "template"
    Run(template / "place").whole(0, carries=carries)

    def at_work(at: int, mode: str) -> Faults:
        shutil.rmtree(tmp_path / "place", ignore_errors=True)
        shutil.copytree(template / "place", tmp_path / "place")
        state = Traces(template / "place/cache/traces.db").fact(f"qid_map:{template / 'place/out'}")
        Traces(tmp_path / "place/cache/traces.db").remember_fact(f"qid_map:{tmp_path / 'place/out'}", state)
        with monkeypatch.context() as patch, contextlib.suppress(Crash):
            faults = Faults(patch, at, mode)
            Run(tmp_path / "place").whole(1, 2, 3, carries=carries)
        return faults

    at_work(0, "count")  # the first run of a process may compile kernels, and writes files for that
    boundaries = at_work(0, "count").calls
    expected = (tmp_path / "place/out/qid_map.parquet").read_bytes()
    assert boundaries > 20 and read(tmp_path / "place/out/qid_map.parquet") == EXPECTED
    for number, mode in enumerate(("before", "after", "half")):
        for at in range(1 + number % STRIDE, boundaries + 1, STRIDE):
            assert at_work(at, mode).dead
            an_older_version_is_safe(tmp_path / "place")
            found = read(*map_files(tmp_path / "place/out"))
            assert used(tmp_path / "place") <= set(found.values()) and found.items() <= EXPECTED.items()
            Run(tmp_path / "place").whole(1, 2, 3, carries=carries)
            assert (tmp_path / "place/out/qid_map.parquet").read_bytes() == expected, f"{mode} {at}"
            assert not (tmp_path / "place/out" / FOLDER).exists()


def test_two_coordinators_at_once_number_as_one(tmp_path):
    """With one cache; one ends while the other goes on."""
    one, other = Run(tmp_path), Run(tmp_path)
    for run in (one, other):
        run.qids.lineage(reconcile=True)
    one.qids.lineage(reconcile=True)
    one.days(0)
    other.qids.is_current()
    other.days(1)
    one.days(2)
    one.qids.settle()
    assert read(tmp_path / "out/qid_map.parquet") == {name: qid for name, qid in EXPECTED.items() if qid < 4}
    other.days(3)
    one.days(0)
    other.qids.settle()
    one.qids.settle()
    assert read(tmp_path / "out/qid_map.parquet") == EXPECTED


def test_two_coordinators_within_a_tick_of_the_clock_number_as_one(tmp_path, monkeypatch):
    """What `stat` says of the folder stays the same then, though each puts pieces there."""
    monkeypatch.setattr(Pieces, "stat", lambda pieces, base: (1, 1, 1, 1))
    test_two_coordinators_at_once_number_as_one(tmp_path)


def test_a_day_looks_at_no_more_files_however_many_pieces_there_are(tmp_path, monkeypatch):
    looks: list[str] = []
    monkeypatch.setattr(pieces, "stat_of", lambda path: looks.append(path) or stat_of(path))
    run = Run(tmp_path)
    run.qids.lineage(reconcile=True)
    counts = []
    for place in range(30):
        added = pa.table({"feed_session": [f"s{place}"], "qid": [place]})
        before = len(looks)
        with run.qids.exclusive():
            run.qids.put_below(added)
        counts.append(len(looks) - before)
    assert counts[0] and len(set(counts[2:])) == 1
    run.qids.settle()
    assert read(tmp_path / "out/qid_map.parquet") == {f"s{place}": place for place in range(30)}


def test_a_piece_that_is_damaged_meanwhile_is_not_written_into_the_map(tmp_path):
    """The run that ends does not take it; the next one numbers from what the partitions hold."""
    run = Run(tmp_path)
    run.whole(0)
    before = (tmp_path / "out/qid_map.parquet").read_bytes()
    run.days(1, 3)
    damaged = map_files(tmp_path / "out")[-1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    run.qids.settle()
    assert (tmp_path / "out/qid_map.parquet").read_bytes() == before
    Run(tmp_path).whole(0, 1, 2, 3)
    assert read(tmp_path / "out/qid_map.parquet") == EXPECTED


def test_two_coordinators_with_caches_of_their_own_do_not_mix(tmp_path):
    """The second reconciles what the first has put in; then the first is told that the map is another."""
    one = Run(tmp_path)
    one.qids.lineage(reconcile=True)
    one.days(0, 1)
    Run(tmp_path, "other cache").whole(2, 3)
    assert read(tmp_path / "out/qid_map.parquet") == EXPECTED
    with pytest.raises(DayError, match="replaced during the run"):
        one.days(1)
    one.qids.settle()
    Run(tmp_path).whole(0, 1, 2, 3)
    assert read(tmp_path / "out/qid_map.parquet") == EXPECTED


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("carries", [True, False])
def test_a_piece_that_is_harmed_counts_as_a_map_that_is(tmp_path, harm, carries):
    run = Run(tmp_path)
    run.whole(0, carries=carries)
    run.days(1, 3, carries=carries)
    piece, _ = sorted(tmp_path.glob(f"out/{FOLDER}/*/*"))
    data = piece.read_bytes()
    piece.unlink() if harm == "gone" else piece.write_bytes(
        data[:-1] if harm == "cut" else bytes([data[0] ^ 1]) + data[1:])  # fmt: skip
    if not carries:
        for _ in range(2):
            with pytest.raises(DaedalusError, match="does not know qids that partitions hold"):
                Run(tmp_path).whole(2)
        return
    Run(tmp_path).whole(2)
    assert read(tmp_path / "out/qid_map.parquet") == EXPECTED and not (tmp_path / "out" / FOLDER).exists()


def test_pieces_of_another_map_do_not_count(tmp_path):
    """A run dies; its map is set aside for one of somebody, and then comes back."""
    run, path = Run(tmp_path), tmp_path / "out/qid_map.parquet"
    run.whole(0, carries=False)
    run.days(1, 3, carries=False)
    aside = path.rename(tmp_path / "aside")
    with pytest.raises(DaedalusError, match="the qid map is missing"):
        Run(tmp_path).whole(2)
    pq.write_table(pa.table({"feed_session": ["x"], "qid": [0]}), path)
    with pytest.raises(DaedalusError, match="does not know qids that partitions hold"):
        Run(tmp_path).whole(2)
    aside.rename(path)
    Run(tmp_path).whole(2)
    assert read(path) == EXPECTED


def test_a_cache_that_is_lost_leaves_the_pieces(tmp_path):
    run = Run(tmp_path)
    run.whole(0, carries=False)
    run.days(1, 3, carries=False)
    shutil.rmtree(tmp_path / "cache")
    Run(tmp_path).whole(2, carries=False)
    assert read(tmp_path / "out/qid_map.parquet") == EXPECTED


@pytest.mark.parametrize("carries", [True, False])
def test_after_a_run_that_died_the_map_is_not_read(tmp_path, monkeypatch, carries):
    run = Run(tmp_path)
    run.whole(0, carries=carries)
    run.days(1, 3, carries=carries)
    monkeypatch.setattr(QidMap, "_reconcile", None)
    Run(tmp_path).whole(2, carries=carries)
    assert read(tmp_path / "out/qid_map.parquet") == EXPECTED


CHANGED = {
    "more": ({"feed_session": ["z"], "qid": [100]}, ""),
    "another number": ({"feed_session": ["a"], "qid": [100]}, "contradict"),
    "another session": ({"feed_session": ["z"], "qid": [0]}, "contradict"),
    "no session": ({"feed_session": [None], "qid": [0]}, "contradict"),
    "an unknown number": ({"qid": [100]}, "does not know"),
    "no number that is one": ({"qid": [-1]}, "does not know"),
    "numbers that are known": ({"qid": [3, None, 0]}, ""),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_partition_that_others_changed_is_compared_with_our_map(tmp_path, change):
    """By the index alone where that is enough; then as any other map."""
    rows, refusal = CHANGED[change]
    Run(tmp_path).whole(0, 1)
    table = pa.table(rows)
    if "feed_session" in rows:
        table = table.cast(pa.schema([("feed_session", pa.string()), ("qid", pa.int64())]))
    pq.write_table(table, tmp_path / "out/dt=2026-01-02/part-0-0.parquet")
    if refusal:
        with pytest.raises(DaedalusError, match=refusal):
            Run(tmp_path).whole(2)
        return
    Run(tmp_path).whole(2)
    expected = {name: qid for name, qid in EXPECTED.items() if qid < 4} | ({"z": 100} if change == "more" else {})
    assert read(tmp_path / "out/qid_map.parquet") == expected
