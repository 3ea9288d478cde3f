"""Artifacts are encoded for ourselves, what others read for every reader; both hold what they were given."""

from __future__ import annotations

import datetime as dt
import io
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.footer import Assembled, joined
from daedalus.parquet.list_writer import form_of
from daedalus.parquet.split_numbers import read_split, split_numbers
from daedalus.parquet.writer import ROWS_PER_GROUP, SMALL, write_plain
from daedalus.skeleton.arrow.feed_rows import _Clean
from daedalus.tables.artifacts import read_sessions, read_table, write_table
from daedalus.tables.held import HELD, NUMBERS
from daedalus.tables.sorting import ranked

UTC = dt.UTC
WHOLE = [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]
TIMES = [pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("ms"), pa.date32(), pa.time64("us")]
OTHERS = [pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.binary(), pa.binary(3), pa.decimal128(9, 2),
          pa.list_(pa.field("element", pa.int64()))]  # fmt: skip
VALUES = {pa.timestamp("us"): dt.datetime(2026, 1, 2, 3, 4, 5, 6), pa.date32(): dt.date(1969, 12, 31),
          pa.timestamp("us", "UTC"): dt.datetime(2026, 1, 2, tzinfo=UTC), pa.time64("us"): dt.time(1, 2, 3),
          pa.timestamp("ms"): dt.datetime(1960, 1, 2), pa.string(): "é", pa.binary(): b"ab", pa.binary(3): b"abc",
          pa.bool_(): True, pa.decimal128(9, 2): Decimal("-1.25")}  # fmt: skip


def column(kind: pa.DataType, rows: int) -> pa.Array:
    if pa.types.is_list(kind):
        return pa.array([None if i % 5 == 4 else list(range(i % 3)) for i in range(rows)], kind)
    value = VALUES.get(kind, 7)
    return pa.array([None if i % 5 == 4 else value for i in range(rows)], kind)


@pytest.mark.parametrize("rows", [0, 1, 11, ROWS_PER_GROUP + 3])
def test_every_type_is_read_back(tmp_path, rows):
    table = pa.table({str(kind): column(kind, rows) for kind in (*WHOLE, *TIMES, *OTHERS)})
    for write in (write_parquet, write_plain):
        path = tmp_path / write.__name__
        assert write(path, table.schema, [table]) == rows
        assert pq.read_table(path).cast(table.schema) == table


