"""Steps in parts give the bytes of the whole: any world, any number of parts, whoever computes them."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small import DAYS, edit, groups_of
from test_text_ids import without_numbers
from test_worlds import EXAMPLES, THOROUGH
from texts import Texts, with_texts
from worlds import worlds

from daedalus.config.columns import SPINE_COLUMNS
from daedalus.inputs.schemas import Group
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.skeleton import feed_ranges, partition_parts
from daedalus.stagecache.action import Action, Part, Parts
from daedalus.stagecache.records.traces import Trace
from daedalus.stagecache.walk import in_parts
from daedalus.stagecache.walk.executor import Made, Task, Threads
from daedalus.stagecache.walk.in_parts import InParts
from daedalus.workspace.settings import Settings

SHARDS = (2, 7)


@pytest.fixture
def small_groups(monkeypatch):
    groups_of(3, monkeypatch)


@pytest.fixture
def anew(warm, monkeypatch):
    """Runs the last two days of the small world from nothing, or warm."""
    groups_of(100, monkeypatch)

    def run(*, warm_cache: bool = False):
        if not warm_cache:
            shutil.rmtree(warm.root / "cache")
            shutil.rmtree(warm.output)
        return warm.run(f"{DAYS[-2]}..{DAYS[-1]}")

    return run


@pytest.fixture
def counted(monkeypatch):
    """How many actions of each step were computed in parts."""
    found: Counter[str] = Counter()
    begin = InParts._begin

    def counting(self, split):
        found[split.task.action.step] += 1
        begin(self, split)

    monkeypatch.setattr(InParts, "_begin", counting)
    return found


def made(root: Path, world, shards: int) -> tuple[dict[str, bytes], set[str], dict]:
    """(the output, the names of all artifacts, the counts) of a run in so many parts."""
    cache, out, path = root / f"cache-{shards}", root / f"out-{shards}", root / "config/training/runtime.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "day_shards": shards}))
    report = run_skeleton_stage(Settings(str(root / "config"), str(cache), str(out)), world.range, allow_empty=True)
    assert not report.failures
    output = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*.parquet")}
    assert not [path for path in out.rglob("*") if "part" in path.name and path.suffix != ".parquet"]
    return output, {path.name for path in cache.glob("artifacts/*/*.parquet")}, report.rows


@given(world=worlds(), texts=st.sampled_from([None, None, Texts(), Texts(users=None)]))
@settings(THOROUGH, max_examples=max(EXAMPLES // 8, 3))
def test_any_world_in_any_number_of_parts(pools, small_groups, world, texts):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (without_numbers(world) if texts else world).build(root / "numbers", pools)
        root = root / "numbers"
        if texts:
            with_texts(root, root.with_name("texts"), texts)
            root = root.with_name("texts")
        whole = made(root, world, 1)
        for shards in SHARDS:
            assert made(root, world, shards) == whole


def test_every_step_that_can_is_in_parts_and_an_edit_of_their_number_computes_nothing(warm, anew, counted):
    anew()
    expected, names = warm.bytes(), artifacts(warm.root)
    assert not counted
    edit(warm.runtime, day_shards=3)
    report = anew(warm_cache=True)
    assert (report.steps["computed"], report.steps["unchanged"]) == (0, 0)
    anew()
    assert (warm.bytes(), artifacts(warm.root)) == (expected, names)
    assert set(counted) == {"spine", "attributes", "rolling", "recent_published", "chunk"}
    assert not list(warm.root.glob("cache/tmp/run-*/*.parquet"))


def artifacts(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("cache/artifacts/*/*.parquet"))


def test_columns_of_the_partition_in_place_are_copied_and_only_others_are_in_parts(warm, anew, monkeypatch):
    anew()
    aggregations = yaml.safe_load(warm.aggregations.read_text())["aggregations"]
    edit(warm.aggregations, aggregations=[{**aggregations[0], "max_items": 1}, *aggregations[1:]])
    edit(warm.runtime, day_shards=2)
    cut: list[str] = []
    whole = partition_parts.cut
    monkeypatch.setattr(partition_parts, "cut", lambda wanted, groups, out: (
        cut.extend(name for one in wanted for name in one.names), whole(wanted, groups, out)))  # fmt: skip
    anew(warm_cache=True)
    found = warm.bytes()
    assert cut and all(name.startswith(aggregations[0]["name"]) for name in cut)
    edit(warm.runtime, day_shards=1)
    anew()
    assert warm.bytes() == found


# Ranges of users


def feed_part(kinds=("BIGINT",)):
    return [Group((("user_id", kind), ("event", "VARCHAR")), "parquet") for kind in kinds]


KINDS = {
    "whole numbers": pa.int64(), "narrow ones": pa.int32(), "text": pa.string(), "large text": pa.large_string(),
    "UUIDs": pa.uuid(),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@given(users=st.lists(st.none() | st.integers(0, 40), max_size=300), heavy=st.integers(0, 60), count=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_each_row_is_in_one_part_and_each_user_in_one_part(kind, users, heavy, count):
    users = [*users, *[20] * heavy]
    texts = [None if user is None else f"{user:032x}" for user in users]
    if kind == "UUIDs":
        column = pa.ExtensionArray.from_storage(
            pa.uuid(), pa.array([text and bytes.fromhex(text) for text in texts], pa.binary(16))
        )
    else:
        column = pa.array(texts if "text" in kind else users, KINDS[kind])
    table = pa.table({"row": pa.array(range(len(users)), pa.int64()), "user_id": column})
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i}.parquet") for i in range(3)]
        for i, file in enumerate(files):
            pq.write_table(table.take(pa.array(range(i, len(users), 3), pa.int64())), file, row_group_size=50)
        found = []
        for index in range(count):
            least, end = feed_ranges._range(Part(index, count), [("user_id", file) for file in files], len(users))
            out = [Path(folder, f"out-{index}-{i}") for i in range(3)]
            for file, made in zip(files, out, strict=True):
                feed_ranges._write_range(file, ["user_id", "row"], "user_id", least, end, made)
            rows = pa.concat_tables(pq.read_table(one) for one in out)
            assert rows.schema.field("user_id").type in (column.type, pa.string())
            found.append(rows["row"].to_pylist())
        assert sorted(row for rows in found for row in rows) == list(range(len(users)))
        mine = [{users[row] for row in rows} - {None} for rows in found]
        spans = [(min(some), max(some)) for some in mine if some]
        assert all(before[1] < after[0] for before, after in pairwise(spans))
        assert all(users[row] is not None for rows in found[1:] for row in rows)
        most = Counter(user for user in users if user is not None).most_common(1)
        known = len(users) - users.count(None)
        assert max(len(rows) for rows in found) <= users.count(None) + known / count + (most[0][1] if most else 0) + 1


def test_only_what_is_the_same_in_a_copy_has_ranges():
    assert feed_ranges.has_ranges(feed_part(("BIGINT", "INTEGER")))
    assert feed_ranges.has_ranges(feed_part(("VARCHAR",)))
    assert not feed_ranges.has_ranges(feed_part(("VARCHAR", "UUID")))
    assert not feed_ranges.has_ranges(feed_part(("UBIGINT",)))
    assert not feed_ranges.has_ranges([Group((("event", "VARCHAR"),), "parquet")])
    assert not feed_ranges.has_ranges([Group((("user_id", "BIGINT"),), "csv")])
    assert set(SPINE_COLUMNS.values()) <= set(feed_ranges._KNOWN)


# The executor


class Loose:
    """A shelf in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._lock = threading.Lock()

    def stage(self, name):
        with self._lock:
            self._count += 1
            return self._folder / f"{self._count}"

    def keep(self, name, staged):
        return staged.read_text(), staged.stat().st_size

    def problem(self, name, artifact):
        return ""

    def path(self, name, artifact):
        raise NotImplementedError


