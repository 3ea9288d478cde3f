"""`daeda config check` and `config schema`, and reading the output from Python."""

from __future__ import annotations

import json

import jsonschema
import pyarrow.parquet as pq
import pytest
import yaml
from small import DAYS, RANGE, edit

import daedalus
from daedalus.base.errors import DaedalusError
from daedalus.cli.main import main
from daedalus.upkeep.check_config import schema


def test_check_tells_each_value_and_where_it_comes_from(warm):
    found = warm.json("config", "check")
    values = {row["key"]: row for row in found["values"]}
    assert values["spine.lookback_days"]["origin"] == "training/runtime.yaml"
    assert values["entity_spine_chunk_rows"]["value"] == 500_000
    assert any(row["origin"] == "default" for row in found["values"])
    assert found["feed"]["partitions"] == len(list(warm.root.glob("data/feed/dt=*"))) and not found["bad_files"]
    shown = warm.cli("config", "check").stdout.splitlines()
    assert "valid" in shown[0] and max(map(len, shown)) <= 80


def test_check_shows_lists_of_mappings_and_plain_values_in_any_order(warm):
    columns = yaml.safe_load(warm.runtime.read_text())["output_columns"]
    edit(warm.runtime, output_columns=[{"name": "item", "from": "artwork_id"}, *columns[2:]])
    shown = warm.cli("config", "check").stdout
    assert "- name: item, from: artwork_id" in shown and "- event_timestamp" in shown


def test_check_refuses_what_a_run_would(warm):
    edit(warm.runtime, spine__lookback_days=-3)
    refused = warm.cli("config", "check")
    assert refused.returncode == 2 and "lookback_days" in refused.stderr


def test_check_names_bad_feed_files(warm):
    path = warm.feed_file(DAYS[4])
    path.write_bytes(b"PAR1")
    found = json.loads(warm.cli("config", "check", "--json").stdout)
    assert [row["day"] for row in found["bad_files"]] == [str(DAYS[4])]


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


def test_check_fails_when_days_would_fail(warm):
    warm.feed_file(DAYS[4]).write_bytes(b"PAR1")
    done = warm.cli("config", "check")
    assert done.returncode == 1 and "10 days would fail" in done.stdout
    assert "10 days would fail" in warm.cli("skeleton", "--range", RANGE, "--plan").stdout
    days = warm.run().days
    assert days["failed"] == 1 and days["blocked"] == 9
    warm.edit_aggregations(lambda specs: specs.pop())  # without history a week is as far as it goes
    columns = yaml.safe_load(warm.runtime.read_text())["output_columns"]
    edit(warm.runtime, output_columns=[name for name in columns if name != "dislike_artwork_ids"])
    found = json.loads(warm.cli("config", "check", "--json").stdout)
    assert found["failing_days"] == [str(day) for day in DAYS[4:12]]


def test_check_looks_at_the_pools_id_column(warm):
    edit(warm.runtime, embedding_coverage_filter__id_column="artwork")
    for command in (["config", "check"], ["skeleton", "--range", RANGE, "--plan"]):
        done = warm.cli(*command)
        assert done.returncode == 2 and "did you mean 'artwork_id'?" in done.stderr


def test_what_surely_does_nothing_is_noted_and_runs(warm):
    warm.edit_aggregations(lambda specs: specs[0].update(windows=["1d", "3d", "5d", "7d"]))
    warm.edit_aggregations(lambda specs: specs[6].update(events=["klick"]))
    warm.edit_aggregations(lambda specs: specs.append({**specs[0], "name": "more"}))
    notes = [
        "note: output_columns names no column of more (aggregations.yaml), so nothing computes it",
        "note: aggregation like_artwork_ids: output_columns does not name like_artwork_ids_5d",
        "note: aggregation click_artwork_ids: no known event is called 'klick'; did you mean 'click'?",
    ]
    for command in (["config", "check"], ["skeleton", "--range", RANGE, "--plan", "--progress", "none"]):
        done = warm.cli(*command)
        assert done.returncode == 0 and done.stderr.splitlines() == notes


def test_load_refuses_what_is_not_there_and_knows_the_configs_output(warm):
    with pytest.raises(DaedalusError, match="did you mean 'user_id'"):
        daedalus.load(RANGE, ["user_idd"])
    with pytest.raises(DaedalusError, match="pyarrow or polars or duckdb or pandas or"):
        daedalus.load(RANGE, to="numpy")  # type: ignore[arg-type]
    assert "load" in dir(daedalus)
    warm.output.rename(warm.root / "elsewhere")
    edit(warm.runtime, output_root="elsewhere")
    assert daedalus.load(RANGE).count_rows() > 1000


def test_partitions_of_two_schemas_load_with_the_columns_of_the_last(warm):
    """pyarrow took those of the first, and dropped what was new; the other two failed."""
    edit(warm.runtime, output_columns=["user_id", {"name": "added", "default": 1.5}])
    warm.run(f"{DAYS[10]}..{DAYS[13]}")
    old = sum(daedalus.load(str(day)).count_rows() for day in DAYS[:10])
    tables = [
        daedalus.load(RANGE).to_table(),
        daedalus.load(RANGE, to="polars").collect().to_arrow(),
        daedalus.load(RANGE, to="duckdb").to_arrow_table(),
    ]
    for table in tables:
        assert table.column_names == ["user_id", "added", "qid", "dt"]
        assert table["added"].null_count == old > 100 and table.num_rows > old + 100
        assert table["user_id"].null_count == 0
    with pytest.raises(DaedalusError, match="no config folder"):
        daedalus.load(RANGE, config="nowhere")


