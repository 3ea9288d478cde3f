"""Splicing columns of aligned files gives the rows that reading and writing them would."""

from __future__ import annotations

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daedalus.parquet.artifact_writer import write_parquet
from daedalus.parquet.splice import Spliced
from daedalus.parquet.thrift import read_struct, write_struct
from daedalus.parquet.writer import ROWS_PER_GROUP

ROWS = 2 * ROWS_PER_GROUP + 1000
COLUMNS = {
    "id": pa.array(range(ROWS)),
    "name": pa.array([None if i % 7 == 0 else f"n{i % 40}" for i in range(ROWS)]),
    "values": pa.array([[1] * (i % 3) if i % 5 else None for i in range(ROWS)], pa.list_(pa.int64())),
    "deep": pa.array([[{"a": i, "b": [i]}] for i in range(ROWS)]),
    "half": pa.array([i / 2 for i in range(ROWS)]),
    "odd": pa.array([bool(i % 2) for i in range(ROWS)]),
}
SOURCES = {"one": ["values", "id"], "two": ["deep", "name", "odd"], "three": ["half"]}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for source, names in SOURCES.items():
        table = pa.table({name: COLUMNS[name] for name in names})
        write_parquet(folder / source, table.schema, [table])
    return {source: folder / source for source in SOURCES}


def test_a_footer_is_written_back_as_it_was(sources):
    data = sources["two"].read_bytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    assert write_struct(read_struct(footer)) == footer


@pytest.mark.parametrize(
    ("begin", "end"),
    [(0, ROWS), (0, 0), (0, 1), (ROWS - 1, ROWS), (0, ROWS_PER_GROUP), (5, ROWS_PER_GROUP + 5), (ROWS_PER_GROUP, ROWS)],
)
def test_spliced_columns_read_as_they_were(sources, tmp_path, begin, end):
    columns = [(name, source) for name in COLUMNS for source in SOURCES if name in SOURCES[source]]
    with Spliced(columns, sources) as whole:
        assert whole.rows == ROWS
        whole.write(tmp_path / "spliced.parquet", begin, end)
    expected = pa.table(COLUMNS).slice(begin, end - begin)
    assert pq.read_table(tmp_path / "spliced.parquet").to_pydict() == expected.to_pydict()
    assert pl.read_parquet(tmp_path / "spliced.parquet").to_dict(as_series=False) == expected.to_pydict()
    counted = duckdb.sql(f"SELECT count(*), sum(id), sum(len(values)) FROM '{tmp_path}/spliced.parquet'").fetchall()[0]
    lengths = [len(v) for v in expected["values"].to_pylist() if v is not None]
    assert counted == (end - begin, sum(range(begin, end)) if end > begin else None, sum(lengths) if lengths else None)


def test_whole_groups_are_copied_as_they_lie(sources, tmp_path):
    with Spliced([("values", "one")], sources) as whole:
        whole.write(tmp_path / "spliced.parquet", 0, ROWS)
    old, new = (pq.read_metadata(path) for path in (sources["one"], tmp_path / "spliced.parquet"))
    for group in range(old.num_row_groups):
        before, after = old.row_group(group).column(0), new.row_group(group).column(0)
        assert before.path_in_schema == after.path_in_schema
        assert before.total_compressed_size == after.total_compressed_size


def test_files_that_do_not_align_are_refused(sources, tmp_path):
    short = pa.table({"x": [1, 2]})
    write_parquet(tmp_path / "short", short.schema, [short])
    with pytest.raises(ValueError, match="do not align"):
        Spliced([("id", "one"), ("x", "short")], {**sources, "short": tmp_path / "short"})
