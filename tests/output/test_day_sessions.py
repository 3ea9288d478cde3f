"""A day numbered by three tasks is the day numbered by one: the same column, map and counts, whatever its sessions."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import DAYS as SMALL_DAYS
from test_qid_pieces import Run, read, small_index
from turns import spread

from daedalus.base.errors import DayError
from daedalus.output.numbers.day_sessions import read_column, write_numbers, write_sessions
from daedalus.output.qid_map import QidMap
from daedalus.stagecache.action import Again
from daedalus.tables.held import HELD

__all__ = ["small_index"]  # a fixture
ROUNDS = int(os.environ.get("DAEDA_ROUNDS", "12"))
DIRTY = [None, None, "", " ", "a", "A", "aa", "a\0", "é", "e\u0301", "\U0001f600", "z" * 300, "0", "00"]


def artifacts(root: Path, draw: random.Random) -> dict[str, Path]:
    """Of a day with what names and times may be: few times, so that many are equal; rows that do not ship."""
    pool = draw.choice([DIRTY, [None], [f"s{number}" for number in range(40)], [*DIRTY, *(str(n) for n in range(9))]])
    rows = draw.choice([0, 1, 7, 60])
    names = [draw.choice(pool) for _ in range(rows)]
    times = [draw.choice([-5, 0, 0, 3, draw.randrange(9)]) for _ in range(rows)]
    shipped = sorted(draw.sample(range(rows), draw.choice([rows, rows // 2, 0])))
    found = {name: root / f"{name}-{draw.random()}.parquet" for name in ("sessions", "content")}  # they may be held
    table = {"feed_session": pa.array(names, pa.string()), "event_timestamp": pa.array(times, pa.timestamp("us"))}
    pq.write_table(pa.table(table), found["sessions"])
    pq.write_table(pa.table({"daeda:row": pa.array(shipped, pa.int64())}), found["content"])
    return found


def in_three(run: Run, read_from: dict[str, Path], column: Path) -> dict[str, int]:
    sessions, numbers = run.root / "between-1", run.root / "between-2"
    write_sessions(read_from, run.ducks, "a", sessions)
    turn = run.qids.number(sessions, "b", numbers)
    rest = write_numbers(read_from, sessions, numbers, run.ducks, column)
    return {**rest, **turn}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_any_days_in_memory_or_not(tmp_path, monkeypatch, seed):
    draw = random.Random(seed)
    one, three = Run(tmp_path / "one"), Run(tmp_path / "three")
    for run in (one, three):
        run.qids.lineage(reconcile=True)
    for day in range(4):
        read_from, columns = artifacts(tmp_path, draw), [run.root / f"column-{day}" for run in (one, three)]
        monkeypatch.setattr(HELD, "each", draw.choice([0, 1 << 30]))
        counts = one.qids.assign(read_from, columns[0])
        monkeypatch.setattr(HELD, "each", draw.choice([0, 1 << 30]))
        assert in_three(three, read_from, columns[1]) == counts
        assert columns[0].read_bytes() == columns[1].read_bytes()
        if draw.random() < 0.3:
            for run in (one, three):
                run.qids.settle()
    for run in (one, three):
        run.qids.settle()
    maps = [run.out / "qid_map.parquet" for run in (one, three)]
    assert maps[0].exists() == maps[1].exists()
    assert not maps[0].exists() or maps[0].read_bytes() == maps[1].read_bytes()


def test_files_between_are_those_of_one_day_and_one_run(tmp_path):
    """Who is done with one removes it by what is in it: that of another day or run must not be the same. One that was
    made a second time must."""
    run = Run(tmp_path)
    read_from, found = run.artifacts(1), []
    for place, name in (("one", "a"), ("one", "a"), ("one", "b"), ("other", "a")):
        (tmp_path / place).mkdir(exist_ok=True)
        found.append(tmp_path / place / str(len(found)))
        write_sessions(read_from, run.ducks, name, found[-1])
        assert read_column(found[-1]).to_pylist() == ["c", "a", "d"]
    assert found[0].read_bytes() == found[1].read_bytes() and len({path.read_bytes() for path in found}) == 3


def test_numbers_are_refused_as_for_a_whole_day(tmp_path):
    run, other = Run(tmp_path), Run(tmp_path, "other cache")
    run.qids.lineage(reconcile=True)
    run.days(0)
    write_sessions(run.artifacts(1), run.ducks, "a", tmp_path / "sessions")
    run.qids.remember("another", run.qids.content())
    with pytest.raises(Again):
        run.qids.number(tmp_path / "sessions", "b", tmp_path / "numbers")
    run.qids.number(tmp_path / "sessions", "b", tmp_path / "numbers")
    assert read_column(tmp_path / "numbers").to_pylist() == [2, 1, 3]
    other.whole(3)
    with pytest.raises(DayError, match="replaced during the run"):
        run.qids.number(tmp_path / "sessions", "b", tmp_path / "numbers")


# Whole runs


def files(world) -> dict[str, bytes]:
    folders = (world.output, world.root / "cache/artifacts")
    return {str(path.relative_to(world.root)): path.read_bytes()
            for folder in folders for path in folder.rglob("*.parquet")}  # fmt: skip


def test_a_run_in_three_leaves_what_a_run_leaves(cold, warm_template, monkeypatch):
    from small import Small

    began = spread(monkeypatch)
    report = cold.run()
    assert not report.failures and files(cold) == files(Small(warm_template))
    assert {f"qids:numbers@{day}" for day in SMALL_DAYS} <= set(began)
    began.clear()
    assert cold.run().steps["computed"] == 0 and not began
    monkeypatch.undo()
    monkeypatch.chdir(cold.root)
    assert cold.run().steps["computed"] == 0, "the keys are those of a run that is not spread"


@pytest.mark.parametrize("at", ["before", "after"])
def test_a_lineage_that_changes_in_between_is_in_the_key(cold, monkeypatch, at):
    """Another process takes the map up just before or just after a day has its turn: the day is numbered again."""
    began, number, done = spread(monkeypatch), QidMap.number, []

    def moving(self, sessions, name, out):
        if at == "before" and not done:
            done.append(self.remember("another", self.content()))
        counts = number(self, sessions, name, out)
        if not done:
            done.append(self.remember("another", self.content()))
            assert not self.is_current()
        return counts

    monkeypatch.setattr(QidMap, "number", moving)
    report = cold.run()
    assert not report.failures and done == ["another"]
    first = min(map(str, SMALL_DAYS))
    assert began.count(f"qids:numbers@{first}") == 2
    monkeypatch.undo()
    monkeypatch.chdir(cold.root)
    report = cold.run()
    assert report.steps["computed"] == report.steps["unchanged"] == 0
    assert len(read(cold.output / "qid_map.parquet")) > 0
