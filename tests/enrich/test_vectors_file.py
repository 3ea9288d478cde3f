"""A day's vectors come back as they were written, whole or one by one, and the file says which are usable."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from daedalus.enrich import vectors_file
from daedalus.enrich.vectors_file import NO_VECTOR, VectorsFile, usual_length, write_vectors
from daedalus.tables.held import HELD


def written(path, count, dim, dtype, seed=1):
    """(ids, lengths, the usable vectors) of a new file."""
    random = np.random.default_rng(seed)
    ids = np.sort(random.choice(10**6, count, replace=False)) - 1000
    lengths = random.choice([dim, dim, dim, dim + 1, -1 - dim, NO_VECTOR], count)
    vectors = random.standard_normal((int((lengths == dim).sum()), dim)).astype(dtype)
    write_vectors(path, ids, lengths, dtype, [vectors[:3], vectors[3:3], vectors[3:]])
    return ids, lengths, vectors


@pytest.mark.parametrize("each", [0, 1 << 30])
@pytest.mark.parametrize(("dim", "dtype", "rows"), [(3, "float32", 7), (768, "float16", 1 << 14), (1, "float64", 64)])
def test_what_is_written_is_read(tmp_path, monkeypatch, each, dim, dtype, rows):
    monkeypatch.setattr(HELD, "each", each)
    monkeypatch.setattr(vectors_file, "_GROUP_ROWS", rows)
    ids, lengths, vectors = written(tmp_path / "v", 300, dim, dtype)
    usable = lengths == dim
    with VectorsFile(tmp_path / "v") as file:
        assert file.dim == dim and file.dtype == dtype and (file.usable == usable).all()
        assert (file.ids == ids).all() and (file.lengths == lengths).all()
        found = file.find(np.array([*ids, 10**9, -(10**9)]))
        assert found.dtype == np.int32 and found[-2:].tolist() == [-1, -1]
        assert (found[:-2] == np.where(usable, np.arange(300), np.where(lengths == NO_VECTOR, -1, -2))).all()
        order = np.random.default_rng(2).permutation(np.flatnonzero(usable))
        taken = file.take(np.concatenate([order, order[:5]]))
        assert taken.dtype == dtype
        assert taken.tobytes() == vectors[np.searchsorted(np.flatnonzero(usable), [*order, *order[:5]])].tobytes()
        assert file.take(order[:0]).shape == (0, dim)


def test_other_readers_see_the_bytes_of_each_vector(tmp_path):
    ids, lengths, vectors = written(tmp_path / "v", 50, 4, "float64")
    rows = pq.read_table(tmp_path / "v").to_pylist()
    assert [row["id"] for row in rows] == ids.tolist()
    assert [row["vector"] for row in rows if row["vector"] is not None] == [vector.tobytes() for vector in vectors]
    assert [row["length"] for row in rows] == [None if one == NO_VECTOR else one for one in lengths.tolist()]


def test_rows_of_a_group_share_one_page(tmp_path):
    """Values are read by their position, which one head before them in the file would shift."""
    count = vectors_file._GROUP_ROWS + 5
    write_vectors(tmp_path / "v", np.arange(count), np.full(count, 1), "float16", [np.ones((count, 1), np.float16)])
    footer = pq.read_metadata(tmp_path / "v")
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    assert [group.num_rows for group in groups] == [count - 5, 5]
    for group in groups:
        size = group.column(2).total_compressed_size - 2 * group.num_rows - group.num_rows // 8
        assert 0 < size < 40 and group.column(2).compression == "UNCOMPRESSED"


@pytest.mark.parametrize("lengths", [[], [NO_VECTOR] * 2, [-3, -3], [0, 0], [0, NO_VECTOR, 5]])
def test_files_without_vectors(tmp_path, lengths):
    whole = np.array(lengths, np.int64)
    blocks = [np.empty((1, 0), np.float32)] if 0 in lengths else []
    write_vectors(tmp_path / "v", np.arange(len(lengths)), whole, "float32", blocks)
    with VectorsFile(tmp_path / "v") as file:
        assert file.dim == 0 and file.dtype == "float32" and file.lengths.tolist() == lengths
        assert file.find(np.arange(len(lengths))).tolist() == [
            i if one == 0 else -1 if one == NO_VECTOR else -2 for i, one in enumerate(lengths)
        ]
        assert file.take(np.flatnonzero(file.usable)).shape == file.whole.shape == (lengths.count(0), 0)
        assert file.count == lengths.count(0)


def test_the_usual_length_is_the_commonest_and_the_smaller_of_equals():
    for lengths, usual in (([3, 2, 3], 3), ([3, 2], 2), ([-4, -4, 2], 2), ([-4], 0), ([], 0), ([NO_VECTOR, 1], 1)):
        assert usual_length(np.array(lengths, np.int64)) == usual
