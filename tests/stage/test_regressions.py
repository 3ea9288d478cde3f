"""Bugs that were found once, most of them by hypothesis, each by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reference import Reference, differences, read_output
from small import DAYS, RANGE, edit, interrupted, nothing_ran, rewrite

from daedalus.sql.duck import Bindings, Duck
from daedalus.sql.text import Sql


def test_partitions_whose_qids_are_all_null_need_no_map(cold):
    """A feed_session column without a value made partitions with a qid column; their missing map was refused."""
    for path in cold.root.glob("data/feed/*/*.parquet"):
        rewrite(path, without_values)
    cold.run()
    assert not (cold.output / "qid_map.parquet").exists()
    assert nothing_ran(cold.run())


def without_values(table: pa.Table) -> pa.Table:
    at = table.column_names.index("feed_session")
    return table.set_column(at, "feed_session", pa.nulls(table.num_rows, pa.string()))


def test_a_run_of_one_day_has_the_columns_of_the_whole_range(warm):
    """Only later partitions have feed_session: a run of an early day alone left qid out."""
    before = warm.bytes()
    for day in DAYS[:3]:
        for part in (0, 1):
            rewrite(warm.feed_file(day, part), lambda table: table.drop(["feed_session"]))
    warm.run()
    whole = warm.bytes()
    assert whole != before
    for day in DAYS[:3]:
        assert nothing_ran(warm.run(str(day)))


def test_a_copied_project_is_all_hits(warm):
    """The qid map's state was kept under an absolute path, so a moved project numbered its sessions again."""
    assert nothing_ran(warm.run())


def test_nanoseconds_before_midnight_stay_in_their_day(cold):
    """CAST of TIMESTAMP_NS rounds, which moved the last microsecond of a day into the next."""
    import datetime as dt

    day = DAYS[4]
    last = int(dt.datetime(day.year, day.month, day.day, 23, 59, 59, 999999, tzinfo=dt.UTC).timestamp() * 1e6)

    def late(table: pa.Table) -> pa.Table:
        times = pa.array([last * 1000 + 999] * table.num_rows, pa.int64()).cast(pa.timestamp("ns"))
        return table.set_column(table.column_names.index("event_timestamp"), "event_timestamp", times)

    strays = cold.run(str(day)).rows["strays"]
    rewrite(cold.feed_file(day), late)
    assert cold.run(str(day)).rows["strays"] <= strays


def test_folders_named_like_columns_are_only_folders(warm):
    """DuckDB takes `user_id=7` in a path for a hive partition and puts 7 into the column."""
    expected = warm.bytes()
    warm.run(cache_root="user_id=7/cache", output_root="user_id=7/out")
    assert warm.bytes(warm.root / "user_id=7/out") == expected


def test_bytes_do_not_depend_on_how_the_feed_is_cut_into_files(warm):
    """DuckDB's COPY encodes by the chunks it is fed: the same rows in more files gave other bytes, and no cutoff."""
    import pyarrow.parquet as pq

    before = warm.stamps()
    for day in DAYS[2:6]:
        path = warm.feed_file(day)
        table = pq.ParquetFile(path).read()
        half = table.num_rows // 2
        pq.write_table(table.slice(0, half), path, row_group_size=7)
        pq.write_table(table.slice(half), warm.feed_file(day, 2), row_group_size=11)
    report = warm.run()
    assert report.steps["computed"] == 0 and report.steps["unchanged"] >= 4
    assert warm.stamps() == before


def test_a_view_may_be_a_folder_and_a_pool_may_be_empty(cold):
    import lancedb
    from small import edit

    edit(cold.catalog, views__artwork_tack__source="data/catalog/artwork_tack")
    table = lancedb.connect("data/embeddings").open_table("artwork_embedding")
    table.delete("true")
    report = cold.run(str(DAYS[3]))
    assert not report.failures and report.rows["written"] > 0


# Found by a reviewer with fresh eyes.


