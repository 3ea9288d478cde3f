"""Columns of vectors read as what they are, by every reader that knows their type, and their bytes follow from them."""

from __future__ import annotations

import math
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lists import EXAMPLES
from test_readers import READERS, check

from daedalus.parquet import vector_writer as writer
from daedalus.parquet.footer import Assembled, joined
from daedalus.parquet.list_writer import DATA_HEAD, PAGE_PACKED, PAGE_UNPACKED, PAGE_VALUES
from daedalus.parquet.thrift import read_head
from daedalus.parquet.vector_writer import Vectors, form, write_vectors
from daedalus.tables.side_by_side import side_by_side

KNOWN = {"float32": READERS, "float16": [name for name in READERS if name != "fastparquet"]}  # which gives their bytes


def write(path, columns, dtype, **rest):
    """Writes columns of row groups, given as pieces; returns the chunks."""
    forms, written = {name: form(name, dtype) for name in columns}, []
    with path.open("wb") as out:
        file = Assembled(out, joined(list(forms.items())))
        for group in zip(*columns.values(), strict=True):
            rows = sum(len(piece.places) for piece in group[0])

            def chunks(group=group):
                for name, pieces in zip(columns, group, strict=True):
                    written.append(write_vectors(out, name, dtype, pieces, **rest))
                    yield written[-1]

            file.add(chunks(), rows)
        file.finish()
    return written


def piece(places, vectors):
    def take(rows, out):
        out[...] = vectors[rows]

    return Vectors(np.array(places, np.int32), take, vectors.shape[1], vectors.dtype)


def listed(pieces, dtype):
    """What the pieces hold, as Python has it."""
    rows = []
    for some in pieces:
        for place in some.places:
            vector = np.empty((1, some.length), some.dtype)
            some.take([place], vector)
            rows.append(None if place < 0 else vector[0].astype(dtype).astype(float).tolist())
    return rows


def a_pool(length, count=7):
    pool = (np.random.default_rng(length).integers(-99, 99, (count, length)) / 8).astype(np.float32)
    if length:
        pool[0, : min(length, 4)] = [math.nan, math.inf, -math.inf, -0.0][:length]
    return pool


@pytest.mark.parametrize("length", [0, 1, 2, 5])
@pytest.mark.parametrize("reader,dtype", [(name, dtype) for dtype, names in KNOWN.items() for name in names])
def test_every_reader_reads_vectors_and_rows_without(tmp_path, monkeypatch, reader, dtype, length):
    monkeypatch.setattr(writer, "_PAGE_BYTES", 40)
    pool = a_pool(length)
    some = [0, 1, -1, -1, 2, 2, 2, 2, 2, 3, -1, 4, 5, 6, -1]
    columns = {
        "mixed": [[piece(some, pool)], [piece(some[:4], pool), piece(some[4:9], pool)]],
        "all": [[piece([0, 1, 2] * 5, pool)], [piece([3] * 9, pool)]],
        "none": [[piece([-1] * 15, pool)], [piece([-1] * 9, pool)]],
    }
    write(tmp_path / "vectors.parquet", columns, dtype)
    expected = {name: [row for group in groups for row in listed(group, dtype)] for name, groups in columns.items()}
    check(reader, tmp_path / "vectors.parquet", expected)


def test_floats_that_repeat_are_compressed_and_others_are_not(tmp_path):
    pool = np.random.default_rng(1).standard_normal((2000, 300)).astype(np.float32)
    columns = {"ids": [[piece(range(2000), pool)]], "means": [[piece(np.repeat(range(200), 10), pool)]]}
    write(tmp_path / "file", columns, "float32")
    group = pq.read_metadata(tmp_path / "file").row_group(0)
    assert [group.column(i).compression for i in range(2)] == ["UNCOMPRESSED", "ZSTD"]
    assert group.column(1).total_compressed_size < group.column(0).total_compressed_size / 5
    found = pq.read_table(tmp_path / "file")
    for name, groups in columns.items():
        assert found[name].to_pylist() == listed(groups[0], "float32")


@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_bytes_follow_from_the_values_whatever_the_pieces_and_threads(tmp_path_factory, data):
    folder, length = tmp_path_factory.mktemp("bytes"), data.draw(st.integers(0, 20))
    pool = a_pool(length)
    places = np.array(data.draw(st.lists(st.integers(-1, 6), min_size=1, max_size=60)), np.int32)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(places)))) | {0, len(places)})
    pieces = [piece(places[one:two], pool) for one, two in pairwise(cuts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_PAGE_BYTES", data.draw(st.integers(1, 2000)))
        write(folder / "whole", {"v": [[piece(places, pool)]]}, "float32")
        write(folder / "pieces", {"v": [pieces]}, "float32", run=lambda pages: side_by_side(pages, 1 << 20))
    assert (folder / "whole").read_bytes() == (folder / "pieces").read_bytes()
    expected = repr(listed(pieces, "float32"))
    assert repr(pq.read_table(folder / "whole")["v"].to_pylist()) == expected
    assert repr([row for (row,) in duckdb.sql(f"FROM read_parquet('{folder}/whole')").fetchall()]) == expected


def test_a_page_has_about_a_megabyte_and_ends_with_a_row(tmp_path):
    pool = np.random.default_rng(1).standard_normal((10, 1000)).astype(np.float32)
    places = np.resize(np.array([0, 1, -1, 3]), 1000)
    write(tmp_path / "file", {"v": [[piece(places, pool)]]}, "float32")
    with (tmp_path / "file").open("rb") as file:
        headers = pages(file.read(), pq.read_metadata(tmp_path / "file").row_group(0).column(0))
    assert [entries for entries, _ in headers] == [197 * 1000 + 65, 196 * 1000 + 66, 197 * 1000 + 65, 160 * 1000 + 54]
    assert all(size <= (1 << 20) + 5000 for _, size in headers)


def pages(data, chunk):
    """(entries, bytes before compression) of each page of a chunk."""
    at, end, found = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size, []
    while at < end:
        head, begin = read_head(data, at)
        found.append((head[DATA_HEAD][1][PAGE_VALUES][1], head[PAGE_UNPACKED][1]))
        at = begin + head[PAGE_PACKED][1]
    assert at == end
    return found


def test_a_vector_is_rounded_once_and_nan_is_one_value(tmp_path):
    half = 2.0**-11  # of the last place of 1.0 in float16
    odd = np.array([0x7FF8_0000_0000_0001, 0xFFF0_0000_0000_0001, 0xFFF8 << 48], np.uint64).view(np.float64)
    pool = np.array([[1 + half, 1 + half + 2.0**-40, 70000.0, -1e300, 2.0**-26, -0.0, *odd]])
    write(tmp_path / "file", {"v": [[piece([0], pool)]]}, "float16")
    found = pq.read_table(tmp_path / "file")["v"].chunk(0).flatten().to_numpy()
    expected = [1.0, 1 + 2 * half, math.inf, -math.inf, 0.0, -0.0, math.nan, math.nan, math.nan]
    assert found.astype(float).tolist()[:6] == expected[:6]
    assert np.signbit(found[5])
    assert found[6:].view(np.uint16).tolist() == [0x7E00] * 3


def test_nan_of_the_written_type_keeps_its_bits(tmp_path):
    bits = np.array([[0x7FC0_0001, 0xFFC0_0000, 0x8000_0000]], np.uint32)
    write(tmp_path / "file", {"v": [[piece([0], bits.view(np.float32))]]}, "float32")
    assert (
        pq.read_table(tmp_path / "file")["v"].chunk(0).flatten().to_numpy().view(np.uint32).tolist() == bits[0].tolist()
    )
