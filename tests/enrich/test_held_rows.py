"""Vectors that another day or column had are found in memory by digest: the same bits, never others, within limits."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from random import Random

import lance
import numpy as np
import pytest
from pool_bench import DAY, MEAN, NEXT, OF, Bench, Use, expected

from daedalus.enrich import rows_at_hand
from daedalus.enrich.lance_rows import OpenFragment
from daedalus.tables import held_rows
from daedalus.tables.held import Held
from daedalus.tables.held_rows import HELD_ROWS, HeldRows


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    held = Held()
    held.limit(1 << 30, 2)
    for room in (held_rows, rows_at_hand):
        monkeypatch.setattr(room, "HELD", held)
    HELD_ROWS.clear()
    yield held
    HELD_ROWS.clear()


def rows_of(numbers: list[int], dim: int = 3, dtype: str = "float32") -> tuple[list[bytes], np.ndarray]:
    """A digest and a row for each number."""
    rows = np.array(numbers, dtype)[:, np.newaxis] + np.arange(dim, dtype=dtype)
    return [number.to_bytes(16, "little") for number in numbers], rows


def taken(held: HeldRows, numbers: list[int], dim: int = 3, dtype: str = "float32") -> set[int]:
    """Which of the numbers are held; their rows are those that were put."""
    digests, rows = rows_of(numbers, dim, dtype)
    out = np.full_like(rows, -1)
    missing = held.take(digests, out)
    found = np.setdiff1d(np.arange(len(numbers)), missing)
    assert list(missing) == sorted(set(missing)) and np.array_equal(out[found], rows[found])
    return {numbers[place] for place in found}


def test_rows_are_found_by_digest_and_only_those_of_one_kind():
    held = HeldRows()
    assert taken(held, [1, 2]) == taken(held, []) == set()
    held.put(*rows_of([1, 2, 2, 5]))
    held.put(*rows_of([5, 6]))
    assert taken(held, [6, 3, 2, 1, 6, 5]) == {1, 2, 5, 6} and taken(held, [3]) == set()
    assert taken(held, [1], dim=2) == taken(held, [1], dtype="float64") == set()
    held.put(*rows_of([7], dtype="float64"))
    assert taken(held, [1, 7]) == set() and taken(held, [1, 7], dtype="float64") == {7}


def test_no_more_is_held_than_the_memory_that_is_configured_allows(memory):
    held, width = HeldRows(), 3 * 4 + 200
    memory.limit(8 * 10 * width, 4)  # room for ten
    for begin in range(0, 100, 4):
        held.put(*rows_of(list(range(begin, begin + 4))))
        assert set(range(begin, begin + 4)) <= (found := taken(held, list(range(100)))) and len(found) <= 10
        assert held._held and len(held._held.matrix) <= 10 and len(held._held.places) <= 10
    held.put(*rows_of(list(range(11))))  # more than there is room for
    assert held._held and len(held._held.places) <= 10
    memory.limit(8 * 3 * width, 4)
    held.put(*rows_of([1, 2]))
    assert taken(held, list(range(100))) == {1, 2} and len(held._held.matrix) <= 3
    memory.limit(1, 4)
    held.put(*rows_of([9]))
    assert taken(held, [9]) == set()


def test_threads_find_whole_rows_while_others_put_and_begin_anew(memory):
    held = HeldRows()
    memory.limit(8 * 300 * (16 * 4 + 200), 4)  # it begins anew again and again

    def work(seed: int) -> int:
        rng, found = Random(seed), 0
        for _ in range(300):
            numbers = [rng.randrange(1000) for _ in range(rng.randrange(1, 60))]
            found += len(taken(held, numbers, dim=16))
            held.put(*rows_of(numbers, dim=16))
        return found

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) > 0


# The step


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def read(monkeypatch):
    """How many vectors are read of the pool, by call."""
    counts, vectors = [], OpenFragment.vectors

    def counted(self, column, places):
        counts.append(len(places))
        return vectors(self, column, places)

    monkeypatch.setattr(OpenFragment, "vectors", counted)
    return counts


def made(bench: Bench) -> dict[str, bytes]:
    return {name: bench.path(name).read_bytes() for name in bench.outcomes if name.startswith("vectors")}


def test_days_and_columns_read_what_no_other_had_and_make_the_same_bytes(bench, read, monkeypatch):
    bench.write([(i, [i, i / 7]) for i in range(500)] + [(7, None), (8, [8, 8]), (9, [8, 8])], max_rows_per_file=300)
    bench.uses = {DAY: Use(list(range(100)), [[1, 400]]), NEXT: Use(list(range(50, 250)), [[2, 400, 401]])}
    bench.walk()
    assert sum(read) <= 256  # 0 to 249 and two more, but for what two actions miss at once
    whole = made(bench)
    read.clear()
    bench.walk(force=True)
    assert sum(read) == 0 and made(bench) == whole
    monkeypatch.setattr(HeldRows, "take", lambda self, digests, out: np.arange(len(digests)))
    bench.walk(force=True)
    assert sum(read) == 305 and made(bench) == whole


@pytest.mark.parametrize("change", ["overwritten", "made again", "compacted", "deleted", "appended"])
def test_a_pool_that_changed_is_never_served_from_memory(bench, read, change):
    rows = [(i, [i, -i]) for i in range(60)]
    bench.write(rows, max_rows_per_file=30)
    bench.uses = {DAY: Use(list(range(60)), [[1, 2, 59]]), NEXT: Use([3, 40], [[5]])}
    bench.walk()
    other = [(i, [i, i + 0.5]) for i in range(0, 60, 2)]
    if change == "overwritten":
        bench.write([*other, *rows[1::2]], mode="overwrite", max_rows_per_file=30)
    elif change == "made again":
        shutil.rmtree(bench.table)
        bench.write([*rows[::-1], *other], max_rows_per_file=7)
    elif change == "compacted":
        bench.write(other, mode="append")
        lance.dataset(str(bench.table)).optimize.compact_files()
    elif change == "deleted":
        lance.dataset(str(bench.table)).delete("id % 3 = 0")
    else:
        bench.write(other, mode="append")
    read.clear()
    bench.walk()
    for day in (DAY, NEXT):
        assert bench.vectors(OF, day) == expected(bench.table, bench.uses[day].ids)
        assert bench.vectors(MEAN, day) == expected(bench.table, bench.uses[day].lists[0])
    assert sum(read) <= (0 if change == "deleted" else 40)  # what no day had