@given(st.lists(st.sampled_from([None, "", "a", "b", "ab"]), max_size=9))
def test_sessions_are_numbered_alike_by_who_writes_and_who_reads_them(texts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spine"
        write_table(path, pa.table({"feed_session": pa.array(texts, pa.string())}))
        ranks = ranked(pa.array(texts, pa.string()).dictionary_encode())
        clean = _Clean({}, np.arange(len(texts)), ranks)
        for found in (read_sessions(path), clean.sessions()):
            by_number = dict(zip(found.numbers.tolist(), texts, strict=True))
            assert [by_number[number] for number in found.numbers.tolist()] == texts
            assert len(by_number) == len(set(texts)) and all(number <= found.null for number in by_number)
            assert by_number.get(found.null) is None


def encodings(path: Path) -> dict[str, set[str]]:
    group = pq.read_metadata(path).row_group(0)
    chunks = [group.column(i) for i in range(group.num_columns)]
    return {chunk.path_in_schema: set(chunk.encodings) for chunk in chunks}


@pytest.mark.parametrize("rows", [50, SMALL + 1])
def test_whole_numbers_and_times_of_artifacts_are_split_and_nothing_that_others_read_is(tmp_path, rows):
    table = pa.table({str(kind): column(kind, rows) for kind in (*WHOLE, *TIMES, *OTHERS)})
    write_parquet(tmp_path / "artifact", table.schema, [table])
    write_plain(tmp_path / "plain", table.schema, [table])
    split = {name for name, found in encodings(tmp_path / "artifact").items() if "BYTE_STREAM_SPLIT" in found}
    assert split == {str(kind) for kind in (*WHOLE, *TIMES)}
    assert not any("BYTE_STREAM_SPLIT" in found for found in encodings(tmp_path / "plain").values())


def packings(path: Path) -> set[str]:
    groups = [pq.read_metadata(path).row_group(i) for i in range(pq.read_metadata(path).num_row_groups)]
    return {group.column(i).compression for group in groups for i in range(group.num_columns)}


@pytest.mark.parametrize(("rows", "packed"), [(1, "LZ4"), (SMALL, "LZ4"), (SMALL + 1, "ZSTD")])
def test_small_artifacts_are_packed_by_lz4_and_nothing_that_others_read_is(tmp_path, rows, packed):
    table = pa.table({str(kind): column(kind, rows) for kind in (*WHOLE, *TIMES, *OTHERS)})
    write_parquet(tmp_path / "artifact", table.schema, [table.slice(0, 1), table.slice(1)])
    write_plain(tmp_path / "plain", table.schema, [table])
    assert packings(tmp_path / "artifact") == {packed}
    assert packings(tmp_path / "plain") == {"ZSTD"}


def test_the_project_has_split_artifacts_and_plain_partitions(warm):
    artifacts = [encodings(path) for path in (warm.root / "cache/artifacts").glob("*/*.parquet")]
    assert any("BYTE_STREAM_SPLIT" in found for one in artifacts for found in one.values())
    output = [*(warm.root / "data/training_output").rglob("*.parquet")]
    assert any(path.name == "qid_map.parquet" for path in output) and len(output) > 1
    for path in output:
        assert not any("BYTE_STREAM_SPLIT" in found for found in encodings(path).values()), path
        assert packings(path) <= {"ZSTD"}, path


@given(st.lists(st.tuples(*[st.integers(0, 2**31 - 1)] * 3), min_size=1, max_size=40), st.sampled_from([1, SMALL]))
@settings(deadline=None)  # a first call may compile
def test_split_numbers_are_read_by_others(rows, times):
    schema, rows = pa.schema([(name, pa.int32()) for name in "abc"]), rows * times
    out = io.BytesIO()
    file = Assembled(out, joined([(name, form_of(schema)) for name in schema.names]))
    for some in (rows, rows[:1]):
        file.add(split_numbers(schema, np.array(some, np.int64)), len(some))
    assert file.finish() == len(rows) + 1
    found = pq.read_table(io.BytesIO(out.getvalue()))
    assert [tuple(row.values()) for row in found.to_pylist()] == [*rows, rows[0]]
    assert found.schema.types == schema.types
    footer = pq.read_metadata(out)
    for group, some in enumerate((rows, rows[:1])):
        read = [read_split(out, footer.row_group(group).column(i)) for i in range(3)]
        assert [*map(tuple, np.stack(read, axis=1).tolist())] == some


@pytest.mark.parametrize("rows", [300, SMALL + 1])
def test_numbers_that_are_written_otherwise_are_left_to_pyarrow(rows):
    some = pa.table({
        "split": pa.array(range(rows), pa.int32()),
        "null": pa.array([None, *range(rows - 1)], pa.int32()),
        "plain": pa.array(range(rows), pa.int32()),
        "coded": pa.array([7] * rows, pa.int32()),
    })  # fmt: skip
    for compression in ("zstd", "lz4", "gzip", None):
        out = io.BytesIO()
        pq.write_table(some, out, compression=compression, use_dictionary=["coded"],
                       use_byte_stream_split=["split", "null"], data_page_size=1 << 20)  # fmt: skip
        group = pq.read_metadata(out).row_group(0)
        found = [read_split(out, group.column(i)) for i in range(4)]
        assert [numbers is not None for numbers in found] == [compression in ("zstd", "lz4"), False, False, False]
        if found[0] is not None:
            assert found[0].tolist() == [*range(rows)]
    out = io.BytesIO()  # of several pages
    pq.write_table(some, out, use_dictionary=False, use_byte_stream_split=["split"], compression="zstd",
                   data_page_size=256, write_batch_size=64)  # fmt: skip
    assert read_split(out, pq.read_metadata(out).row_group(0).column(0)) is None


def test_duckdb_reads_both(tmp_path):
    schema = pa.schema([("n", pa.int32())])
    with (tmp_path / "numbers.parquet").open("wb") as out:
        file = Assembled(out, joined([("n", form_of(schema))]))
        file.add(split_numbers(schema, np.arange(300).reshape(-1, 1)), 300)
        file.finish()
    table = pa.table({"n": pa.array(range(300), pa.int32()), "t": column(pa.timestamp("us"), 300)})
    write_parquet(tmp_path / "artifact.parquet", table.schema, [table])
    for name in ("numbers", "artifact"):
        assert duckdb.sql(f"SELECT n FROM '{tmp_path}/{name}.parquet'").fetchall() == [(n,) for n in range(300)]
    assert duckdb.sql(f"SELECT count(t) FROM '{tmp_path}/artifact.parquet'").fetchall() == [(240,)]


def test_of_a_table_too_large_to_be_held_what_is_no_text_is(tmp_path):
    rows = 1000
    texts = pa.array([f"a text that is longer than numbers are {i}" for i in range(rows)])
    table = pa.table({"id": pa.array(range(rows)), "text": texts, "more": pa.array(range(rows))})
    HELD.limit(8 * 2 * (table.nbytes - 1), 1)  # an eighth is held, half of that for one file
    try:
        path = tmp_path / "artifact"
        write_table(path, table)
        assert HELD.get(path) is None and HELD.get(path, NUMBERS).column_names == ["id", "more"]
        assert read_table(path, ["more", "id"]) == table.select(["more", "id"])
        assert read_table(path, ["text", "id"]) == table.select(["text", "id"])  # the text is read from the file
        assert sorted(HELD.get(path, NUMBERS).column_names) == ["id", "more"]
        HELD.moved(path, tmp_path / "named")
        assert HELD.get(path, NUMBERS) is None
        assert read_table(tmp_path / "named", ["more"]) == table.select(["more"])  # there is no such file
    finally:
        HELD.limit(None, 1)
