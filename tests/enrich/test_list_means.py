"""Means of lists that rolling wrote: the same whatever memory and threads, and what is not a number's business."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from test_means import expected

from daedalus.base.errors import DayError
from daedalus.enrich import list_means
from daedalus.enrich.list_means import ListMeans, write_list_means
from daedalus.enrich.means_file import MeansFile
from daedalus.parquet.list_writer import Lists
from daedalus.tables import side_by_side
from daedalus.tables.held import HELD
from daedalus.windows.windows_file import write_windows

IDS = 40
NONE, BAD = {7, 11}, {13}  # ids without a vector, and with one that is not usable


class Vectors:
    """Stands in for a VectorsFile: the vector of id i is row i."""

    def __init__(self, dtype: str, dim: int = 4) -> None:
        self.all = np.random.default_rng(1).normal(size=(IDS, dim)).astype(dtype)
        self.dim, self.dtype, self.taken = dim, self.all.dtype, []
        self.count, self.ranks = IDS, np.arange(IDS)

    @property
    def whole(self) -> np.ndarray:
        self.taken.append(IDS)
        return self.all

    def find(self, ids: np.ndarray) -> np.ndarray:
        marks = np.where(np.isin(ids, sorted(NONE)), -1, np.where(np.isin(ids, sorted(BAD)), -2, ids))
        return np.where((ids < 0) | (ids >= IDS), -1, marks).astype(np.int32)

    def take(self, positions: np.ndarray) -> np.ndarray:
        self.taken.append(len(positions))
        return self.all[positions]


def rows_of_users(rows: int) -> list[list[int]]:
    """Lists of which many are those of the row before, or share most of it; some are empty, or only of id 7."""
    random, found = np.random.default_rng(2), []
    items: list[int] = []
    for row in range(rows):
        if row % 9 == 0:
            items = [[], [7], [7, 3, 7]][random.integers(3)]
        elif row % 3 == 0:
            items = [int(random.integers(IDS + 2)), *items][:6]
        found.append(items)
    return found


def write_lists(path, rows: list[list[int]], cuts: list[int], kind=None) -> None:
    """An artifact of two windows, `short` (two items fewer, if there are) and `long`, in row groups."""
    kind = kind or pa.int64()

    def groups():
        for begin, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            some = rows[begin:end]
            sizes = np.array([(max(len(r) - 2, 0), len(r)) for r in some], np.int64)
            values = sorted({i for r in some for i in r}) or [0]
            codes = np.array([values.index(i) for r in some for i in r], np.int32)
            yield Lists(codes, np.cumsum(sizes[:, 1]) - sizes[:, 1], sizes, pa.array(values).cast(kind))

    write_windows(
        path, pa.schema([(name, pa.list_(pa.field("element", kind))) for name in ("short", "long")]), groups()
    )


@pytest.fixture(params=["held", "read"])
def memory(request, monkeypatch):
    """Lists are held, or read from their file."""
    if request.param == "read":
        monkeypatch.setattr(HELD, "takes", lambda size: False)
    else:
        HELD.limit(None, 1)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("pool", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("column", "limit"), [("short", None), ("long", 1), ("long", 3), ("long", None)])
def test_means_of_a_column_of_lists(tmp_path, memory, dtype, pool, column, limit):
    rows, vectors = rows_of_users(90), Vectors(pool)
    write_lists(tmp_path / "lists", rows, [24, 48])
    assert write_list_means(ListMeans(column, limit, dtype), tmp_path / "lists", vectors, tmp_path / "means") == 90
    with MeansFile(tmp_path / "means") as file:
        found = [file.group(i) for i in range(file.groups)]
    for begin, group in zip([0, 24, 48], found, strict=True):
        for at, number in enumerate(group.index):
            row = rows[begin + at]
            items = (row[: max(len(row) - 2, 0)] if column == "short" else row)[:limit]
            bad = [i for i in items if i in BAD]
            assert (group.unusable[at].as_py() if group.unusable is not None else None) == (bad[0] if bad else None)
            codes = [-2 if i in BAD else -1 if i in NONE or i >= IDS else i for i in items]
            bits = expected(vectors.all, codes)
            assert (number < 0) == (bits is None)
            if bits is not None:
                mean = np.array(bits, np.uint32).view(np.float32).astype(dtype)
                assert group.values[number].tobytes() == mean.tobytes()
        assert all(one.tobytes() != other.tobytes() for one, other in pairwise(group.values))


def test_the_bytes_are_the_same_in_slices_and_with_threads(tmp_path, monkeypatch):
    rows, entry = rows_of_users(90), ListMeans("long", 5, "float32")
    write_lists(tmp_path / "lists", rows, [24, 48])
    whole, sliced = Vectors("float32"), Vectors("float32")
    write_list_means(entry, tmp_path / "lists", whole, tmp_path / "whole")
    assert whole.taken == [IDS]  # once a file
    monkeypatch.setattr(list_means, "_LEAST", 5 * 4 * 8)  # five vectors
    monkeypatch.setattr(HELD, "each", 0)
    monkeypatch.setattr(HELD, "workers", 2)
    monkeypatch.setattr(side_by_side, "_ROWS", 1)
    write_list_means(entry, tmp_path / "lists", sliced, tmp_path / "sliced")
    assert max(sliced.taken) <= 5
    assert (tmp_path / "sliced").read_bytes() == (tmp_path / "whole").read_bytes()


def test_vectors_are_prepared_anew_for_longer_lists(tmp_path, monkeypatch):
    rows, entry = [[1], [2, 3], [4, 5, 6, 5, 4], [1, 2, 3], [2]], ListMeans("long", None, "float32")
    write_lists(tmp_path / "lists", rows, [1, 2, 3])
    write_list_means(entry, tmp_path / "lists", Vectors("float32"), tmp_path / "usual")
    monkeypatch.setattr(list_means, "_USUAL", 1)
    anew = Vectors("float32")
    write_list_means(entry, tmp_path / "lists", anew, tmp_path / "anew")
    assert len(anew.taken) == 2  # for up to 2 items, and for up to 8
    assert (tmp_path / "anew").read_bytes() == (tmp_path / "usual").read_bytes()


def test_ids_of_other_types(tmp_path):
    rows, entry = [[3, 5], [5]], ListMeans("long", None, "float32")
    write_lists(tmp_path / "int64", rows, [])
    write_list_means(entry, tmp_path / "int64", Vectors("float32"), tmp_path / "means")
    for kind in (pa.int32(), pa.uint64(), pa.int8()):
        write_lists(tmp_path / str(kind), rows, [], kind)
        write_list_means(entry, tmp_path / str(kind), Vectors("float32"), tmp_path / "other")
        assert (tmp_path / "other").read_bytes() == (tmp_path / "means").read_bytes()
    write_lists(tmp_path / "text", rows, [], pa.string())
    with pytest.raises(DayError, match="a list that holds no ids"):
        write_list_means(entry, tmp_path / "text", Vectors("float32"), tmp_path / "none")


def test_a_day_without_rows(tmp_path):
    schema = pa.schema([("long", pa.list_(pa.field("element", pa.int64())))])
    write_windows(tmp_path / "lists", schema, [])
    assert (
        write_list_means(ListMeans("long", 2, "float32"), tmp_path / "lists", Vectors("float32"), tmp_path / "m") == 0
    )
