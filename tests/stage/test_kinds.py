"""The kinds that measure, through the whole of the stage: bytes, refusals, and what every command says of them."""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tiny import KEYS, at, feed, project

from daedalus.audit.audit import audit
from daedalus.base.errors import DaedalusError
from daedalus.compile.resolve import compiled
from daedalus.config.aggregation_kinds import KINDS, Measure
from daedalus.explain.day import explain_step
from daedalus.explain.row import explain_row
from daedalus.explain.row_lines import row_lines
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.statistics.partition import partition_statistics
from daedalus.workspace.settings import Settings

MEASURES = {agg: kind for agg, kind in KINDS.items() if isinstance(kind, Measure)}
DAYS = ["2026-02-01", "2026-02-02", "2026-02-03"]
ARTWORKS = [10, 11, 12, 13]
NUMBERS = {
    "whole": pa.array([5, -7, None, 2**31 - 1], pa.int32()),
    "unsigned": pa.array([1, 2**63, None, 3], pa.uint64()),
    "half": pa.array([0.5, -0.0, None, float("nan")], pa.float16()),
    "float": pa.array([0.1, 0.7, None, 1e16], pa.float64()),
    "money": pa.array([Decimal("1.50"), Decimal("-0.01"), None, Decimal("9.99")], pa.decimal128(9, 2)),
}
OTHERS = {
    "text": pa.array(["b", "é", None, ""]),
    "flag": pa.array([True, False, None, True]),
    "day": pa.array([dt.date(2025, 1, 1), dt.date(1969, 12, 31), None, dt.date(2025, 1, 1)], pa.date32()),
    "when": pa.array([at("2026-01-01"), at("2025-01-01"), None, at("2026-01-02")], pa.timestamp("us")),
    "blob": pa.array([b"b", b"\xff", None, b""], pa.binary()),
}
TYPES = {"whole": "INTEGER", "unsigned": "UBIGINT", "half": "FLOAT", "float": "DOUBLE", "money": "DECIMAL(9,2)",
         "text": "VARCHAR", "flag": "BOOLEAN", "day": "DATE", "when": "TIMESTAMP", "blob": "BLOB"}  # fmt: skip


def spec(agg: str, column: str, **more: object) -> dict:
    return {
        "name": f"{agg}_{column}",
        "events": ["like"],
        "column": column,
        "agg": agg,
        "windows": ["1h", "2d"],
        **more,
    }


def all_kinds() -> list[dict]:
    found = []
    for agg, kind in MEASURES.items():
        columns = NUMBERS if kind.takes == "numbers" else {**NUMBERS, **OTHERS}
        found += [spec(agg, name) for name in columns if (agg, name) != ("sum", "unsigned")]
        found.append({**spec(agg, "artwork_id", exclude_self=True), "windows": "cumulative", "name": f"all_{agg}"})
    return [*found, spec("top", "retriever_id", max_items=1), spec("last", "text", name="others", exclude_self=True)]


def columns_of(specs: list[dict]) -> list[str]:
    """The output columns of aggregations."""
    found = []
    for one in specs:
        spans = [] if one["windows"] == "cumulative" else one["windows"]
        found += [f"{one['name']}_{span}" for span in spans] or [one["name"]]
    return found


def written(root: Path, specs: list[dict], **features: pa.Array) -> Path:
    days = {day: feed(*[(user, art, f"{day} {art}:{user}0", event) for user in (1, 2) for art in ARTWORKS
                        for event in ("like", "view")]) for day in DAYS}  # fmt: skip
    days = {
        day: table.append_column("retriever_id", pa.array(["r", None, "s", "r"] * 4)) for day, table in days.items()
    }
    known = {**NUMBERS, **OTHERS, **features}
    stamps = pa.array([at("2026-01-01")] * 4, pa.timestamp("us"))
    view = pa.table({"artwork_id": pa.array(ARTWORKS, pa.int64()), "updated_at": stamps, **known})
    return project(root, days, view, specs, columns_of(specs), enrich=[f"art:{name}" for name in known])


def left(folder: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).glob("dt=*/*.parquet"))}


@pytest.fixture
def world(tmp_path, monkeypatch):
    root = written(tmp_path, all_kinds())
    monkeypatch.chdir(root)
    return root


def test_all_kinds_of_all_types(world):
    report = run_skeleton_stage(Settings(), None)
    assert not report.failures
    found = audit(Settings(), range=None, rows=100, seed=1)
    assert not found["by_column"] and not found["missing"] and not found["extra"], found["by_column"]
    parts = sorted(world.glob("data/training_output/dt=2026-02-03/*.parquet"))
    told = {column["name"]: column for column in compiled(Settings())["columns"]}
    of_part = pq.read_schema(parts[0])
    by_name = {column["name"]: column for column in partition_statistics(parts)["columns"]}
    for one in all_kinds():
        kind = MEASURES[one["agg"]]
        for name in columns_of([one]):
            column = told[name]
            assert column["nullable"] == (kind.empty == "NULL")
            assert column["meaning"].endswith(".") and "like events" in column["meaning"], column
            value = TYPES.get(one["column"], "VARCHAR" if one["column"] == "retriever_id" else "BIGINT")
            total = "BIGINT" if value in ("INTEGER", "UBIGINT", "BIGINT") else "DOUBLE"
            assert column["type"] == {"value": value, "list": f"{value}[]", "sum": total}.get(kind.gives, kind.gives)
            assert (by_name[name]["nulls"] == 0) or kind.empty == "NULL"
            assert str(of_part.field(name).type) in by_name[name]["type"]


