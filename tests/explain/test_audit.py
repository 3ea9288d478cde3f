"""An audit finds nothing wrong in what the stage made, and names what was broken on purpose."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from small import DAYS, damage_pages, edit, rewrite
from worlds import worlds

from daedalus.audit.audit import audit, audit_lines, differs
from daedalus.audit.reference import Reference
from daedalus.base.errors import DaedalusError
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

EVERYTHING = 100_000


def all_rows(output: Path) -> int:
    return sum(pq.ParquetFile(part).metadata.num_rows for part in output.glob("dt=*/*.parquet"))


def test_nothing_differs_on_the_small_world(warm):
    found = audit(Settings(), None, EVERYTHING, 1)
    assert not differs(found), found
    assert found["rows"] == all_rows(warm.output) > 1000
    assert found["values"] == found["rows"] * found["columns"] and len(found["days"]) == 14
    assert found["not_compared"] == ["image_embedding", "like_artwork_avg_embeds"]
    assert max(map(len, audit_lines(found))) <= 80


def test_a_range_of_days_is_as_good_as_one_of_months(warm):
    edit(warm.runtime, feed_start="2026-02-03", feed_end="2026-02-28")
    warm.run()
    assert not differs(audit(Settings(), None, 200, 1))


def test_nan_is_one_value_and_what_json_can_say(cold):
    """The reference listed every NaN; `explain row` too, and as no JSON."""

    def odd(table: pa.Table) -> pa.Table:
        values = pa.array([(float("nan"), 0.5, float("inf"))[i % 3] for i in range(table.num_rows)], pa.float64())
        return table.set_column(table.column_names.index("media_safety_score"), "media_safety_score", values)

    for path in cold.root.glob("data/catalog/artwork_vector/*.parquet"):
        rewrite(path, odd)
    refs = ["artwork_vector:media_safety_score", "artwork_properties:author_id"]
    edit(
        cold.runtime,
        enrich=refs,
        output_columns=["user_id", "event_timestamp", "artwork_id", "event", "odd_7d", "each_7d"],
    )
    odd_seen = {"name": "odd", "events": ["reco_artwork_view"], "column": "media_safety_score", "windows": ["7d"]}
    specs = [{**odd_seen, "agg": "distinct"}, {**odd_seen, "name": "each", "agg": "list"}]
    cold.edit_aggregations(lambda known: known.__setitem__(slice(None), specs))
    cold.run()
    found = audit(Settings(), None, EVERYTHING, 1)
    assert not differs(found) and found["rows"] > 1000
    row = pq.read_table(next(cold.output.glob("dt=2026-02-1*/part-0-0.parquet"))).to_pylist()[-1]
    told = cold.cli("explain", "row", str(row["event_timestamp"])[:10], "--user", str(row["user_id"]),
                    "--artwork", str(row["artwork_id"]), "--json")  # fmt: skip
    assert told.returncode == 0 and "NaN" not in told.stdout and "Infinity" not in told.stdout
    listed = [one["columns"]["odd_7d"]["counted"] for one in json.loads(told.stdout)["rows"]]
    assert [str(value) for value in row["odd_7d"]] in [[str(one["value"]) for one in counted] for counted in listed]


@pytest.mark.parametrize("command", [["audit"], ["diff", "2026-02-05"]])
def test_a_damaged_partition_is_refused_and_named(warm, command):
    edit(warm.runtime, session_filter__drop_single_like=True)
    warm.run()
    (warm.output / "dt=2026-02-05/part-0-0.parquet").write_bytes(b"PAR1 no more")
    options = ["--range", "2026-02-05"] if command == ["audit"] else ["--against", warm.json("runs")["runs"][-1]["id"]]
    done = warm.cli(*command, *options, "--json")
    assert done.returncode == 2 and "dt=2026-02-05" in json.loads(done.stdout)["error"]["where"]


def test_folders_of_no_day_are_passed_over_as_a_run_does(warm):
    """It was a traceback; and one of a year that no run takes would be read with the history."""
    names = ["dt=2026-02-30", "dt=2026-13-01", "dt=0000-01-01", "dt=some-da-ys", "dt=0001-01-01"]
    for name in names:
        shutil.copytree(warm.feed_file(DAYS[4]).parent, warm.root / "data/feed" / name)
        (warm.output / name).mkdir()
        assert any(name in note for note in warm.json("config", "check")["notes"])
        shutil.move(warm.root / "data/feed" / name, warm.root)
    for name in names:
        shutil.move(warm.root / name, warm.root / "data/feed")
    assert not differs(audit(Settings(), None, EVERYTHING, 1))
    assert all(partition.year == 2026 for partition, _ in Reference(warm.root / "config", root=warm.root).feed_files())


def test_explain_row_names_a_feed_file_whose_pages_are_damaged(warm):
    """It was a traceback, whose last line was DuckDB's."""
    row = pq.ParquetFile(warm.output / f"dt={DAYS[5]}/part-0-0.parquet").read(["user_id", "artwork_id"]).to_pylist()[0]
    damage_pages(warm.feed_file(DAYS[4]))
    done = warm.cli("explain", "row", str(DAYS[5]), "--user", str(row["user_id"]), "--artwork", str(row["artwork_id"]),
                    "--json")  # fmt: skip
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 2 and error["what"] == "a parquet file cannot be read"
    assert error["where"].endswith(f"dt={DAYS[4]}/{warm.feed_file(DAYS[4]).name}") and error["hint"]


