"""Bugs that were found once, most of them by hypothesis, each by name."""

from __future__ import annotations

import pyarrow as pa
from small import DAYS, nothing_ran, rewrite


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