def test_a_kind_that_is_added_is_computed_alone_and_as_if_new(world):
    aggregations, runtime = world / "config/training/aggregations.yaml", world / "config/training/runtime.yaml"
    specs = [spec(agg, "whole") for agg in ("sum", "top", "max")]

    def configure(chosen: list[dict]) -> None:
        aggregations.write_text(yaml.safe_dump({"aggregations": chosen}))
        known = yaml.safe_load(runtime.read_text())
        runtime.write_text(yaml.safe_dump({**known, "output_columns": [*KEYS, *columns_of(chosen)]}))

    configure(specs[:1])
    run_skeleton_stage(Settings(), None)
    configure(specs)
    assert run_skeleton_stage(Settings(), None).steps["computed"] == 3 * len(DAYS)  # top, max and the partition
    warm = left("data/training_output")
    shutil.rmtree("data/training_output")
    run_skeleton_stage(Settings(cache_root="cold"), None)
    assert left("data/training_output") == warm


def test_explain_row_says_which_events_made_a_sum(world):
    run_skeleton_stage(Settings(), None)
    found = explain_row(Settings(), DAYS[1], 1, 12)
    columns = found["rows"][0]["columns"]
    table = pq.read_table(next(iter(world.glob(f"data/training_output/dt={DAYS[1]}/*.parquet")))).to_pylist()
    (row,) = [row for row in table if (row["user_id"], row["artwork_id"], row["event"]) == (1, 12, "like")]
    values = {name: [event["value"] for event in column["counted"]] for name, column in columns.items()}
    assert sum(values["sum_whole_2d"]) == row["sum_whole_2d"] and len(values["sum_whole_2d"]) == 5
    assert values["max_whole_2d"][0] == row["max_whole_2d"]
    for agg in ("last", "first"):
        assert values[f"{agg}_whole_2d"] == [row[f"{agg}_whole_2d"]]
    assert list(dict.fromkeys(values["top_whole_2d"])) != [] and set(values["top_whole_2d"]) == set(row["top_whole_2d"])
    whys = {event["why"] for event in columns["last_whole_2d"]["left_out"]}
    assert "not the newest" in whys and "no value" in whys
    assert any("sum_whole" in line for line in row_lines(found))


def test_the_script_of_a_step_gives_its_rows(world):
    import duckdb

    run_skeleton_stage(Settings(), None)
    found = pq.read_table(next(iter(world.glob(f"data/training_output/dt={DAYS[1]}/*.parquet"))))
    for agg in MEASURES:
        script = explain_step(Settings(), DAYS[1], f"rolling:{agg}_whole")["script"]
        rows = duckdb.connect().execute(script).fetchall()
        made = [found[f"{agg}_whole_{window}"].to_pylist() for window in ("1h", "2d")]
        assert len(rows) == found.num_rows
        for row, ours in zip(rows, zip(*made, strict=True), strict=True):
            assert all(a == b or abs(a - b) < 1e-6 for a, b in zip(row, ours, strict=True)), (agg, row, ours)


OVERFLOW = {"large": pa.array([2**63 - 1, 2**63 - 1, None, -5], pa.int64())}


def test_a_sum_past_bigint_fails_its_days(tmp_path, monkeypatch):
    specs = [spec("sum", "large"), spec("mean", "large")]
    monkeypatch.chdir(written(tmp_path, specs, **OVERFLOW))
    report = run_skeleton_stage(Settings(), None)
    assert {failure.day for failure in report.failures} == set(DAYS)
    error = report.failures[0].error
    assert "large" in error and "for user 1" in error and "BIGINT" in error
    assert not any("mean" in failure.step for failure in report.failures)


@pytest.mark.parametrize(
    ("one", "named"),
    [
        (spec("sum", "text"), ["aggregations[0].column", "agg: sum takes numbers", "text: VARCHAR"]),
        (spec("mean", "when"), ["aggregations[0].column", "when: TIMESTAMP"]),
        (spec("std", "flag"), ["aggregations[0].column", "flag: BOOLEAN"]),
        (spec("sum", "event"), ["aggregations[0].column", "event: VARCHAR"]),
        (spec("min", "pairs"), ["aggregations[0].column", "values that have an order", "pairs: BIGINT[]"]),
        (spec("top", "pairs"), ["aggregations[0].column", "plain values", "pairs: BIGINT[]"]),
        (spec("sum", "whole", max_items=3), ["aggregations[0].max_items", "agg: sum gives one value"]),
    ],
)
def test_what_has_no_meaning_is_refused_before_any_work(tmp_path, monkeypatch, one, named):
    root = written(tmp_path, [one], pairs=pa.array([[1], [2, 3], None, []], pa.list_(pa.int64())))
    monkeypatch.chdir(root)
    with pytest.raises(DaedalusError) as refused:
        run_skeleton_stage(Settings(), None)
    assert refused.value.exit_code == 2
    for text in named:
        assert text in refused.value.text(), refused.value.text()
    assert not list(root.rglob("dt=*/part*"))