@pytest.mark.parametrize("kind", ["feed", "view", "footer of the feed", "footer of the view", "qid map"])
def test_an_input_whose_pages_are_damaged_is_refused_and_named(warm, kind):
    """pyarrow's error, which names no file, was told as a standard output that takes nothing."""
    view = next((warm.root / "data/catalog/artwork_properties").glob("*.parquet"))
    file = {"feed": warm.feed_file(DAYS[4]), "view": view, "map": warm.output / "qid_map.parquet"}[kind.split()[-1]]
    file.write_bytes(b"PAR1 no more") if kind.startswith("footer") else damage_pages(file)
    done = warm.cli("audit", "--range", str(DAYS[5]), "--json")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 2 and "Traceback" not in done.stderr and error["where"].endswith(file.name), done.stderr
    assert "cannot be read" in error["what"] and "standard output" not in done.stderr


def test_a_pool_without_its_data_is_refused(warm):
    for file in (warm.root / "data/embeddings/artwork_embedding.lance/data").iterdir():
        file.unlink()
    done = warm.cli("audit", "--range", str(DAYS[5]), "--json")
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert json.loads(done.stdout)["error"]["what"] == "the embedding pool cannot be read"


def test_a_sample_is_drawn_by_its_seed(warm):
    one, two, other = (audit(Settings(), None, 60, seed) for seed in (1, 1, 2))
    assert one == two and one["days"] != other["days"]
    assert not differs(one) and not differs(other) and 30 < one["rows"] < 200


@given(worlds())
@settings(
    max_examples=int(os.environ.get("DAEDA_EXAMPLES", "10")), deadline=None, suppress_health_check=list(HealthCheck)
)
def test_nothing_differs_on_any_world(pools, world):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        world.build(root, pools)
        settings = Settings(str(root / "config"), str(root / "cache"), str(root / "out"))
        run_skeleton_stage(settings, world.range, allow_empty=True)
        if not list((root / "out").glob("dt=*")):
            return
        found = audit(settings, None, EVERYTHING, 0)
        assert not differs(found), audit_lines(found)
        assert found["rows"] == all_rows(root / "out")


def longer(column: str):
    """Puts a value into the last row's list."""

    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[-1] = [*values[-1], 987]
        return table.set_column(table.column_names.index(column), column, pa.array(values, table[column].type))

    return change


