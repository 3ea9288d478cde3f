"""What the public API promises to type checkers: checked by test_public_api.py with mypy, never run."""

from __future__ import annotations

from typing import assert_type

import duckdb
import polars
import pyarrow as pa

import daedalus


class Watching(daedalus.Progress):
    """A watcher of one's own."""


def run(day: str) -> int:
    settings = daedalus.Settings(config="config", day_workers=2)
    try:
        report = daedalus.run_skeleton_stage(settings, day, plan=True, executor="threads", progress=Watching())
        report = daedalus.run_training_pipeline(settings, day, resume=True, model="dssm")
    except daedalus.DaedalusError as error:
        assert_type(error.where, str)
        assert_type(error.as_json(), dict[str, str | None])
        return error.exit_code
    except daedalus.Interrupted:
        return 130
    assert_type(report, daedalus.RunReport)
    assert_type(report.range, daedalus.DayRange)
    assert_type(report.failures, list[daedalus.Failure])
    assert_type(report.results, dict[str, daedalus.DayResult])
    assert_type(report.stages, dict[str, daedalus.RunReport])
    assert_type(report.days["done"], int)
    assert_type(report.as_json()["seconds"], float)
    assert_type(report.failures[0].error, str)
    return report.exit_code


def read() -> None:
    assert_type(daedalus.load("2026-05", ["user_id"], to="polars"), polars.LazyFrame)
    assert_type(daedalus.load(stage="enrich", to="duckdb"), duckdb.DuckDBPyRelation)
    print(daedalus.load("2026-05", split="train").schema)
    daedalus.load("2026-05", to="pandas"), daedalus.load(to="ray"), daedalus.load(to="huggingface", split="test")


def rank() -> None:
    labels = {"click": 1, "like": 2.0}
    daedalus.lightgbm_dataset("2026-05", features=["user_age"], labels=labels, split="train", stage="enrich")
    daedalus.xgboost_dmatrix(features=["user_age"], labels=labels, categorical=["platform_code"], output_root="out")


def windows(spine: pa.Table, events: pa.Table) -> pa.Table:
    spec = {"name": "x", "events": ["like"], "column": "artwork_id", "agg": "list", "windows": ["1d"]}
    return daedalus.aggregate_pit_table(spine, events, [spec], engine="polars", config="config")


assert_type(daedalus.__version__, str)
