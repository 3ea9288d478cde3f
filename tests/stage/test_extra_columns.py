"""Extra columns of the feed are columns of the spine: they tell duplicates apart, order rows, and go where those go."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from anything import Anything, anything, day
from reference import Reference, differences, read_output
from test_warm_equals_cold import left, run

from daedalus.base.errors import DaedalusError
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

VALUES = {
    "seconds": [None, 0.0, -0.0, 1.5, float("nan"), -float("nan"), float("inf")],
    "late": [None, 1, 2, 3],
    "shelf": [None, "", "a", "b"],
    "bought": [None, True, False],
}
KINDS = {"seconds": [pa.float64(), pa.float32()], "late": [pa.int64(), pa.int16()], "shelf": [pa.string()],
         "bought": [pa.bool_()]}  # fmt: skip
NAMES = {"late": "lateness", "shelf": "shelf", "seconds": "seconds", "bought": "bought"}


def with_extra(seed: int) -> Anything:
    """A world of few different rows that has extra columns, of several types over its files."""
    rng, world = random.Random(seed), anything(seed)
    for number, (path, table) in enumerate(world.feed.items()):
        table = table.take(pa.array([rng.randrange(3) for _ in range(20)]))
        for name, values in VALUES.items():
            if rng.random() < 0.9 or number == 0:
                made = pa.array(rng.choices(values, k=20), rng.choice(KINDS[name]))
                table = table.append_column(name, made)
        world.feed[path] = table
    world.catalog["feed"] |= {"extra_columns": list(NAMES.values()), "columns": {"lateness": "late"}}
    world.aggregations = [
        {"name": "shelves", "events": ["click", "like"], "column": "shelf", "agg": "list", "windows": ["1d", "2d"]},
        {"name": "all", "events": ["click", "like"], "column": "lateness", "agg": "distinct", "windows": "cumulative"},
        {"name": "times", "events": ["view"], "column": "seconds", "agg": "distinct", "windows": ["2d", "30d"]},
        {"name": "late_sum", "events": ["view", "like"], "column": "lateness", "agg": "sum", "windows": ["2d", "9d"]},
        {"name": "most", "events": ["view"], "column": "seconds", "agg": "max", "windows": ["2d"]},
    ]
    world.runtime["content_filter"] = {"drop": {"shelf": ["b"], "seconds": [1.5]}}
    world.runtime["enrich"] = []
    world.runtime["output_columns"] = ["user_id", "artwork_id", "event_timestamp", "event", *NAMES.values(),
                                       "shelves_1d", "shelves_2d", "all", "times_2d", "times_30d", "late_sum_2d",
                                       "late_sum_9d", "most_2d"]  # fmt: skip
    return world


def shown(rows: dict) -> dict:
    return {when: [{name: repr(value) for name, value in row.items()} for row in some] for when, some in rows.items()}


@pytest.mark.parametrize("seed", range(4))
def test_extra_columns_equal_the_reference(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    world = with_extra(seed)
    world.runtime["spine"] |= {"deduplicate": seed != 3}
    world.write(tmp_path)
    report = run_skeleton_stage(Settings(cache_root="cache", output_root="out"), world.range)
    reference = Reference(Path("config"), [day(number) for number in range(3)])
    assert not report.failures
    assert differences(shown(reference.run()), shown(read_output(tmp_path / "out"))) == []
    assert report.rows["duplicates"] == sum(count["duplicates"] for when, count in reference.counts.items()
                                            if when >= day(-2))  # fmt: skip
    assert run(world.range, "cache", "out") == run(world.range, "cold", "cold_out")


def test_a_wider_type_in_one_file_makes_every_day_wider(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    for path, table in world.feed.items():
        world.feed[path] = table.append_column("seconds", pa.array([1] * table.num_rows, pa.int32()))
    world.catalog["feed"] |= {"extra_columns": ["seconds"]}
    world.runtime["output_columns"].append("seconds")
    world.write(tmp_path)
    run(world.range, "cache", "out")
    kind = lambda number: pq.read_schema(f"out/dt={day(number)}/part-0-0.parquet").field("seconds").type  # noqa: E731
    assert {kind(number) for number in range(3)} == {pa.int32()}
    last = f"dt={day(2)}/a.parquet"
    table = world.feed[last]
    world.feed[last] = table.set_column(
        table.column_names.index("seconds"), "seconds", pa.array([2.5] * table.num_rows)
    )
    world.write(tmp_path)
    assert run(world.range, "cache", "out") == run(world.range, "cold", "cold_out")
    assert {kind(number) for number in range(3)} == {pa.float64()}
    assert left("out")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (None, ["feed.extra_columns", "seconds", "no file", "user_id"]),
        (lambda path, rows: pa.array([[1]] * rows), ["a.parquet: seconds", "BIGINT[]", "plain"]),
        (lambda path, rows: pa.array([1] * rows) if str(day(0)) in path else pa.array(["x"] * rows),
         ["a.parquet: seconds", "cannot be widened", "BIGINT", "VARCHAR"]),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_taken_along_are_refused(tmp_path, monkeypatch, make, told):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    for path, table in world.feed.items():
        if make:
            world.feed[path] = table.append_column("seconds", make(path, table.num_rows))
    world.catalog["feed"] |= {"extra_columns": ["seconds"]}
    world.write(tmp_path)
    with pytest.raises(DaedalusError) as refusal:
        run_skeleton_stage(Settings(cache_root="cache", output_root="out"), world.range)
    assert [part for part in told if part not in str(refusal.value)] == []