def test_paths_are_no_patterns(warm):
    """DuckDB reads `*`, `?` and `[` in a list of files as patterns, so another file's rows were read."""
    import shutil

    expected = warm.bytes()
    home = warm.root / "run[1] it's?"
    (warm.root / "run1").mkdir()
    for name in ("config", "data"):
        shutil.copytree(warm.root / name, home / name)
    shutil.rmtree(home / "data/training_output")
    for path in home.glob("data/feed/*/part-1.parquet"):
        path.rename(path.with_name("part[0].parquet"))
    import os

    os.chdir(home)
    warm.run()
    assert warm.bytes(home / "data/training_output") == expected


def test_names_that_we_use_ourselves_are_only_names(cold):
    """Features called place, line, filename or own were mixed up with our own columns."""
    import pyarrow.parquet as pq
    from reference import Reference, differences, read_output
    from small import edit

    names = ["place", "line", "filename", "own", "target", "value"]
    for path in cold.root.glob("data/catalog/artwork_generation/*.parquet"):
        new = dict(zip(["model_id", "width", "height", "lightning", "sampling_steps"], names, strict=False))
        rewrite(path, lambda table, new=new: table.rename_columns([new.get(n, n) for n in table.column_names]))
    for path in cold.root.glob("data/feed/*/*.parquet"):
        rewrite(path, lambda t: t.append_column("filename", pa.array(["x"] * t.num_rows)).append_column(
            "file_row_number", pa.array([7] * t.num_rows)))  # fmt: skip
    edit(cold.catalog, views__artwork_generation__features=["model_type", *names[:5]])
    edit(
        cold.runtime,
        feature_refs=["artwork_generation:place"],
        enrich=["artwork_properties:author_id", "artwork_generation:place", "artwork_tack:tack_ids"],
        output_columns=["user_id", "artwork_id", "event_timestamp", "event", *names[:5], "value_1d"],
    )
    spec = {"name": "value", "events": ["like"], "column": "place", "agg": "distinct", "windows": ["1d"]}
    cold.edit_aggregations(lambda specs: specs.__setitem__(slice(None), [spec]))
    assert not cold.run(str(DAYS[4])).failures
    assert differences(Reference("config", [DAYS[4]]).run(), read_output(cold.output)) == []
    assert pq.read_schema(cold.output / f"dt={DAYS[4]}/part-0-0.parquet").names[-2:] == ["value_1d", "qid"]


def test_a_map_put_back_to_an_older_version_is_noticed(warm):
    """The map was trusted when it was the one written last, whatever had been published meanwhile by another cache."""
    import shutil

    import pytest

    from daedalus.base.errors import DaedalusError

    shutil.rmtree(warm.output)
    shutil.rmtree(warm.root / "cache")
    warm.run(str(DAYS[0]))
    saved = (warm.output / "qid_map.parquet").read_bytes()
    warm.run(str(DAYS[1]), cache_root="other")
    (warm.output / "qid_map.parquet").write_bytes(saved)
    with pytest.raises(DaedalusError, match="does not know"):
        warm.run(str(DAYS[2]))


def test_columns_that_differ_in_case_are_refused(cold):
    for path in (cold.feed_file(DAYS[8], 0), cold.feed_file(DAYS[8], 1)):
        rewrite(path, lambda table: table.add_column(0, "EVENT", pa.array(["like"] * table.num_rows)))
    report = cold.run()
    assert report.exit_code == 1 and "EVENT, event" in report.failures[0].error


def test_a_view_column_without_any_value_has_the_type_it_needs(cold):
    def emptied(table: pa.Table) -> pa.Table:
        for name in ("created_at", "author_id", "artwork_type"):
            at = table.column_names.index(name)
            table = table.set_column(at, name, pa.nulls(table.num_rows))
        return table

    for path in cold.root.glob("data/catalog/artwork_properties/*.parquet"):
        rewrite(path, emptied)
    report = cold.run(str(DAYS[2]))
    assert not report.failures and report.rows["written"] > 0