@pytest.mark.parametrize(
    ("change", "by_column", "missing", "extra"),
    [
        (longer("like_artwork_ids_3d"), {"like_artwork_ids_3d": 1}, 0, 0),
        (lambda table: table.slice(1), {}, 1, 0),
        (lambda table: pa.concat_tables([table, table.slice(0, 1)]), {}, 0, 1),
    ],
    ids=["a value", "a row less", "a row twice"],
)
def test_what_was_broken_is_named(warm, change, by_column, missing, extra):
    rewrite(warm.output / "dt=2026-02-10/part-0-0.parquet", change)
    found = audit(Settings(), "2026-02-10", EVERYTHING, 0)
    assert (found["by_column"], found["missing"], found["extra"]) == (by_column, missing, extra)
    done = warm.cli("audit", "--range", "2026-02-10", "--rows", "100000")
    assert done.returncode == 1 and "DIFFERENT" in done.stdout and "2026-02-10" in done.stdout


def test_a_step_that_is_broken_names_its_columns(cold, monkeypatch):
    """Rows that see what comes up to six hours after them: a leak."""
    from daedalus.windows import roll as rolling

    honest = rolling._micros

    def late(column):
        later = 6 * 3_600_000_000 if isinstance(column, pa.Array) else 0  # of rows; events come in chunks
        return honest(column) + later

    monkeypatch.setattr(rolling, "_micros", late)
    cold.run("2026-02-10")
    found = audit(Settings(), None, EVERYTHING, 0)
    assert not found["missing"] and not found["extra"]
    assert {"view_artwork_ids_1d", "click_artwork_ids_7d", "like_artwork_cnts_1d"} <= set(found["by_column"])
    windows = ("view_", "click_", "like_", "dislike_", "user_recent_published")
    assert all(name.startswith(windows) for name in found["by_column"])


def test_another_config_than_the_output_was_made_with_is_told(warm):
    warm.edit_aggregations(lambda aggs: aggs[0].update(exclude_self=not aggs[0].get("exclude_self", False)))
    found = audit(Settings(), None, EVERYTHING, 0)
    assert set(found["by_column"]) <= {f"like_artwork_ids_{window}" for window in ("1d", "3d", "7d")}
    assert found["by_column"] and any("daeda cache status" in line for line in audit_lines(found))


def test_no_output_is_refused(cold):
    with pytest.raises(DaedalusError, match="no partition to audit"):
        audit(Settings(), None, 10, 0)
    done = cold.cli("audit", "--range", "202602", "--cache-root", "my cache")
    assert done.returncode == 2 and "daeda skeleton --cache-root 'my cache' --range 202602" in done.stderr


def updated_later(table: pa.Table) -> pa.Table:
    times = pa.array([time and time + dt.timedelta(days=9) for time in table["updated_at"].to_pylist()])
    place = table.column_names.index("updated_at")
    return table.set_column(place, "updated_at", times.cast(table["updated_at"].type))


def test_leakage_is_measured(warm):
    for part in (warm.root / "data/catalog/artwork_properties").glob("*.parquet"):
        rewrite(part, updated_later)
    days = f"{DAYS[0]}..{DAYS[1]}"
    warm.run(days)
    latest = {row["view"]: row for row in audit(Settings(), days, EVERYTHING, 0)["leakage"]}
    assert latest["artwork_properties"]["younger"] > 0
    for name in latest:
        edit(warm.catalog, **{f"views__{name}__as_of": "day"})
    warm.run(days)
    for row in audit(Settings(), days, EVERYTHING, 0)["leakage"]:
        assert row["as_of"] == "day" and (row["median_days"] or 0) < 1
        assert row["younger"] <= latest[row["view"]]["younger"]


def test_the_real_input(cofacts, tmp_path):
    settings = Settings(str(cofacts), str(tmp_path / "cache"), str(tmp_path / "out"))
    run_skeleton_stage(settings)
    found = audit(settings, None, 600, 3)
    assert not differs(found) and found["rows"] >= 300
