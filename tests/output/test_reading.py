"""`daedalus.load`: the same columns, types and rows for each reader, wherever the output lies."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import daedalus
from daedalus.objectstore.part_list import manifest_days

DAYS = [dt.date(2026, 2, 1), dt.date(2026, 2, 2)]
READERS = ("pyarrow", "polars", "duckdb")
ROOTS = ["out", "env=prod/out", "event=x/out", "user_id=7/out", "dt=2020-01-01/out", "a[b]*c?/o'ut", "dt=2026-02-01"]


def table(found) -> pa.Table:
    if isinstance(found, ds.Dataset):
        return found.to_table()
    return found.collect().to_arrow() if isinstance(found, pl.LazyFrame) else found.to_arrow_table()


def output(root, *tables):
    """Partitions of DAYS, one a table, in two parts each, of which the second is named past the tenth."""
    for day, rows in zip(DAYS, tables, strict=True):
        folder = root / f"dt={day}"
        folder.mkdir(parents=True)
        pq.write_table(rows.slice(0, 1), folder / "part-2-0.parquet")
        pq.write_table(rows.slice(1), folder / "part-10-0.parquet")
    pq.write_table(pa.table({"feed_session": ["s"], "qid": [1]}), root / "qid_map.parquet")


@pytest.mark.parametrize("to", READERS)
@pytest.mark.parametrize("folder", ROOTS)
def test_only_the_day_is_taken_from_folders(tmp_path, monkeypatch, folder, to):
    monkeypatch.chdir(tmp_path)
    rows = pa.table({"user_id": [1, 2], "event": ["like", "click"]})
    output(tmp_path / folder, rows, rows)
    for root in (folder, tmp_path / folder):
        found = table(daedalus.load(output_root=root, to=to))
        assert found.schema.names == ["user_id", "event", "dt"] and found.schema.field("dt").type == pa.date32()
        assert found.to_pydict() == {
            "user_id": [1, 2] * 2, "event": ["like", "click"] * 2, "dt": [DAYS[0]] * 2 + [DAYS[1]] * 2,
        }  # fmt: skip
        assert table(daedalus.load("2026-02-02", ["event"], output_root=root, to=to)).num_rows == 2


@pytest.mark.parametrize("to", READERS)
@pytest.mark.parametrize("columns", [["event"], ["dt", "user_id"], ["event", "user_id"], ["dt"]])
def test_the_columns_asked_for_are_all_there_is_in_that_order(tmp_path, columns, to):
    rows = pa.table({"user_id": [1, 2], "event": ["like", "click"]})
    output(tmp_path / "out", rows, rows)
    found = daedalus.load(None, columns, output_root=tmp_path / "out", to=to)
    assert table(found).column_names == columns
    if to == "pyarrow":
        assert found.schema.names == columns
        assert found.to_table(filter=ds.field(columns[0]).is_valid()).num_rows == 4


@pytest.mark.parametrize("to", READERS)
def test_columns_have_the_types_of_the_last_partition(tmp_path, to):
    now = pa.schema([("i", pa.int64()), ("f", pa.float64()), ("n", pa.float64()), ("l", pa.list_(pa.int64())),
                     ("new", pa.string())])  # fmt: skip
    rows = [[1, -2], [0.5, float("inf")], [3, 4], [[1, 2], []]]
    old = pa.schema([("gone", pa.int8()), ("f", pa.float32()), ("i", pa.int32()), ("n", pa.int32()),
                     ("l", pa.list_(pa.int32()))])  # fmt: skip
    before = pa.table([[7, 8], rows[1], rows[0], rows[2], rows[3]], schema=old)
    output(tmp_path / "out", before, pa.table([*rows, ["x", None]], schema=now))
    found = table(daedalus.load(output_root=tmp_path / "out", to=to))
    kinds = [str(f.type).replace("large_", "").replace("string_view", "string") for f in found.schema]
    assert [kind.partition("<")[0] for kind in kinds] == ["int64", "double", "double", "list", "string", "date32[day]"]
    assert found.schema.field("l").type.value_type == pa.int64()
    assert found.drop_columns("dt").to_pydict() == {
        "i": rows[0] * 2, "f": rows[1] * 2, "n": [3.0, 4.0] * 2, "l": rows[3] * 2, "new": [None, None, "x", None],
    }  # fmt: skip


@pytest.mark.parametrize("to", READERS)
def test_what_is_no_partition_of_ours_is_not_read(tmp_path, to):
    rows = pa.table({"user_id": [1, 2]})
    output(tmp_path / "out", rows, rows)
    for name in ("dt=2026-02-30", "dt=0000-01-01", "dt=2026-02-0١", "dt=20260203", "dt=2026-02-03.bak", "dt=x"):
        (tmp_path / "out" / name).mkdir()
        pq.write_table(rows, tmp_path / "out" / name / "part-0-0.parquet")
    for name in ("notes.parquet", "part-0.parquet", "part-x-0.parquet", "part-1-0.parquet.parquet", "zzz.parquet"):
        pq.write_table(pa.table({"note": ["x"]}), tmp_path / f"out/dt={DAYS[1]}" / name)
    found = table(daedalus.load(output_root=tmp_path / "out", to=to))
    assert found.to_pydict() == {"user_id": [1, 2] * 2, "dt": [DAYS[0]] * 2 + [DAYS[1]] * 2}


def test_a_manifest_of_a_day_that_there_is_not_is_none():
    assert manifest_days(f"dt=2026-02-{day}/manifest.json" for day in (30, 28)) == {
        "2026-02-28": "dt=2026-02-28/manifest.json"
    }


@pytest.mark.parametrize("to", READERS)
def test_the_day_can_be_asked_for(tmp_path, to):
    rows = pa.table({"user_id": [1, 2]})
    output(tmp_path / "out", rows, rows)
    found = daedalus.load(output_root=tmp_path / "out", to=to)
    if to == "pyarrow":
        assert found.count_rows(filter=ds.field("dt") == DAYS[1]) == 2
    elif to == "polars":
        assert found.filter(pl.col("dt") == DAYS[1]).collect().height == 2
    else:
        assert found.filter(f"dt = DATE '{DAYS[1]}'").fetchall() == [(1, DAYS[1]), (2, DAYS[1])]
