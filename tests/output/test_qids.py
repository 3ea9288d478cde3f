"""qid_map.parquet: one number a session for good, whatever happens to the map."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import DAYS, RANGE, edit, nothing_ran

from daedalus.base.errors import DaedalusError


def read_map(world) -> dict[str, int]:
    table = pq.read_table(world.output / "qid_map.parquet")
    assert table.schema.names == ["feed_session", "qid"]
    return dict(zip(table["feed_session"].to_pylist(), table["qid"].to_pylist(), strict=True))


def used(world) -> set:
    found = set()
    for path in world.output.glob("dt=*/*.parquet"):
        found |= set(pq.ParquetFile(path).read(columns=["qid"])["qid"].to_pylist())
    return found


def with_session(world) -> None:
    import yaml

    columns = yaml.safe_load(world.runtime.read_text())["output_columns"]
    edit(world.runtime, output_columns=["feed_session", *columns])


def test_the_map_is_one_to_one_from_zero_and_covers_the_output(warm):
    qids = read_map(warm)
    assert sorted(qids.values()) == list(range(len(qids)))
    assert used(warm) - {None} == set(qids.values())


def test_a_session_keeps_its_qid_and_new_ones_come_after(cold):
    cold.run(f"{DAYS[6]}..{DAYS[9]}")
    before = read_map(cold)
    cold.run(RANGE)
    after = read_map(cold)
    assert {session: after[session] for session in before} == before
    assert min(set(after.values()) - set(before.values())) == len(before)
    assert sorted(after.values()) == list(range(len(after)))


def test_a_session_over_midnight_has_one_qid(warm):
    from small import rewrite

    def one_session(table: pa.Table) -> pa.Table:
        at = table.column_names.index("feed_session")
        return table.set_column(at, "feed_session", pa.array(["night"] * table.num_rows))

    for day in DAYS[3:5]:
        rewrite(warm.feed_file(day), one_session)
    with_session(warm)
    warm.run()
    tables = [pq.ParquetFile(warm.output / f"dt={day}/part-0-0.parquet").read() for day in DAYS[3:5]]
    numbers = [{row["qid"] for row in table.to_pylist() if row["feed_session"] == "night"} for table in tables]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 1


def test_a_lost_map_is_rebuilt_where_partitions_carry_the_session(warm):
    with_session(warm)
    warm.run()
    before, bytes_before = read_map(warm), warm.bytes()
    for damage in (
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"PAR1"),
        lambda path: path.write_bytes(b""),
    ):
        damage(warm.output / "qid_map.parquet")
        warm.run()
        assert read_map(warm) == before
        found = warm.bytes()  # the map may be cut into other row groups
        assert {**found, "qid_map.parquet": b""} == {**bytes_before, "qid_map.parquet": b""}
    assert nothing_ran(warm.run())


def test_a_map_that_another_tool_wrote_grows_on(warm):
    import duckdb

    path = warm.output / "qid_map.parquet"
    before = read_map(warm)
    duckdb.sql(f"COPY (SELECT * FROM '{path}') TO '{path}.new' (FORMAT parquet)")
    path.with_suffix(".parquet.new").replace(path)
    edit(warm.runtime, content_filter__drop={})
    warm.run()
    found = read_map(warm)
    assert len(found) > len(before) and {session: found[session] for session in before} == before
    assert sorted(found.values()) == list(range(len(found)))


@pytest.mark.parametrize("damage", ["lost", "damaged", "doubled"])
def test_a_lost_map_is_refused_where_they_do_not(warm, damage):
    path = warm.output / "qid_map.parquet"
    if damage == "lost":
        path.unlink()
    elif damage == "damaged":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        table = pq.read_table(path)
        pq.write_table(table.set_column(1, "qid", pa.array([0] * table.num_rows)), path)
    before = warm.bytes()
    edit(warm.runtime, session_filter__drop_single_like=True)
    for _ in range(2):
        with pytest.raises(DaedalusError, match="qid_map") as refused:
            warm.run()
        assert refused.value.exit_code == 2
    assert warm.bytes() == before


def test_an_older_map_is_refused_or_brought_up_to_date(warm):
    table = pq.read_table(warm.output / "qid_map.parquet")
    pq.write_table(table.slice(0, table.num_rows // 2), warm.output / "qid_map.parquet")
    with pytest.raises(DaedalusError, match="does not know"):
        warm.run()


def test_an_older_map_grows_back_from_partitions_with_sessions(warm):
    with_session(warm)
    warm.run()
    table = pq.read_table(warm.output / "qid_map.parquet")
    before = read_map(warm)
    pq.write_table(table.slice(0, table.num_rows // 2), warm.output / "qid_map.parquet")
    warm.run()
    assert read_map(warm) == before


def test_a_map_of_someone_else_is_refused(warm):
    with_session(warm)
    warm.run()
    table = pq.read_table(warm.output / "qid_map.parquet")
    turned = pa.array(list(reversed(table["qid"].to_pylist())))
    pq.write_table(table.set_column(1, "qid", turned), warm.output / "qid_map.parquet")
    with pytest.raises(DaedalusError, match="contradict"):
        warm.run()


def test_an_output_that_was_taken_away_starts_from_zero(warm):
    bytes_before = warm.bytes()
    shutil.rmtree(warm.output)
    report = warm.run()
    assert report.partitions["written"] == len(DAYS)
    assert warm.bytes() == bytes_before


def test_no_session_column_no_qid(cold):
    from small import rewrite

    for path in cold.root.glob("data/feed/*/*.parquet"):
        rewrite(path, lambda table: table.drop(["feed_session"]))
    report = cold.run()
    assert not report.failures and report.rows["written"] > 0
    for path in cold.output.glob("dt=*/*.parquet"):
        assert "qid" not in pq.read_schema(path).names
    assert not (cold.output / "qid_map.parquet").exists()
    assert nothing_ran(cold.run())