def test_a_struct_feature_may_be_missing_from_a_file(cold):
    from small import edit

    first, second = sorted(cold.root.glob("data/catalog/artwork_aesthetic/*.parquet"))
    rewrite(first, lambda t: t.append_column("extra", pa.array([{"a": 1, "b": [2]}] * t.num_rows)))
    edit(cold.catalog, views__artwork_aesthetic__features=["aes_score", "extra"])
    edit(cold.runtime, output_columns=["user_id", "extra"])
    assert not cold.run(str(DAYS[2])).failures and second.exists()


def test_a_country_code_too_large_is_unknown_and_fails_nothing(cold):
    def huge(table: pa.Table) -> pa.Table:
        at = table.column_names.index("country_code")
        return table.set_column(at, "country_code", pa.array([2**40] * table.num_rows, pa.int64()))

    rewrite(cold.feed_file(DAYS[2]), huge)
    assert not cold.run(str(DAYS[2])).failures


def test_a_bad_file_in_a_window_that_no_list_needs_fails_the_day_too(cold):
    """The day was done with exit 0, and yet there was a failure."""
    from small import edit

    edit(cold.runtime, output_columns=["user_id", "event"])
    cold.feed_file(DAYS[2]).write_bytes(b"")
    report = cold.run(f"{DAYS[4]}..{DAYS[5]}")
    assert (report.days["blocked"], report.exit_code) == (2, 1)


def test_resume_takes_up_options_of_the_last_unfinished_run(warm):
    from daedalus.pipelines.training import run_skeleton_stage
    from daedalus.workspace.settings import Settings

    interrupted(1, f"{DAYS[1]}..{DAYS[4]}", Settings(output_root="elsewhere", entity_spine_chunk_rows=30))
    warm.run(str(DAYS[9]))  # another run in between finishes
    report = run_skeleton_stage(resume=True)
    assert str(report.range) == f"{DAYS[1]}..{DAYS[4]}"
    assert len(list((warm.root / "elsewhere").glob("dt=*"))) == 4
    assert len(list((warm.root / f"elsewhere/dt={DAYS[4]}").glob("part-*"))) > 1
    assert str(run_skeleton_stage(resume=True).range) == "2026-02-01..2026-02-28"


def test_counts_of_a_resumed_run_are_those_of_the_whole(warm):
    """What the finished days had read of days before them was left out."""
    whole = warm.run(None)
    interrupted(5, force=True)
    assert warm.run(None, resume=True, plan=True).steps["hit"] > 0
    resumed = warm.run(None, resume=True)
    assert resumed.rows == whole.rows and sum(resumed.steps.values()) == sum(whole.steps.values())


def test_a_negative_zero_keeps_its_sign(cold):
    """DuckDB takes a group's latest row out of a struct, in which -0.0 is 0.0, where two features are read."""

    def zeros(table: pa.Table) -> pa.Table:
        for name in ("media_safety_score", "text_safety_score"):
            zero = pa.array([-0.0] * table.num_rows, table[name].type)
            table = table.set_column(table.column_names.index(name), name, zero)
        return table

    for path in cold.root.glob("data/catalog/artwork_vector/*.parquet"):
        rewrite(path, zeros)
    edit(cold.catalog, views__artwork_vector__as_of="day")
    edit(cold.runtime, enrich=["artwork_vector:text_safety_score"])
    edit(cold.runtime, output_columns=["user_id", "media_safety_score", "text_safety_score", "zeros_1d"])
    zeros_seen = {"name": "zeros", "events": ["like"], "column": "text_safety_score", "agg": "list", "windows": ["1d"]}
    cold.edit_aggregations(lambda specs: specs.__setitem__(slice(None), [zeros_seen]))
    assert not cold.run(str(DAYS[6])).failures
    found = pq.read_table(cold.output / f"dt={DAYS[6]}/part-0-0.parquet")
    for name in ("media_safety_score", "text_safety_score"):
        assert {repr(value) for value in found[name].to_pylist()} <= {"-0.0", "None"}
    assert {repr(value) for row in found["zeros_1d"].to_pylist() for value in row} == {"-0.0"}


