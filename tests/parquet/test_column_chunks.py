"""Large artifacts, whose columns are written by hand: readers find what was given, and equal rows give equal bytes."""

from __future__ import annotations

import datetime as dt
import io
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daedalus.parquet import artifact_writer
from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.columns import column_chunks
from daedalus.parquet.footer import Assembled, joined
from daedalus.parquet.list_writer import form_of
from daedalus.parquet.plain_pages import ZSTD
from daedalus.parquet.writer import ROWS_PER_GROUP, SMALL, artifact_encodings, mostly_distinct, write_groups
from daedalus.tables.artifacts import read_coded, write_table

TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
BY_HAND = [pa.int32(), pa.uint32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(),
           pa.date32(), pa.timestamp("us"), pa.list_(pa.int64()), pa.list_(pa.float32())]  # fmt: skip
BY_PYARROW = [pa.int8(), pa.uint16(), pa.timestamp("ms"), pa.timestamp("us", "UTC"), pa.binary(), pa.large_string(),
              pa.list_(pa.string()), pa.list_(pa.list_(pa.int64())), pa.struct([("a", pa.int64())])]  # fmt: skip
WIDE = {pa.date32(): pa.int32(), pa.timestamp("us"): pa.int64()}  # what they are cast from
PACKING = column_chunks.zstd_packing()


def values_of(kind: pa.DataType) -> st.SearchStrategy:
    if pa.types.is_list(kind):
        return st.lists(values_of(kind.value_type), max_size=4)
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({"a": st.integers(-9, 9)})
    if pa.types.is_integer(kind):
        bits, signed = kind.bit_width, pa.types.is_signed_integer(kind)
        return st.integers(-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1)
    if pa.types.is_floating(kind):
        return st.floats(allow_nan=False, width=kind.bit_width)
    if pa.types.is_timestamp(kind):
        return st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)).map(
            lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000, tzinfo=dt.UTC if kind.tz else None)
        )
    return {pa.bool_(): st.booleans(), pa.date32(): st.dates(), pa.binary(): st.binary(max_size=5)}.get(kind, TEXT)


@st.composite
def tables(draw: st.DrawFn, kinds: list[pa.DataType]) -> pa.Table:
    """A slice of a table, of more rows than small artifacts have: a few dozen values a column, in any order."""
    rows = draw(st.sampled_from([SMALL + 1, ROWS_PER_GROUP + 17]))
    order = np.random.default_rng(draw(st.integers(0, 99)))
    columns = {}
    for number, kind in enumerate(kinds):
        there = draw(st.sampled_from([st.none(), values_of(kind), st.none() | values_of(kind)]))
        some = pa.array(draw(st.lists(there, min_size=1, max_size=30)), kind)
        columns[f"{number} {kind}"] = some.take(pa.array(order.integers(0, len(some), rows + 11)))
    return pa.table(columns).slice(draw(st.integers(0, 11)), rows)


def written_by_pyarrow(path: Path, table: pa.Table) -> None:
    """As an artifact would be without what is written by hand."""
    table = table.combine_chunks()
    with pa.OSFile(str(path), "wb") as out:
        options = artifact_encodings(table.schema, table)
        write_groups(
            out, table.schema, [table.slice(at, ROWS_PER_GROUP) for at in range(0, len(table), ROWS_PER_GROUP)], options
        )


@given(tables([*BY_HAND, *BY_PYARROW]), st.data())
@settings(deadline=None, max_examples=25)
def test_large_artifacts_hold_what_they_were_given_whatever_the_batches(table, data):
    cut = data.draw(st.integers(0, table.num_rows))
    with tempfile.TemporaryDirectory() as folder:
        one, other, by_pyarrow = (Path(folder) / name for name in ("one", "other", "pyarrow"))
        assert write_parquet(one, table.schema, [table]) == table.num_rows
        write_parquet(other, table.schema, [table.slice(0, cut), table.slice(cut).combine_chunks()])
        assert one.read_bytes() == other.read_bytes()
        found = pq.read_table(one)
        assert found.equals(table.cast(found.schema))
        found.validate(full=True)
        written_by_pyarrow(by_pyarrow, table)
        assert pq.read_schema(one) == pq.read_schema(by_pyarrow)
        sums = [duckdb.sql(f"SELECT sum(hash(COLUMNS(*))) FROM read_parquet('{path}')") for path in (one, by_pyarrow)]
        assert sums[0].fetchall() == sums[1].fetchall()


