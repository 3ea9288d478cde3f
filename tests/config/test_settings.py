"""What a config may tell DuckDB: how much of the machine to use, and nothing that changes a byte or reaches further."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from anything import anything
from test_warm_equals_cold import run

from daedalus.base.errors import DaedalusError, DayError
from daedalus.config.duckdb_settings import ALIASES, ALLOWED, FIXED, UNUSED, allowed_settings
from daedalus.sql.column_types import type_name
from daedalus.sql.constants import constants, is_told
from daedalus.sql.default_sql import problem_of
from daedalus.sql.duck import Bindings, Duck, Ducks, starts_with
from daedalus.sql.text import Sql


@pytest.fixture
def duck():
    duck = Duck({"threads": 1})
    yield duck
    duck.close()


def test_every_setting_has_its_place(duck):
    """A DuckDB that brings a new one fails here, until somebody has looked at what it does."""
    there = {name for name, *_ in duck._db.execute("SELECT name FROM duckdb_settings()").fetchall()}
    places = [set(ALLOWED), set(ALIASES), set(FIXED), set(UNUSED)]
    assert there - set().union(*places) == set()
    assert sum(map(len, places)) == len(set().union(*places))


def test_what_we_set_is_set_and_stays(duck):
    import duckdb

    for name, value in FIXED.items():
        shown = str(duck.value(f"SELECT current_setting('{name}')")).lower()
        assert shown.replace("_", " ").startswith(str(value).lower().replace("_", " ")), name
    for statement in ("SET integer_division = true", "SET TimeZone = 'Asia/Tokyo'", "RESET default_collation"):
        with pytest.raises(duckdb.Error, match="locked"):
            duck._db.execute(statement)


@pytest.mark.parametrize("settings", [
    {"preserve_insertion_order": False}, {"max_memory": "300MB", "THREADS": 2}, {"memory_limit": "75%"},
    {"max_temp_directory_size": "1GB"},
], ids=str)  # fmt: skip
def test_what_passes_changes_no_byte(tmp_path, monkeypatch, settings):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.write(Path())
    expected = run(world.range, "cache", "out")
    world.runtime["compute"] = {"duckdb_config": settings}
    world.write(Path())
    assert run(world.range, "cold", "cold_out") == expected


REFUSED = {
    "default_collation": "NOCASE", "integer_division": True, "TimeZone": "Asia/Tokyo",
    "default_null_order": "nulls_first",
    "binary_as_string": True, "arrow_lossless_conversion": True, "lock_configuration": True, "enable_optimizer": False,
    "allow_unsigned_extensions": True, "extension_directory": "x",
    "custom_extension_repository": "http://localhost",
    "autoinstall_known_extensions": True, "autoload_known_extensions": True, "Integer_Division": True,
    "enable_external_access": True, "file_search_path": "/etc", "access_mode": "READ_ONLY", "null_order": "nulls_first",
    "no_such_setting": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_all_else_is_refused_by_its_key(name):
    with pytest.raises(DaedalusError) as refused:
        allowed_settings({name: REFUSED[name]}, "compute.duckdb_config")
    assert refused.value.where == f"compute.duckdb_config.{name}"
    assert "memory_limit" in str(refused.value.expected)


@pytest.mark.parametrize(("name", "value"), [
    ("threads", 100_000), ("threads", 0), ("threads", -1), ("threads", "many"), ("threads", True), ("threads", 1.5),
    ("memory_limit", "lots"), ("memory_limit", "0GB"), ("memory_limit", -1), ("memory_limit", "-1"),
    ("memory_limit", "1B"), ("memory_limit", "4 bytes"), ("memory_limit", "63.9MB"), ("memory_limit", "61 MiB"),
    ("memory_limit", "1k"), ("memory_limit", "0.00001tib"), ("memory_limit", "64"), ("max_memory", "1 byte"),
    ("temp_directory", 3), ("preserve_insertion_order", "yes"),
])  # fmt: skip
def test_values_that_cannot_be_meant_are_refused(name, value):
    with pytest.raises(DaedalusError) as refused:
        allowed_settings({name: value}, "compute.duckdb_config")
    assert refused.value.where == f"compute.duckdb_config.{name}"


def test_a_setting_and_its_other_name_are_one():
    with pytest.raises(DaedalusError, match="given twice"):
        allowed_settings({"memory_limit": "1GB", "max_memory": "2GB"}, "compute.duckdb_config")


def test_memory_that_was_short_is_no_fault_of_the_input(tmp_path):
    duck = Duck({"memory_limit": "20MB", "temp_directory": ""})
    rows = pa.table({"x": pa.array(range(3_000_000), pa.int64())})
    with pytest.raises(DayError, match="a step needs more memory than its limit") as failed:
        duck.table(Sql("SELECT list(x ORDER BY x DESC) AS xs FROM rows"), Bindings(tables={"rows": rows}))
    duck.close()
    assert "memory_limit" in failed.value.where and "memory_limit" in failed.value.hint


@pytest.mark.parametrize("limit", ["64MB", "62MiB", "0.1 gb", "1T", "2000T", "0.0001%", "64000000 bytes"])
def test_a_size_that_is_enough_is_read(limit):
    assert allowed_settings({"memory_limit": limit}, "compute.duckdb_config") == {"memory_limit": limit}


@pytest.mark.parametrize(("limit", "threads"), [("1B", 1), ("4 bytes", 2), ("0.00001%", 1), ("64MB", 1024), ("1KB", 3)])
def test_a_share_that_duckdb_cannot_start_with_is_refused(limit, threads):
    with pytest.raises(DaedalusError, match="cannot start") as refused:
        Duck({"memory_limit": limit}, threads)
    assert refused.value.exit_code == 2 and "memory_limit" in refused.value.where and limit in refused.value.found


@pytest.mark.parametrize(("limit", "threads"), [("64MB", 1), ("64MB", 4), ("2000T", 2)])
def test_a_share_that_is_enough_to_start_with(limit, threads):
    duck = Duck({"memory_limit": limit}, threads)
    assert duck.memory_mib() > 10
    duck.close()


@pytest.mark.parametrize(("given", "is_known"), [
    ({"threads": 2, "memory_limit": "4GB", "temp_directory": "x"}, True),
    ({"threads": 4, "memory_limit": "68MB"}, True), ({"threads": 4, "memory_limit": "64MB"}, False),
    ({"threads": 2, "memory_limit": "50%"}, False), ({}, False),
    ({"threads": 2}, False), ({"memory_limit": "4GB"}, False),
    ({"threads": 2, "memory_limit": "4GB", "max_temp_directory_size": "much"}, False),
])  # fmt: skip
def test_settings_with_which_duckdb_is_known_to_start(given, is_known):
    assert starts_with(given) == is_known
    if is_known:
        duck = Duck({**given, "temp_directory": ""}, given["threads"])
        assert duck.value("SELECT sum(range) FROM range(100_000)") == 4_999_950_000
        duck.close()


TOLD = [
    "CAST(NULL AS FLOAT[])", "cast(null as double)", "CAST(NULL AS BIGINT[][])", "CAST(NULL AS TIMESTAMP)", "TRUE",
    "false", "0", "-0", "007", "-5", "999999999", "''", "'it''s'", "'a''''b'", "'é --'", "'/* \n */'",
    *(f"CAST(NULL AS {kind})" for kind in ("TINYINT", "SMALLINT", "INTEGER", "BOOLEAN", "VARCHAR", "DATE")),
]  # fmt: skip


@pytest.mark.parametrize("text", TOLD)
def test_what_is_told_of_a_constant_is_what_duckdb_says(text):
    assert is_told(text) and problem_of(text) == ""
    duck = Duck({"memory_limit": "128MB"})
    expected = duck.constants({"value": text})
    duck.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ducks, "lease", None)  # nothing is asked for
        found = constants({"value": text}, Ducks({"memory_limit": "128MB", "threads": 1}, None))
    assert found.to_pydict() == expected.to_pydict()
    assert type_name(found.schema.field(0).type) == type_name(expected.schema.field(0).type)


@pytest.mark.parametrize("text", [
    "NULL", "1.5", "1234567890", "+1", "١", "1e3", "-", "", "CAST(NULL AS FLOAT[2])", "CAST(NULL AS INTEGER), 1",
    "CAST(NULL AS TIMEſTAMP)", "CAST(NULL AS HUGEINT)", "'a' || 'b'", "'a", "'a'b'", "E'a'", "'\0'", "'\ud800'",
    "true\n", "0\n", "now()", "'" + "a" * 20_000 + "'", f"CAST(NULL AS INTEGER{'[]' * 400})",
])  # fmt: skip
def test_other_expressions_are_not_told(text):
    assert not is_told(text)


CONSTANTS = [
    "CAST(NULL AS FLOAT[])", "[0.0, 1.0]", "{'a': 1}", "DATE '2020-01-01'", "1 + 2 * 3", "'a' || 'b'", "MAP {'a': 1}",
    "-1", "coalesce(NULL, 1)", "CASE WHEN true THEN 1 END", "x'41'", "1::DECIMAL(5, 2)", "ARRAY[1, 2]", "row(1, 2)",
    "TIMESTAMP '2020-01-01'", "[1, 2]::FLOAT[2]", "NULL", "'it''s (['", "1 -- said", "to_timestamp(0)",
]  # fmt: skip


@pytest.mark.parametrize("text", CONSTANTS)
def test_a_constant_is_taken(text):
    assert problem_of(text) == ""


NO_CONSTANTS = {
    "the clock": "now()", "the day": "current_date", "an age": "age(TIMESTAMP '2026-01-01')",
    "the clock here": "current_localtimestamp()::VARCHAR", "chance": "random()", "an id": "uuid()",
    "the machine": "getenv('HOME')", "the program": "version()", "a setting": "current_setting('threads')",
    "a variable": "getvariable('x')", "a sequence": "nextval('s')", "a name with its schema": "main.now()",
    "two statements": "1; SELECT 2", "a union": "1) UNION SELECT (2", "two columns": "1), (2",
    "a file": "1) FROM read_text('/proc/self/environ') WHERE (1=1",
    "a subquery": "(SELECT content FROM read_text('x'))",
    "an empty FROM": "(SELECT 1 FROM)", "nothing": "", "a star": "*", "a parameter": "$1",
    "a lambda": "list_transform([1], lambda x: x)", "a collation": "'a' COLLATE NOCASE", "an aggregate": "sum(1)",
    "long text": "repeat('x', 10000000000)", "a long list": "range(1000000000)",
    "long padding": "lpad('x', 1000000000, 'y')",
    "deep lists": "[" * 400 + "]" * 400, "deep brackets": "(" * 500 + "1" + ")" * 500,
    "a deep type": f"CAST(NULL AS INTEGER{'[]' * 400})", "many NOTs": "NOT " * 3000 + "true",
    "a long expression": "1" * 100_000,
    "no type of parquet": "INTERVAL 1 DAY", "a group": "1) GROUP BY (1",
}  # fmt: skip


@pytest.mark.parametrize("name", NO_CONSTANTS)
def test_what_is_no_constant_is_refused(name):
    assert problem_of(NO_CONSTANTS[name])


def test_a_refusal_shows_nothing_of_a_file(tmp_path):
    (tmp_path / "secret").write_text("topsecret")
    for text in (f"1) FROM read_text('{tmp_path}/secret') WHERE (1=1", f"(SELECT content FROM '{tmp_path}/secret')"):
        assert "topsecret" not in problem_of(text)