SECRETS = {
    "endpoint": ("http://someone:hush1@127.0.0.1:9/path?sig=hush2", "http://127.0.0.1:9/path"),
    "region": ("eu-west-1", "eu-west-1"),
    "AWS_Access_Key_Id": ("hush3", "(set)"),
    "secret_access_key": ("hush4", "(set)"),
    "token": ("hush5", "(set)"),
    "sse_customer_key_base64": ("hush6", "(set)"),
    "skip_signature": (True, True),
    "metadata_endpoint": ("someone:hush7@host", "(set)"),
}


def test_check_shows_only_what_is_known_to_be_harmless(warm):
    edit(
        warm.runtime,
        object_store={key: value for key, (value, _) in SECRETS.items()},
        compute__duckdb_config={"threads": 2, "memory_limit": "1GB"},
        embedding_coverage_filter__enabled=False,
        embedding_coverage_filter__uri="s3://account:hush9@bucket/pool?sv=1&sig=hush10",
    )
    for told in (warm.cli("config", "check"), warm.cli("config", "check", "--json")):
        assert told.returncode == 0 and "hush" not in told.stdout + told.stderr, told.stderr
    values = {row["key"]: row["value"] for row in json.loads(told.stdout)["values"]}
    assert {key: values[f"object_store.{key}"] for key in SECRETS} == {key: told for key, (_, told) in SECRETS.items()}
    assert values["embedding_coverage_filter.uri"] == "s3://bucket/pool"


def test_addresses_are_shown_without_what_they_keep_secret(warm):
    secret = "s3://someone:hush,o'hush@bucket/{}?sig=hush"
    edit(warm.runtime, cache_remote=secret.format("shared"), object_store={"endpoint": "http://127.0.0.1:9"})
    edit(warm.catalog, views__unused={"source": secret.format("view"), "entity": "artwork_id",
                                      "timestamp_field": "t", "features": ["f"]})  # fmt: skip
    for command in (("config", "check"), ("cache", "status"), ("skeleton", "--force", "--range", str(DAYS[5])),
                    ("cache", "gc", "--remote")):  # fmt: skip
        for told in (warm.cli(*command), warm.cli(*command, "--json")):
            assert "hush" not in told.stdout + told.stderr, told
        assert "s3://bucket/" in json.dumps(json.loads(told.stdout))
    values = {row["key"]: row["value"] for row in warm.json("config", "check")["values"]}
    assert (values["cache_remote"], values["views.unused.source"]) == ("s3://bucket/shared", "s3://bucket/view")


def test_what_looks_like_an_address_in_a_value_is_shown_whole(warm):
    """The query went from values, rows and SQL, and with it the backslash of an escaped quote in JSON."""
    texts = ['struct_pack("https://h/x?a=1" := 1)', "'https://u:p@shop.example/item?id=7'"]
    columns = [{"name": f"made_{i}", "default_sql": text} for i, text in enumerate(texts)]
    link = {"name": "link", "default": "https://shop.example/item?id=1"}
    edit(warm.runtime, output_columns=["user_id", "event_timestamp", "artwork_id", "event", *columns, link])
    assert columns[0] in (shown := _shown_columns(warm)) and columns[1] in shown and link in shown
    assert texts[1] in warm.cli("config", "check").stdout
    day = str(DAYS[5])
    told = warm.cli("explain", "step", day, "attributes")
    script = warm.json("explain", "step", day, "attributes")["script"]
    assert all(text in told.stdout and text in script for text in (texts[1], "https://h/x?a=1")), script
    warm.run()
    edit(warm.runtime, output_columns=["user_id", "event_timestamp", "artwork_id", "event",
                                       {**link, "default": "https://shop.example/item?id=2"}])  # fmt: skip
    warm.run()
    example = warm.json("diff", day)["columns"]["link"]["examples"][0]
    assert (example["old"], example["new"]) == tuple(f"https://shop.example/item?id={i}" for i in (1, 2))
    assert example["old"] in (lines := warm.cli("diff", day).stdout) and example["new"] in lines


def _shown_columns(world) -> list[dict]:
    values = {row["key"]: row["value"] for row in world.json("config", "check")["values"]}
    columns = [column for column in values["output_columns"] if isinstance(column, dict)]
    return [{key: value for key, value in column.items() if value is not None} for column in columns]


@pytest.mark.parametrize(
    ("output", "key", "hint"),
    [
        (None, "acces_key_id", "'access_key_id'"),
        ("s3://bucket/out", "regoin", "'region'"),
        ("gs://bucket/out", "service_acount", "'service_account'"),
        ("az://bucket/out", "acount_name", "'account_name'"),
        ("gs://bucket/out", "region", ""),
        ("s3://bucket/out", "allow_http", "always allowed"),
        ("s3://bucket/out", "timeout", ""),
    ],
)
def test_an_option_that_no_store_of_the_config_has_is_refused_by_its_key(warm, output, key, hint):
    """obstore answered with a traceback, or with a panic."""
    edit(warm.runtime, object_store={key: "x"}, **({"output_root": output} if output else {}))
    for command in (("config", "check"), ("skeleton", "--plan")):
        refused = warm.cli(*command)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr
        assert f"object_store.{key}" in refused.stderr and hint in refused.stderr


@pytest.mark.parametrize(("limit", "threads"), [("1B", 1), ("4 bytes", 2), ("0.0001%", 1), ("64MB", 1024), ("63MB", 1)])
def test_memory_that_duckdb_cannot_start_with_is_refused(cold, capsys, limit, threads):
    edit(cold.runtime, compute={"duckdb_config": {"threads": threads, "memory_limit": limit}})
    for arguments in (["config", "check"], ["skeleton", "--range", "2026-02-03"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert "duckdb_config.memory_limit\n" in err and limit in err and "Traceback" not in err
