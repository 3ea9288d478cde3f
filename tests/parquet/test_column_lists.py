"""Lists of numbers are read from pages as Arrow reads them, whoever wrote them; what is damaged is not read at all."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lists_file import write_lists
from small import PROJECT
from test_lists import as_lists
from test_vectors import a_pool, piece, write

from daedalus.parquet import list_writer
from daedalus.parquet.lists.column_lists import Chunk, ReadLists, read_lists
from daedalus.parquet.lists.compiled_pages import read_levels

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
KINDS = {"i4": pa.int32(), "i8": pa.int64(), "f2": pa.float16(), "f4": pa.float32(), "f8": pa.float64()}


def chunks(path):
    """(bytes, rows, type, codec, Arrow's column) of each column chunk of lists."""
    file, data = pq.ParquetFile(path), path.read_bytes()
    names = {kind: dtype for dtype, kind in KINDS.items()}
    for group in range(file.num_row_groups):
        of_group = file.metadata.row_group(group)
        for leaf in range(of_group.num_columns):
            chunk = of_group.column(leaf)
            begin = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
            column = file.read_row_group(group, [chunk.path_in_schema.partition(".")[0]]).column(0).combine_chunks()
            codec = None if chunk.compression == "UNCOMPRESSED" else pa.Codec(chunk.compression.lower())
            dtype = np.dtype(names[column.type.value_type])
            yield data[begin : begin + chunk.total_compressed_size], of_group.num_rows, dtype, codec, column


def read(data: bytes, rows: int, dtype: np.dtype, codec: pa.Codec | None, drop_nulls: bool) -> ReadLists | None:
    """The lists of a chunk that is read with others, of which none changes what is read of it."""
    chunk = Chunk(np.frombuffer(data, np.uint8), dtype, codec, drop_nulls)
    cut, none = chunk._replace(data=chunk.data[: len(data) // 2]), chunk._replace(data=chunk.data[:0])
    several = read_lists([chunk, cut, chunk, none, chunk], rows)
    for found in several[::2]:
        assert (found is None) == (several[0] is None)
        assert found is None or all(np.array_equal(mine, its) for mine, its in zip(found[:2], several[0], strict=False))
    assert several[3] is None
    return several[4]


def check(found: ReadLists | None, column: pa.Array) -> None:
    """That lists are those of Arrow without their NULL items, bit for bit."""
    assert found is not None
    values = [some.items if some.values is None else some.values[some.items] for some in found.pieces]
    expected = [[item for item in row or [] if item is not None] for row in column.to_pylist()]
    assert found.lengths.tolist() == list(map(len, expected))
    assert found.valid.tolist() == column.is_valid().to_pylist()
    flat = column.flatten().drop_null()
    assert b"".join(some.tobytes() for some in values) == flat.to_numpy(zero_copy_only=False).tobytes()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=20), min_size=1, max_size=60),
       dtype=st.sampled_from(sorted(KINDS)), numbered=st.booleans(), codec=st.sampled_from(["zstd", "snappy", "none"]),
       page=st.sampled_from([64, 10**6]), group=st.integers(1, 60), more=st.integers(0, 300))  # fmt: skip
def test_lists_of_pyarrow(tmp_path, lists, dtype, numbered, codec, page, group, more):
    lists = [*lists, list(range(more))]  # so that numbers have many widths
    rows = pa.array(lists, pa.list_(pa.int64())).cast(pa.list_(KINDS[dtype]))
    path = tmp_path / "lists.parquet"
    pq.write_table(pa.table({"c": rows}), path, use_dictionary=numbered, compression=codec, data_page_size=page,
                   write_batch_size=7, row_group_size=group)  # fmt: skip
    for data, count, kind, packed, column in chunks(path):
        check(read(data, count, kind, packed, drop_nulls=True), column)
        kept = read(data, count, kind, packed, drop_nulls=False)
        assert (kept is None) == (column.flatten().null_count > 0)


