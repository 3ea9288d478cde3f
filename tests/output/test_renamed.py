"""A renamed output is the same column under another name: the same values and pages, in every command."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from anything import anything, day
from test_warm_equals_cold import compare_with_cold, run

from daedalus.audit.audit import audit, differs
from daedalus.base.errors import DaedalusError
from daedalus.compile.resolve import compiled
from daedalus.explain.diff import diff_day
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

NAMES = {"artwork_id": "item", "user_id": "artwork_id", "event": 'what "happened"', "age": "years", "recent": "made"}
SETTINGS = Settings(cache_root="cache", output_root="out")


def renamed(world):
    columns = world.runtime["output_columns"]
    made = {name: {"name": NAMES[name], "from": name} for name in NAMES}
    world.runtime["output_columns"] = [made.get(one, one) if isinstance(one, str) else one for one in columns]
    world.runtime["embedding_coverage_filter"]["id_column"] = "artwork_id"
    return world


def tables() -> dict[str, pa.Table]:
    return {str(path): pq.ParquetFile(path).read() for path in sorted(Path("out").glob("dt=*/*.parquet"))}


@pytest.mark.parametrize("seed", range(3))
def test_the_same_values_under_other_names(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    world = anything(seed)
    compare_with_cold(world, "as they are")
    before = tables()
    plain = [*world.runtime["output_columns"]]
    compare_with_cold(renamed(world), "renamed")
    after = tables()
    assert list(after) == list(before)
    for path, table in before.items():
        names = [NAMES.get(name, name) for name in table.column_names]
        assert after[path].column_names == names
        assert after[path].rename_columns(table.column_names).equals(table)
        groups = pq.read_metadata(path)
        assert groups.row_group(0).column(names.index("item")).path_in_schema == "item"
    world.runtime["output_columns"] = plain
    compare_with_cold(world, "as they were")
    assert all(after.equals(before[path]) for path, after in tables().items())


def test_commands_know_the_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.write(tmp_path)
    run(world.range, "cache", "out")
    renamed(world).write(tmp_path)
    run_skeleton_stage(SETTINGS, world.range)
    found = audit(SETTINGS, None, 1000, 0)
    assert found["rows"] and not differs(found)
    columns = {column["name"]: column for column in compiled(SETTINGS)["columns"]}
    assert columns["item"]["source"] == "feed artwork_id" and columns["artwork_id"]["source"] == "feed user_id"
    assert columns["years"]["type"] == "INTEGER"
    change = diff_day(SETTINGS, str(day(0)))
    assert (change["added"], change["removed"]) == (0, 0)
    assert not any(one["rows"] for one in change["columns"].values())
    assert [column["name"] for column in json.loads(Path("out/_dataset.json").read_text())["columns"]][1] == "item"


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([{"name": "item", "from": "artwork_id"}, "artwork_id"], ["output_columns[0].from", "twice"]),
        ([{"name": "item", "from": "artwork"}], ["output_columns[0].from", "artwork_id"]),
        ([{"name": "item", "from": ""}], ["output_columns[0].from", "empty"]),
        ([{"name": "item", "from": "artwork_id", "default": 1}], ["output_columns[0]", "default"]),
        ([{"name": "qid", "from": "artwork_id"}], ["output_columns[0]", "reserved"]),
        ([{"name": "EVENT", "from": "artwork_id"}, "event"], ["output_columns", "twice"]),
    ],
)
def test_names_that_cannot_be_meant_are_refused(tmp_path, monkeypatch, columns, told):
    monkeypatch.chdir(tmp_path)
    world = anything(1)
    world.runtime["output_columns"] = columns
    world.write(tmp_path)
    with pytest.raises(DaedalusError) as refusal:
        run_skeleton_stage(SETTINGS, world.range)
    assert [part for part in told if part not in str(refusal.value)] == []
