"""The same inputs, config and code give the same bytes, however the work is cut."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from functools import partial

import pytest
from small import DAYS, PROJECT, RANGE, edit

from daedalus.tables import side_by_side
from daedalus.tables.held import HELD

WAYS = {
    "one thread": {"threads": 1},
    "four threads": {"threads": 4},
    "two workers": {"day_workers": 2},
    "two workers of one thread": {"threads": 1, "day_workers": 2},
    "little memory": {"memory_limit": "300MB"},
}


@pytest.mark.parametrize("way", WAYS)
def test_same_bytes_from_nothing(warm, way):
    expected = warm.bytes()
    for made in ("cache", "data/training_output"):
        shutil.rmtree(warm.root / made)
    options = dict(WAYS[way])
    workers = options.pop("day_workers", None)
    whole = {"threads": 2, "memory_limit": "4GB", "temp_directory": "cache/tmp", **options}
    edit(warm.runtime, compute={"engine": "duckdb", "duckdb_config": whole})
    warm.run(RANGE, day_workers=workers)
    assert warm.bytes() == expected


def test_same_bytes_with_parts_of_steps_side_by_side(warm, monkeypatch):
    """Only steps of many rows are divided; here all are, and the artifacts are the same too."""
    expected, names = warm.bytes(), sorted(path.name for path in warm.root.glob("cache/artifacts/*/*.parquet"))
    shutil.rmtree(warm.root / "cache")
    shutil.rmtree(warm.output)
    monkeypatch.setattr(side_by_side, "_ROWS", 0)
    warm.run()
    assert warm.bytes() == expected
    assert sorted(path.name for path in warm.root.glob("cache/artifacts/*/*.parquet")) == names


def test_parts_side_by_side_come_in_order_and_fail_as_alone(monkeypatch):
    def part(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        return number if number != 7 else 1 // 0

    monkeypatch.setattr(HELD, "workers", 3)
    for rows in (1, 10**6):
        assert list(side_by_side.side_by_side([partial(part, i) for i in range(7)], rows)) == list(range(7))
        with pytest.raises(ZeroDivisionError):
            list(side_by_side.side_by_side([partial(part, i) for i in range(9)], rows))


def test_parts_of_parts_end_however_few_threads_there_are(monkeypatch):
    def part(depth: int) -> int:
        parts = [partial(part, depth - 1) for _ in range(3)] if depth else []
        return 1 + sum(side_by_side.side_by_side(parts, 10**6))

    monkeypatch.setattr(HELD, "workers", 2)
    assert list(side_by_side.side_by_side([partial(part, 3) for _ in range(4)], 10**6)) == [40] * 4


def test_who_stops_asking_for_parts_waits_for_those_that_run(monkeypatch):
    running: set[int] = set()

    def part(number: int) -> int:
        running.add(number)
        time.sleep(0.05)
        running.remove(number)
        return 1 // number

    monkeypatch.setattr(HELD, "workers", 2)
    with pytest.raises(ZeroDivisionError):
        list(side_by_side.side_by_side([partial(part, i) for i in range(9)], 10**6))
    assert not running


FORKED = """
import os
from daedalus.tables.held import HELD
from daedalus.tables.side_by_side import side_by_side
HELD.workers = 2
def parts():
    return list(side_by_side([int, str, list], 10**6))
parts()
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(0 if parts() == [0, "", []] else 1)
"""


def test_a_forked_process_has_threads_of_its_own():
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=60, cwd=PROJECT).returncode == 0


def test_same_bytes_day_by_day(warm):
    expected = warm.bytes()
    shutil.rmtree(warm.root / "cache")
    shutil.rmtree(warm.output)
    for day in DAYS:
        warm.run(str(day))
    assert warm.bytes() == expected


def test_same_bytes_but_for_qids_backwards(warm):
    expected = columns_without_qid(warm)
    shutil.rmtree(warm.root / "cache")
    shutil.rmtree(warm.output)
    for day in reversed(DAYS):
        warm.run(str(day))
    assert columns_without_qid(warm) == expected


def columns_without_qid(world):
    from reference import read_output

    found = read_output(world.output)
    for rows in found.values():
        for row in rows:
            row.pop("qid")
    return found


def test_two_caches_hold_the_same_artifacts(warm):
    names = sorted(path.name for path in warm.root.glob("cache/artifacts/*/*.parquet"))
    warm.run(RANGE, cache_root="other", output_root="elsewhere")
    assert sorted(path.name for path in warm.root.glob("other/artifacts/*/*.parquet")) == names
    assert warm.bytes(warm.root / "elsewhere") == warm.bytes()


def test_a_small_chunk_size_cuts_the_same_rows(warm):
    import pyarrow.parquet as pq

    whole = {day: pq.ParquetFile(warm.output / f"dt={day}/part-0-0.parquet").read().to_pylist() for day in DAYS}
    report = warm.run(RANGE, entity_spine_chunk_rows=40)
    assert report.steps["computed"] == len(DAYS)
    for day in DAYS:
        parts = sorted((warm.output / f"dt={day}").glob("*.parquet"), key=lambda p: int(p.name.split("-")[1]))
        sizes = [pq.read_metadata(part).num_rows for part in parts]
        assert [part.name for part in parts] == [f"part-{n}-0.parquet" for n in range(len(parts))]
        assert all(size == 40 for size in sizes[:-1]) and 0 < sizes[-1] <= 40
        rows = [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]
        assert rows == whole[day]