def test_a_list_column_can_be_counted(cold):
    """Values were numbered even to be counted, which lists cannot be; now nothing numbers them."""
    cold.edit_aggregations(lambda specs: specs[0].update(column="tack_ids", agg="count"))
    cold.edit_aggregations(lambda specs: specs[0].pop("max_items", None))
    assert not cold.run().failures
    assert differences(Reference("config", DAYS).run(), read_output(cold.output)) == []


def test_a_disk_that_does_not_take_the_traces_is_no_traceback(cold):
    import resource
    import subprocess
    import sys

    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
    done = subprocess.run([sys.executable, "-m", "daedalus", "skeleton", "--json"], preexec_fn=small, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "traces.db" in json.loads(done.stdout)["error"]["where"]


def test_status_is_fresh_when_no_session_ever_reached_the_output(cold):
    for path in cold.root.glob("data/feed/*/*.parquet"):
        rewrite(path, without_values)
    cold.run()
    states = {row["day"]: row["state"] for row in cold.json("cache", "status")["days"]}
    assert {states[str(day)] for day in DAYS} == {"fresh"}


def test_the_plan_of_a_resumed_run_is_what_it_runs(warm):
    before = interrupted(5, range=RANGE, force=True)
    plan = warm.run(None, resume=True, plan=True)
    forced = {row["day"] for row in plan.plan if row["step"] == "chunk"}
    assert forced == {*map(str, DAYS)} - before != set() and plan.days["done"] == len(before)
    done = warm.cli("skeleton", "--resume", "--progress", "plain", "--json")
    assert "used --force, so this one does too" in done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert steps["computed"] + steps["unchanged"] == len(plan.plan)


def test_a_forced_run_is_not_taken_up_as_forced_after_an_edit(warm):
    interrupted(2, range=RANGE, force=True)
    edit(warm.runtime, recent_published__max_items=3)
    report = warm.run(None, resume=True)
    assert report.steps["hit"] > 200 and report.days["done"] == 14


def test_a_resumed_part_of_a_range_counts_for_the_whole(warm):
    before = interrupted(2, range=RANGE, force=True)
    warm.run(f"{DAYS[7]}..{DAYS[13]}", resume=True)
    plan = warm.run(None, resume=True, plan=True)
    assert {row["day"] for row in plan.plan if row["step"] == "chunk"} == {*map(str, DAYS[:7])} - before != set()


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
from daedalus.sql.duck import Bindings, Duck
from daedalus.sql.text import Sql

duck = Duck({"threads": 1})
long = Sql("SELECT sum(hash(a.i * b.j)) AS x FROM range(300000) a(i), range(300000) b(j)")
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    duck.copy(long, Bindings(), Path(sys.argv[2])) if sys.argv[1] == "copy" else duck.table(long, Bindings())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("how", ["copy", "table"])
def test_ctrl_c_during_a_statement_is_no_error_of_a_step(tmp_path, how):
    """DuckDB takes the signal of the main thread, in which short steps run, and raises a RuntimeError for it."""
    command = [sys.executable, "-c", INTERRUPTED, how, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


def test_a_file_that_cannot_be_written_is_what_is_told_and_the_duck_goes_on(tmp_path):
    """DuckDB takes no statement while a result is half read, so the tables stayed, and hid what went wrong."""
    duck = Duck({"threads": 1})
    rows = Sql("SELECT * FROM t", tables=(("t", "SELECT range AS x FROM range(1000000)"),))
    for path, error in ((tmp_path / "gone/a.parquet", "No such file"), (Path("/dev/full"), "No space left")):
        with pytest.raises(OSError, match=error):
            duck.copy(rows, Bindings(), path)
    assert duck.copy(rows, Bindings(), tmp_path / "a.parquet") == {"rows": 1000000}