@pytest.mark.parametrize("known", [1, 300, 70_000])  # 16 bits, and 24
def test_lists_of_our_own_writer(tmp_path, monkeypatch, known):
    monkeypatch.setattr(list_writer, "_PAGE_VALUES", 5000)
    rng = np.random.default_rng(1)
    rows = []
    for row in range(3000):
        codes = rng.integers(0, known, row % 60).tolist()
        rows.append((codes, [len(codes) // 2, len(codes)]))
    rows.append((list(range(known)), [0, known]))
    schema = pa.schema([(name, pa.list_(pa.field("element", pa.int64()))) for name in ("a", "b")])
    write_lists(tmp_path / "lists.parquet", schema, [as_lists(pa.int64(), list(range(7, 7 + known)), rows)])
    for data, count, kind, codec, column in chunks(tmp_path / "lists.parquet"):
        check(read(data, count, kind, codec, drop_nulls=True), column)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_vectors_of_our_own_writer(tmp_path, dtype):
    pieces = [[piece([0, 1, -1, 2, 2, 3], a_pool(5)), piece([4, -1, -1, 6], a_pool(5))], [piece([-1, -1], a_pool(5))]]
    write(tmp_path / "v.parquet", {"v": pieces}, dtype)
    for data, count, kind, codec, column in chunks(tmp_path / "v.parquet"):
        check(read(data, count, kind, codec, drop_nulls=False), column)


@settings(max_examples=3 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), numbered=st.booleans(), codec=st.sampled_from(["zstd", "none"]))
def test_damaged_chunks_give_nothing_or_lists_that_hold_together(tmp_path, data, numbered, codec):
    rows = pa.array([[1, 2, 3], None, [], [4, None] * 9, [5] * 40] * 5, pa.list_(pa.int64()))
    path = tmp_path / "lists.parquet"
    pq.write_table(pa.table({"c": rows}), path, use_dictionary=numbered, compression=codec, data_page_size=64,
                   write_batch_size=7)  # fmt: skip
    whole, count, kind, packed, _ = next(iter(chunks(path)))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else damaged
    holds_together(read(bytes(damaged), count, kind, packed, drop_nulls=True), count)


@pytest.mark.parametrize("runs", [b"\x03\x02\x03\x0c\x00", b"\x02\x00\x02\x01\x02\x00\x02\x03"])
def test_no_item_goes_on_a_list_that_is_null(runs):
    """Levels packed, and in runs: a row that is NULL, then another item of it."""
    half = len(runs) // 2
    page = b"".join(len(some).to_bytes(4, "little") + some for some in (runs[:half], runs[half:]))
    lengths, valid = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    assert read_levels(np.frombuffer(page, np.uint8), 2, -1, 0, lengths, valid)[2] == -1
    assert not lengths.any() and not valid.any()


def holds_together(found, count):
    if found is not None:
        assert len(found.lengths) == count and (found.lengths >= 0).all() and not found.lengths[~found.valid].any()
        assert sum(len(some.items) for some in found.pieces) == found.lengths.sum()
        assert all(some.values is None or some.items.size == 0 or some.items.max() < len(some.values)
                   for some in found.pieces)  # fmt: skip


def test_pages_of_another_kind_are_left_to_arrow(tmp_path):
    rows = pa.array([[1], [2, 3]], pa.list_(pa.int64()))
    path = tmp_path / "lists.parquet"
    for changes in ({"data_page_version": "2.0"}, {"use_dictionary": False, "column_encoding": "DELTA_BINARY_PACKED"}):
        pq.write_table(pa.table({"c": rows}), path, compression="none", **changes)
        data, count, kind, codec, _ = next(iter(chunks(path)))
        assert read(data, count, kind, codec, drop_nulls=True) is None


COMPILED = """
import io, itertools, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from daedalus.parquet.lists import compiled_pages
from daedalus.parquet.lists.column_lists import Chunk, load, read_lists

def forms():
    return {name: len(some.signatures) for name, some in vars(compiled_pages).items() if hasattr(some, "signatures")}

load()
before, read = forms(), 0
rows = pa.array([[1, 2, 3], None, [], [4, None] * 9, list(range(400))], pa.list_(pa.int64()))
for codec, numbered in itertools.product(("zstd", "snappy", "none"), (True, False)):
    out = io.BytesIO()
    pq.write_table(pa.table({"c": rows}), out, use_dictionary=numbered, compression=codec)
    chunk = pq.ParquetFile(out).metadata.row_group(0).column(0)
    begin = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
    data = out.getvalue()[begin : begin + chunk.total_compressed_size]
    for memory in (data, bytearray(data)):
        unpack = None if codec == "none" else pa.Codec(codec)
        given = Chunk(np.frombuffer(memory, np.uint8), np.dtype("i8"), unpack, True)
        read += read_lists([given], len(rows))[0] is not None
assert read == 12, read
assert forms() == before and len(before) > 5, (before, forms())
"""


def test_all_that_reads_is_compiled_before_threads_read():
    subprocess.run([sys.executable, "-c", COMPILED], check=True, env={**os.environ, "PYTHONPATH": str(PROJECT)})
