"""The file of means: what is written is read, by row group."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daedalus.enrich.means_file import Means, MeansFile, write_means


def group(index, values, dtype, unusable=None) -> Means:
    return Means(np.array(index, np.int32), np.array(values, dtype).reshape(-1, 3), unusable)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_is_read(tmp_path, dtype):
    one = group([0, -1, 0, 1], [[1.5, -0.0, np.nan], [np.inf, 2, 3]], dtype)
    none = group([-1, -1], [], dtype, pa.array([None, -1]))
    path = tmp_path / "means"
    assert write_means(path, [one, none, one], dtype) == 10
    with MeansFile(path) as file:
        assert (file.groups, file.rows, file.dtype) == (3, 10, dtype)
        for number, wanted in enumerate([one, none, one]):
            found = file.group(number)
            assert found.index.tolist() == wanted.index.tolist()
            assert found.values.tobytes() == wanted.values.tobytes()
            assert found.values.dtype == dtype
            assert found.unusable is wanted.unusable or found.unusable.equals(wanted.unusable)
    shown = pq.read_table(path)["value"].to_pylist()  # any reader has the bytes
    assert shown[:4] == [one.values[0].tobytes(), None, one.values[0].tobytes(), one.values[1].tobytes()]


def test_no_rows_and_no_components(tmp_path):
    assert write_means(tmp_path / "none", []) == 0
    with MeansFile(tmp_path / "none") as file:
        assert (file.groups, file.rows) == (0, 0)
    bare = Means(np.array([0, -1, 0], np.int32), np.zeros((1, 0), np.float32))
    write_means(tmp_path / "bare", [bare])
    with MeansFile(tmp_path / "bare") as file:
        assert file.group(0).index.tolist() == [0, -1, 0]
        assert file.group(0).values.shape == (1, 0)


def test_equal_values_are_stored_once_in_a_row_group(tmp_path):
    twice = group([0, 1, 2], [[1, 2, 3], [4, 5, 6], [1, 2, 3]], "float32")
    write_means(tmp_path / "means", [twice])
    with MeansFile(tmp_path / "means") as file:
        found = file.group(0)
        assert found.index.tolist() == [0, 1, 0]
        assert found.values.tolist() == [[1, 2, 3], [4, 5, 6]]
