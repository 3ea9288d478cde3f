"""The file of means: what is written is read, by row group, and its bytes follow from the values of rows."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daedalus.enrich.means_file import Means, MeansFile, write_means


def group(index, values, dtype="float32", unusable=None) -> Means:
    return Means(np.array(index, np.int32), np.array(values, dtype).reshape(-1, 3), unusable)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_is_read(tmp_path, dtype):
    one = group([0, -1, 0, 1], [[1.5, -0.0, np.nan], [np.inf, 2, 3]], dtype)
    none = group([-1, -1], [], dtype, pa.array([None, -1]))
    bare = group([], [], dtype)
    path = tmp_path / "means"
    assert write_means(path, [one, none, bare, one], 3, dtype) == 10
    with MeansFile(path) as file:
        assert (file.groups, file.rows, file.dim, file.dtype) == (4, 10, 3, dtype)
        for number, wanted in enumerate([one, none, bare, one]):
            found = file.group(number)
            assert found.index.dtype == np.int32 and found.index.tolist() == wanted.index.tolist()
            assert found.values.tobytes() == wanted.values.tobytes()
            assert found.values.dtype == dtype and found.values.shape == wanted.values.shape
            assert found.unusable is wanted.unusable or found.unusable.equals(wanted.unusable)


def test_any_reader_has_the_bytes_where_a_mean_begins(tmp_path):
    some = group([-1, 0, -1, 0, 1, 1, -1], [[1, 2, 3], [4, 5, 6]], unusable=pa.array([7, *[None] * 6]))
    path = tmp_path / "means"
    write_means(path, [some, some], 3)
    one, other = (value.tobytes() for value in some.values)
    shown = {
        "begins": [None, True, None, False, True, False, None],
        "unusable": [7, *[None] * 6],
        "value": [None, one, None, None, other, None, None],
    }
    for table in (pq.read_table(path), duckdb.read_parquet(str(path)).to_arrow_table()):
        assert table.to_pydict() == {name: 2 * values for name, values in shown.items()}
    chunk = pq.read_metadata(path).row_group(0).column(2)
    assert (chunk.path_in_schema, chunk.compression, chunk.num_values) == ("value", "UNCOMPRESSED", 7)


def test_no_rows_and_no_components(tmp_path):
    assert write_means(tmp_path / "none", [], 3) == 0
    with MeansFile(tmp_path / "none") as file:
        assert (file.groups, file.rows) == (0, 0)
    assert pq.read_table(tmp_path / "none").num_rows == 0
    bare = Means(np.array([0, -1, 0], np.int32), np.zeros((1, 0), np.float32))
    write_means(tmp_path / "bare", [bare], 0)
    with MeansFile(tmp_path / "bare") as file:
        assert file.group(0).index.tolist() == [0, -1, 0]
        assert file.group(0).values.shape == (1, 0)


def test_the_bytes_do_not_depend_on_how_means_are_numbered(tmp_path):
    """A slice of the rows begins with means of its own, though they be those of the row before."""
    rows = [[1, 2, 3], None, [1, 2, 3], [1, 2, 4], [1, 2, 3], [1, 2, 3], [0.0, 0, 0], [-0.0, 0, 0], [np.nan, 1, 1]]
    normal = group([0, -1, 0, 1, 2, 2, 3, 4, 5], [*rows[2:5], *rows[6:]])
    of_each = group([0, -1, 1, 2, 3, 4, 5, 6, 7], [row for row in rows if row])
    backwards = group([7, -1, 6, 5, 4, 3, 2, 1, 0], [row for row in rows[::-1] if row])
    distinct = group([0, -1, 0, 1, 0, 0, 2, 3, 4], [rows[0], rows[3], *rows[6:]])
    with_more = group([2, -1, 2, 0, 2, 2, 3, 5, 4], [rows[3], [9, 9, 9], rows[0], rows[6], rows[8], rows[7]])
    written = []
    for one in (normal, of_each, backwards, distinct, with_more):
        write_means(tmp_path / "means", [one, one], 3)
        written.append((tmp_path / "means").read_bytes())
    assert written == written[:1] * 5
    with MeansFile(tmp_path / "means") as file:
        for number in range(2):
            assert file.group(number).index.tolist() == normal.index.tolist()
            assert file.group(number).values.tobytes() == normal.values.tobytes()