@given(st.lists(st.none() | TEXT, min_size=1, max_size=400), st.booleans())
@settings(deadline=None, max_examples=25)
def test_text_has_the_same_bytes_as_text_and_as_numbers_of_values(texts, distinct):
    rows = ROWS_PER_GROUP + 100
    drawn = pa.array(texts, pa.string()).take(pa.array(np.random.default_rng(1).integers(0, len(texts), rows)))
    plain = pc.binary_join_element_wise(drawn, pa.array(map(str, range(rows))), "-") if distinct else drawn
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        write_table(one, pa.table({"text": plain}))
        write_table(other, pa.table({"text": plain.dictionary_encode()}))
        assert one.read_bytes() == other.read_bytes()
        assert pq.read_table(one)["text"].combine_chunks() == plain
        assert read_coded(one, ["text"])["text"].cast(pa.string()).combine_chunks() == plain
        chunk = pq.read_metadata(one).row_group(0).column(0)
        assert chunk.has_dictionary_page != mostly_distinct(pa.table({"text": plain}).slice(0, ROWS_PER_GROUP), "text")


def test_what_lies_beneath_nulls_is_not_written():
    bits = pa.py_buffer(np.packbits(np.arange(SMALL) % 3 > 0, bitorder="little"))
    schema = pa.schema([("n", pa.int64())])
    (form,) = column_chunks.forms(schema, ZSTD)
    chunks = []
    for beneath in (0, 7):
        numbers = np.where(np.arange(SMALL) % 3 > 0, np.arange(SMALL), beneath)
        column = pa.Array.from_buffers(pa.int64(), SMALL, [bits, pa.py_buffer(numbers)])
        chunks.append(b"".join(map(bytes, column_chunks.column_chunk(form, column, False, PACKING).data)))
    assert chunks[0] == chunks[1]


@pytest.mark.parametrize("kind", BY_HAND, ids=str)
def test_by_hand_takes_no_more_bytes_than_pyarrow_but_for_levels(tmp_path, kind):
    numbers = np.random.default_rng(2).integers(0, 1000, 2 * ROWS_PER_GROUP)
    if pa.types.is_list(kind):
        column = pa.array([None if n % 9 == 0 else [int(n) % 50] * (n % 4) for n in numbers.tolist()], kind)
    elif kind == pa.bool_():
        column = pa.array([None if n % 9 == 0 else n % 2 == 0 for n in numbers.tolist()], kind)
    else:
        column = pc.if_else(pa.array(numbers % 9 == 0), None, pa.array(numbers).cast(WIDE.get(kind, kind)).cast(kind))
    table = pa.table({"c": column})
    write_parquet(tmp_path / "hand", table.schema, [table])
    written_by_pyarrow(tmp_path / "pyarrow", table)
    assert pq.read_table(tmp_path / "hand") == table
    assert (tmp_path / "hand").stat().st_size <= 1.2 * (tmp_path / "pyarrow").stat().st_size


def test_what_only_pyarrow_can_write_is_left_to_it(monkeypatch):
    def written(column: pa.Array, coded: bool = False, nullable: bool = True) -> bool:
        (form,) = column_chunks.forms(pa.schema([pa.field("c", column.type, nullable)]), ZSTD)
        return form is not None and column_chunks.column_chunk(form, column, coded, PACKING) is not None

    assert written(pa.array(["a", None])) and written(pa.array(["a", None]), True)
    assert not any(written(pa.array([None], kind)) for kind in BY_PYARROW)
    assert not written(pa.array([1]), nullable=False)
    assert written(pa.array([[1], [], None])) and not written(pa.array([[1, None]]))
    assert not written(pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(["a", None])), True)
    monkeypatch.setattr(column_chunks, "_LONGEST", 9)
    monkeypatch.setattr(column_chunks, "_NUMBERED", 2)
    assert (
        written(pa.array(["a", None])) and not written(pa.array(["abcdef"])) and not written(pa.array(["abcdef"]), True)
    )
    assert written(pa.array([[1]])) and not written(pa.array([[1, 2]]))
    assert written(pa.array(["", "b"]), True) and not written(pa.array(["", "b", "c"]), True)


def test_a_large_artifact_that_mixes_both_is_read_back_in_order(tmp_path):
    rows = SMALL + 1
    table = pa.table({
        "a": pa.array([[str(i)] for i in range(rows)]),
        "b": pa.array(range(rows)),
        "c": pa.array([{"x": i, "y": [i]} for i in range(rows)]),
        "d": pa.array([None] * rows, pa.string()),
    })  # fmt: skip
    write_parquet(tmp_path / "mixed", table.schema, [table])
    assert pq.read_table(tmp_path / "mixed").to_pydict() == table.to_pydict()


def test_a_column_in_pieces_is_written_whole():
    """As text of more than two gigabytes is, which no array of Arrow holds."""
    texts = pa.chunked_array([["a", "b"], ["c"]])
    table = pa.table({"text": texts, "n": pa.chunked_array([[1, 2, 3]])})
    written = column_chunks.forms(table.schema, ZSTD)
    chunks = artifact_writer._chunks(table, written, artifact_encodings(table.schema, table), PACKING)
    out = io.BytesIO()
    file = Assembled(out, joined([(name, form_of(table.schema)) for name in table.column_names]))
    file.add(chunks, 3)
    file.finish()
    assert pq.read_table(out) == table
