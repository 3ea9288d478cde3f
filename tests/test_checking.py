"""`daeda config check` and `config schema`, and reading the output from Python."""

from __future__ import annotations

import jsonschema
import pyarrow.parquet as pq
import pytest
import yaml
from small import DAYS, RANGE, edit

import daedalus
from daedalus.errors import DaedalusError
from daedalus.pipelines.checking import schema


def test_check_tells_each_value_and_where_it_comes_from(warm):
    found = warm.json("config", "check")
    values = {row["key"]: row for row in found["values"]}
    assert values["spine.lookback_days"]["origin"] == "training/runtime.yaml"
    assert values["entity_spine_chunk_rows"]["value"] == 500_000
    assert any(row["origin"] == "default" for row in found["values"])
    assert found["feed"]["partitions"] == len(list(warm.root.glob("data/feed/dt=*"))) and not found["bad_files"]
    shown = warm.cli("config", "check").stdout.splitlines()
    assert "valid" in shown[0] and max(map(len, shown)) <= 80


def test_check_refuses_what_a_run_would(warm):
    edit(warm.runtime, spine__lookback_days=3)
    refused = warm.cli("config", "check")
    assert refused.returncode == 2 and "windows" in refused.stderr


def test_check_names_bad_feed_files(warm):
    path = warm.feed_file(DAYS[4])
    path.write_bytes(b"PAR1")
    assert [row["day"] for row in warm.json("config", "check")["bad_files"]] == [str(DAYS[4])]


@pytest.mark.parametrize(
    ("file", "path"),
    [("catalog", "catalog"), ("runtime", "training/runtime"), ("aggregations", "training/aggregations")],
)
def test_the_schema_fits_the_config_and_refuses_another_key(warm, file, path):
    whole = yaml.safe_load((warm.root / f"config/{path}.yaml").read_text())
    jsonschema.validate(whole, schema(file))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**whole, "no_such_key": 1}, schema(file))


def test_load_gives_the_output_in_its_order(warm):
    expected = [
        row
        for day in DAYS
        for part in sorted((warm.output / f"dt={day}").glob("*.parquet"))
        for row in pq.ParquetFile(part).read(columns=["user_id", "artwork_id"]).to_pylist()
    ]
    columns = ["user_id", "artwork_id"]
    assert daedalus.load(RANGE).to_table(columns=columns).to_pylist() == expected
    assert daedalus.load(RANGE, columns, to="polars").collect().to_dicts() == expected
    rows = daedalus.load(str(DAYS[3]), columns, to="duckdb").fetchall()
    assert len(rows) == daedalus.load(str(DAYS[3])).count_rows()
    with pytest.raises(DaedalusError, match="no partition"):
        daedalus.load("2031-01-01")
