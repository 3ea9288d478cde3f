"""What `load` gives to pandas, Ray and Hugging Face is what it gives to pyarrow; each says which extra it needs."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from drawn import config_with, published

import daedalus
from daedalus.loading.published import find_published

FIRST = dt.date(2026, 2, 1)
BIG = 2**53 + 1  # no float holds it
COLUMNS = ["dt", "number", "list", "user_id"]


def output(root):
    """Two days of two parts; of the first one a column is narrower, and one is missing."""

    def rows(first: int, kind: pa.DataType) -> pa.Table:
        return pa.table({"user_id": pa.array(range(first, first + 20), kind), "event": ["like", "click"] * 10,
                         "list": [[n] * (n % 3) for n in range(20)]})  # fmt: skip

    now = rows(20, pa.int64()).append_column("number", pa.array([BIG, None] * 10))
    return published(root, {FIRST: rows(0, pa.int32()), FIRST + dt.timedelta(1): now})


@pytest.fixture
def options(tmp_path):
    return {"output_root": output(tmp_path), "config": config_with(tmp_path, by="user", parts={"train": 0.6})}


@pytest.mark.parametrize("split", [None, "train"])
def test_pandas_keeps_numbers_beside_null_and_lists(options, split):
    pandas = pytest.importorskip("pandas", reason="the extra pandas is not installed")
    wanted = daedalus.load(None, COLUMNS, split=split, **options).to_table()
    found = daedalus.load(None, COLUMNS, split=split, to="pandas", **options)
    assert (
        isinstance(found, pandas.DataFrame) and list(found.columns) == COLUMNS and BIG in wanted["number"].to_pylist()
    )
    assert pa.Table.from_pandas(found, preserve_index=False).to_pydict() == wanted.to_pydict()
    assert found["number"].max() == BIG and isinstance(found.index, pandas.RangeIndex)


@pytest.mark.parametrize("split", [None, "train"])
def test_hugging_face_reads_part_by_part(options, split):
    datasets = pytest.importorskip("datasets", reason="the extra huggingface is not installed")
    wanted = daedalus.load(None, COLUMNS, split=split, **options).to_table().to_pylist()
    found = daedalus.load(None, COLUMNS, split=split, to="huggingface", **options)
    assert isinstance(found, datasets.IterableDataset) and list(found.features) == COLUMNS
    assert list(found) == list(found) == wanted and found.num_shards == 4
    assert [row for worker in range(2) for row in found.shard(2, worker)] == wanted
    resumed = daedalus.load(None, COLUMNS, split=split, to="huggingface", **options)
    rows = iter(found)
    before = [next(rows) for _ in range(7)]
    resumed.load_state_dict(found.state_dict())
    assert before + list(resumed) == wanted


def test_nothing_is_read_before_rows_are_asked_for(options):
    pytest.importorskip("datasets", reason="the extra huggingface is not installed")
    found = [daedalus.load(None, ["event"], to=to, **options) for to in ("huggingface", "polars")]
    for part in options["output_root"].glob("dt=*/*.parquet"):
        part.unlink()
    assert found
    with pytest.raises(Exception, match="part-0-0"):
        next(iter(found[0]))


def test_ray_reads_part_by_part(options):
    """Starts a Ray of its own, of one processor, which takes some seconds."""
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    pytest.importorskip("ray.data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
        try:
            ray.data.DataContext.get_current().enable_progress_bars = False
            for split in (None, "train"):
                wanted = daedalus.load(None, COLUMNS, split=split, **options).to_table().to_pylist()
                found = daedalus.load(None, COLUMNS, split=split, to="ray", **options)
                assert isinstance(found, ray.data.Dataset)
                assert sorted(found.take_all(), key=lambda row: row["user_id"]) == wanted
        finally:
            ray.shutdown()


def test_parts_have_the_columns_and_types_of_all(tmp_path):
    found = find_published(None, output_root=output(tmp_path))
    assert found.of_parts(found.paths[:1]).dataset(["user_id", "number"]).to_table().to_pydict() == {
        "user_id": list(range(10)), "number": [None] * 10,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("call", "extra"),
    [
        (lambda: daedalus.load(to="polars"), "polars"), (lambda: daedalus.load(to="pandas"), "pandas"),
        (lambda: daedalus.load(to="ray"), "ray"), (lambda: daedalus.load(to="huggingface"), "huggingface"),
        (lambda: daedalus.lightgbm_dataset(features=["x"], labels={"like": 1}), "lightgbm"),
        (lambda: daedalus.xgboost_dmatrix(features=["x"], labels={"like": 1}), "xgboost"),
    ],
)  # fmt: skip
def test_a_missing_extra_is_named(monkeypatch, call, extra):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(daedalus.DaedalusError, match=rf"is not installed.*pip install 'daedalus-skeleton\[{extra}\]'"):
        call()