def task_of(folder: Path, rows: int = 10, run=None, **more) -> Task:
    def run_part(part, upstream, out):
        out.write_text(f"{part.index}")
        return {"rows": 1, "twice": 2}

    def join(parts, upstream, out):
        out.write_text("".join(path.read_text() for path in parts))
        return {"rows": 99}

    def whole(upstream, out):
        out.write_text("whole")
        return {}

    parts = Parts(lambda known: rows, run or run_part, join)
    action = Action("a", "a", None, {}, (), whole, Loose(folder), parts=parts)
    return Task(action, {}, {}, "key", {}, **more)


def ended(executor: InParts, future: Future) -> Future:
    while not future.done():
        executor.tend()
    return future


@pytest.fixture
def threads():
    pool = Threads(2)
    pool._usual = 1.0
    yield pool
    pool.shutdown()


def test_parts_are_put_together_in_their_order_and_removed(tmp_path, threads):
    executor = InParts(threads, 7)
    found = ended(executor, executor.submit(task_of(tmp_path))).result()
    assert isinstance(found, Made)
    assert (found.artifact, found.counts) == ("0123456", {"rows": 99, "twice": 14})
    assert [path.read_text() for path in tmp_path.iterdir()] == ["0123456"]


def test_a_part_that_fails_fails_the_action(tmp_path, threads):
    def run(part, upstream, out):
        out.write_text("")
        return {"rows": 1 // (part.index - 2)}

    executor = InParts(threads, 4)
    assert isinstance(ended(executor, executor.submit(task_of(tmp_path, run=run))).exception(), ZeroDivisionError)


def test_what_the_second_level_has_is_not_computed(tmp_path, threads):
    trace = Trace("key", "a", "artifact", {}, 0.0, 0, {}, "")
    executor = InParts(threads, 4)
    assert ended(executor, executor.submit(task_of(tmp_path, ask=lambda: trace))).result() is trace
    assert not list(tmp_path.iterdir())
    found = ended(executor, executor.submit(task_of(tmp_path, ask=lambda: None))).result()
    assert found.artifact == "0123"


def test_auto_is_as_many_parts_as_workers_are_idle_and_rows_are_worth(tmp_path, threads, monkeypatch):
    monkeypatch.setattr(Threads, "idle", property(lambda self: 5))
    many = 100 * in_parts.LEAST
    counts = lambda shards, rows, others=0: InParts(threads, shards)._count(task_of(tmp_path, rows, others=others))  # noqa: E731
    assert [counts(None, many), counts(None, many, others=3), counts(None, many, others=9)] == [5, 2, -4]
    assert [counts(None, 2 * in_parts.LEAST), counts(None, 10)] == [2, 0]
    assert [counts(3, many, 9), counts(3, 1), counts(3, 0), counts(1, many)] == [3, 3, 1, 1]
