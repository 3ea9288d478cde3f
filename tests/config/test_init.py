"""A first configuration runs after at most three edits that the tool itself names: on the real input, after none."""

from __future__ import annotations

import importlib
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import PROJECT

from daedalus.base.errors import DaedalusError
from daedalus.init.lines import init_lines
from daedalus.init.write import init
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.upkeep.check_config import schema
from daedalus.workspace.settings import Settings

DATA = ("data/feed", "data/catalog", "data/embeddings")


def test_the_real_input_runs_as_it_is_found(cofacts, tmp_path):
    root = cofacts.parent
    config = str(tmp_path / "config")
    found = init(config, str(root / "feed"), str(root / "catalog"), str(root / "embeddings"))
    assert found["edits"] == [] and found["problem"] is None
    assert set(found["views"]) == {"user_profile", "artwork_properties", "artwork_tack"}
    report = run_skeleton_stage(Settings(config, str(tmp_path / "c"), str(tmp_path / "o")), "2018-12-01..2018-12-07")
    assert report.days == {"total": 7, "done": 7, "empty": 0, "failed": 0} and report.rows["written"] > 1000


def test_the_small_world_runs_as_it_is_found(cold):
    found = init("mine", *DATA)
    assert found["edits"] == [] and found["problem"] is None and len(found["views"]) == 6
    assert found["guesses"] == [] and set(found["aggregations"]) == {
        "click_artwork_ids", "dislike_click_artwork_ids", "like_artwork_author_ids", "like_artwork_cnts",
        "like_artwork_ids", "like_artwork_model_ids", "like_artwork_tack_ids", "share_artwork_ids",
        "view_artwork_ids"}  # fmt: skip
    assert yaml.safe_load((cold.root / "mine/catalog.yaml").read_text())["feed"] == {"path": "data/feed"}
    report = run_skeleton_stage(Settings("mine"), "2026-02-10")
    assert report.exit_code == 0 and report.rows["written"] > 0
    lines = "\n".join(init_lines(found))
    assert "daeda config check --config mine" in lines and "--range 2026-02-14" in lines


def test_a_file_may_be_a_view(cold):
    """Its source was written as if it were a folder."""
    folder = cold.root / "data/catalog/user_profile"
    table = pa.concat_tables(pq.read_table(file) for file in sorted(folder.glob("*.parquet")))
    shutil.rmtree(folder)
    pq.write_table(table, cold.root / "data/catalog/user_profile.parquet")
    assert init("mine", *DATA)["problem"] is None
    assert run_skeleton_stage(Settings("mine"), "2026-02-10").rows["written"] > 0


def test_what_was_guessed_is_named_where_it_stands(cold):
    """Two ids, unclear times, an event without a telling name, a pool of two tables without artwork_id."""
    import lancedb

    times = pa.array([0, 1], pa.timestamp("us"))
    odd = pa.table({"artwork_id": [1, 2], "user_id": [1, 2], "a": times, "b": times, "no: yes #": ["x", "y"]})
    folder = cold.root / "data/catalog/odd"
    folder.mkdir()
    pq.write_table(odd, folder / "f.parquet")
    database = lancedb.connect("pool")
    for name in ("one", "two"):
        database.create_table(name, [{"id": 1, "vector": [0.0]}])
    for file in (cold.root / "data/feed").rglob("*.parquet"):
        table = pq.read_table(file, partitioning=None)
        place = table.column_names.index("event")
        pq.write_table(table.set_column(place, "event", pa.array(["x"] * len(table))), file)
    found = init("mine", *DATA[:2], "pool")
    named = {edit["key"] for edit in found["edits"]}
    assert named == {"views.odd.entity", "views.odd.timestamp_field", "embedding_coverage_filter.events",
                     "embedding_coverage_filter.table", "embedding_coverage_filter.id_column"}  # fmt: skip
    text = (cold.root / "mine/catalog.yaml").read_text() + (cold.root / "mine/training/runtime.yaml").read_text()
    assert text.count("# TODO") == len(named)
    view = yaml.safe_load((cold.root / "mine/catalog.yaml").read_text())["views"]["odd"]
    assert view["features"] == ["b", "no: yes #"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("nowhere", "data/catalog", None), "the feed folder does not exist"),
        (("data/feed", "nowhere", None), "there is no catalog view"),
        (("data/feed", "data/catalog", "nowhere"), "there is no Lance table"),
    ],
)
def test_a_look_that_fails_writes_nothing(warm, arguments, what):
    with pytest.raises(DaedalusError, match=what):
        init("mine", *arguments)
    assert not (warm.root / "mine").exists()


def test_a_column_of_another_name_is_found_and_said_to_be(cold):
    for file in (cold.root / "data/feed").rglob("*.parquet"):
        table = pq.read_table(file, partitioning=None)
        names = ["event_time" if name == "event_timestamp" else name for name in table.column_names]
        pq.write_table(table.rename_columns(names), file)
    found = init("mine", *DATA)
    assert [(guess["key"], guess["value"], guess["sure"]) for guess in found["guesses"]] == [
        ("feed.columns.event_timestamp", "event_time", "sure")]  # fmt: skip
    assert run_skeleton_stage(Settings("mine"), "2026-02-10").rows["written"] > 0


def test_a_configuration_is_not_overwritten_unasked(warm):
    before = warm.catalog.read_text()
    done = warm.cli("init", "--feed", DATA[0], "--catalog", DATA[1])
    assert done.returncode == 2 and "--force" in done.stderr and warm.catalog.read_text() == before
    assert warm.cli("init", "--feed", DATA[0], "--catalog", DATA[1], "--force").returncode == 0
    assert warm.catalog.read_text() != before


def test_the_schemas_beside_the_configuration_are_what_validates_it():
    for kind in ("catalog", "runtime", "aggregations"):
        assert json.loads((PROJECT / f"config/.schema/{kind}.json").read_text()) == schema(kind)
        file = PROJECT / "config" / ("catalog.yaml" if kind == "catalog" else f"training/{kind}.yaml")
        named = file.read_text().splitlines()[0].partition("$schema=")[2]
        assert (file.parent / named).resolve() == (PROJECT / f"config/.schema/{kind}.json").resolve()


def test_pages_are_what_the_definitions_say(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    pages = importlib.import_module("config_docs").PAGES
    for name, make in pages.items():
        assert (PROJECT / "docs" / name).read_text() == make(), "run scripts/config_docs.py"
    for key in ("lookback_days", "max_items", "as_of", "default_sql", "from"):
        assert f"| `{key}` |" in pages["config.md"]()
    rows = [line.split(" | ") for line in pages["your_data.md"]().splitlines()]
    needed = {cells[0]: cells[1] for cells in rows if len(cells) == 5}
    assert needed["| `event`"] == "yes" and needed["| `feed_session`"] == ""


def test_a_new_configuration_leaves_the_output_of_another_alone(warm):
    before = warm.stamps()
    found = init("mine", *DATA)
    assert (found["output_root"], found["cache_root"]) == ("data/training_output_mine", "cache_mine")
    lines = init_lines(found)
    assert any("data/training_output_mine" in line for line in lines) and any("not empty" in line for line in lines)
    assert max(map(len, lines)) <= 80
    report = run_skeleton_stage(Settings("mine"), "2026-02-10")
    assert report.partitions == {"written": 1, "kept": 0} and warm.stamps() == before
    again = init("mine", *DATA, force=True)
    assert again["output_root"] == "data/training_output_mine"  # its own
    assert init("other/mine", *DATA)["output_root"] == "data/training_output_mine_2"
