"""`daedalus.torch`: each tensor has what plain Python finds in the rows, whatever is NULL, empty or missing."""

from __future__ import annotations

import datetime as dt
import math
import os
import warnings
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drawn import config_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts import FIRST, SCHEMA, dirty_days, dirty_rows, write_days

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from daedalus import load  # noqa: E402
from daedalus.torch import TrainingDataset  # noqa: E402

EPOCH = dt.date(1970, 1, 1)
GAINS = {"like": 1.0, "click": 0.25, "reco_artwork_view": 0}


def collected(data) -> dict:
    """All batches as one: values by name, lists put together from what stands for them."""
    found: dict[str, list] = {}
    for batch in data:
        for name, tensor in batch.items():
            if name + "__offsets" in batch:
                edges = batch[name + "__offsets"].tolist()
                assert edges[0] == 0 and edges[-1] == len(tensor)
                values = [tensor[a:b].tolist() for a, b in pairwise(edges)]
            elif name.endswith("__offsets"):
                continue
            else:
                values = tensor.tolist()
            found.setdefault(name, []).extend(values)
    return found


def same(found: list, expected: list) -> bool:
    """Equal, NaN to NaN and -0.0 not to 0.0."""
    return repr(found) == repr(expected)


def expected_numbers(rows, name, convert=lambda value: value):
    return [0 if row[name] is None else convert(row[name]) for row in rows], [row[name] is not None for row in rows]


def check(found: dict, rows: list[dict], length: int, floats: int = 3) -> None:
    """All columns of SCHEMA but `event`, of `ids` padded to `length` and the other lists ragged.

    `floats` is the length of `vector`: 0 if no row of the output has one, which nobody knows the length of then.
    """
    nan = math.nan
    for name in ("row", "user_id", "qid", "small"):
        assert (found[name], found[name + "__valid"]) == expected_numbers(rows, name), name
    since = dt.datetime(1970, 1, 1)
    assert (found["event_timestamp"], found["event_timestamp__valid"]) == expected_numbers(
        rows, "event_timestamp", lambda value: (value - since) // dt.timedelta(microseconds=1)
    )
    assert (found["born"], found["born__valid"]) == expected_numbers(rows, "born", lambda day: (day - EPOCH).days)
    assert same(found["seen"], [bool(row["seen"]) for row in rows])
    assert found["seen__valid"] == [row["seen"] is not None for row in rows]
    for name in ("score", "half"):
        assert same(found[name], [nan if row[name] is None else row[name] for row in rows]), name
        assert name + "__valid" not in found
    assert found["dt"] == [(row["dt"] - EPOCH).days for row in rows] and "dt__valid" not in found
    lists = {
        name: [[x for x in row[name] or [] if x is not None] for row in rows] for name in ("ids", "marks", "flags")
    }
    assert same(found["marks"], lists["marks"]) and same(found["flags"], lists["flags"])
    assert found["ids"] == [(ids + [-1] * length)[:length] for ids in lists["ids"]]
    assert found["ids__lengths"] == [min(len(ids), length) for ids in lists["ids"]]
    for name, count in (("vector", floats), ("pair", 2)):
        assert found[name] == [row[name] or [0.0] * count for row in rows], name
        assert found[name + "__valid"] == [row[name] is not None for row in rows], name


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_value_is_that_of_the_rows(tmp_path, shuffle):
    rows = dirty_days(tmp_path, part_rows=25, group_rows=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = TrainingDataset(output_root=tmp_path, pad={"ids": 4}, batch_size=16, shuffle=shuffle, buffer=20)
        found = collected(data)
    assert data.rows == len(rows) and len(data) == math.ceil(len(rows) / 16)
    assert "event" not in found and "label" not in found
    check(found, [rows[row] for row in found["row"]], 4)
    assert (found["row"] == sorted(found["row"])) == (not shuffle)
    assert sorted(found["row"]) == list(range(len(rows)))


@settings(max_examples=int(os.environ.get("DAEDA_EXAMPLES", 15)), deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(seed=st.integers(0, 10**6), counts=st.lists(st.integers(0, 30), min_size=1, max_size=3),
       part=st.integers(1, 20), group=st.integers(1, 9), size=st.integers(1, 40), buffer=st.integers(1, 50),
       shuffle=st.booleans(), labels=st.booleans(), length=st.integers(1, 12), streams=st.integers(1, 5))  # fmt: skip
def test_any_dirty_rows_in_any_batches(
    tmp_path_factory, seed, counts, part, group, size, buffer, shuffle, labels, length, streams
):
    root = tmp_path_factory.mktemp("out")
    days = [dirty_rows(count, seed + day, sum(counts[:day])) for day, count in enumerate(counts)]
    rows = write_days(root, [*days, dirty_rows(3, seed, sum(counts))], part, group)  # of the last day there are some
    wanted = [row for row in rows if not labels or row["event"] in GAINS]
    if not wanted:
        return
    data = TrainingDataset(output_root=root, pad={"ids": length}, labels=GAINS if labels else None, batch_size=size,
                           shuffle=shuffle, seed=seed, buffer=buffer, streams=streams)  # fmt: skip
    sizes = [len(batch["row"]) for batch in data]
    assert len(sizes) == len(data) and sizes[:-1] == [size] * (len(sizes) - 1) and sum(sizes) == data.rows
    found = collected(data)
    assert sorted(found["row"]) == [row["row"] for row in wanted]
    given_rows = [rows[row] for row in found["row"]]
    check(found, given_rows, length, 3 if any(row["vector"] for row in rows) else 0)
    assert not labels or found["label"] == [GAINS[row["event"]] for row in given_rows]


def test_labels_are_of_their_events_and_other_rows_are_left_out(tmp_path):
    rows = dirty_days(tmp_path)
    data = TrainingDataset(output_root=tmp_path, columns=["row"], labels=GAINS, batch_size=50)
    batches = list(data)
    assert batches[0]["label"].dtype == torch.float32 and batches[0].keys() == {"row", "row__valid", "label"}
    found = collected(batches)
    wanted = [row for row in rows if row["event"] in GAINS]
    assert found["row"] == [row["row"] for row in wanted]
    assert found["label"] == [GAINS[row["event"]] for row in wanted]
    few = TrainingDataset(output_root=tmp_path, columns=["row"], labels={"like": 3}, batch_size=50)
    assert collected(few)["row"] == [row["row"] for row in rows if row["event"] == "like"]


def test_the_column_of_events_may_have_another_name(tmp_path):
    (tmp_path / f"dt={FIRST}").mkdir()
    pq.write_table(pa.table({"n": [1, 2, 3], "action": ["a", "b", None]}), tmp_path / f"dt={FIRST}/part-0-0.parquet")
    data = TrainingDataset(output_root=tmp_path, labels={"b": 2, "c": 1}, event="action")
    assert collected(data) == {"n": [2], "n__valid": [True], "dt": [(FIRST - EPOCH).days], "label": [2.0]}


def test_a_split_has_the_rows_that_load_gives_and_days_narrow_it(tmp_path):
    shares = {"train": 0.6, "valid": {"share": 0.2, "days": "2026-02-02..2026-02-03"}, "test": 0.2}
    config = config_with(tmp_path, by="user", parts=shares, salt="1")
    rows = dirty_days(tmp_path / "out", part_rows=25, group_rows=10)
    asked = {"output_root": tmp_path / "out", "config": config}
    seen = []
    for part in shares:
        data = TrainingDataset(columns=["row"], split=part, shuffle=True, buffer=8, batch_size=16, **asked)
        found = sorted(collected(data)["row"])
        assert found == load(columns=["row"], split=part, **asked).to_table()["row"].to_pylist()
        assert 0 < data.rows == len(found)
        seen += [rows[row]["user_id"] for row in found]
    assert set(seen) == {row["user_id"] for row in rows} and len(seen) < len(rows)  # valid lacks a day
    days = config_with(tmp_path / "by_day", by="day", parts={"train": "2026-02-01..2026-02-02", "test": "2026-02-03"})
    data = TrainingDataset(columns=["row"], split="test", output_root=tmp_path / "out", config=days)
    assert collected(data)["row"] == [row["row"] for row in rows if row["dt"] == dt.date(2026, 2, 3)]


def test_only_the_columns_asked_for_are_there_and_in_the_types_of_the_column(tmp_path):
    dirty_days(tmp_path)
    names = ["small", "half", "seen", "ids", "vector", "pair", "dt"]
    batch = next(iter(TrainingDataset("2026-02-02", columns=names, output_root=tmp_path, pad={"ids": 2}, batch_size=7)))
    kinds = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in batch.items()}
    assert kinds == {
        "small": (torch.int16, (7,)), "small__valid": (torch.bool, (7,)), "half": (torch.float16, (7,)),
        "seen": (torch.bool, (7,)), "seen__valid": (torch.bool, (7,)), "ids": (torch.int64, (7, 2)),
        "ids__lengths": (torch.int64, (7,)), "vector": (torch.float32, (7, 3)), "vector__valid": (torch.bool, (7,)),
        "pair": (torch.float16, (7, 2)), "pair__valid": (torch.bool, (7,)), "dt": (torch.int32, (7,)),
    }  # fmt: skip
    assert set(batch["dt"].tolist()) == {(dt.date(2026, 2, 2) - EPOCH).days}


def test_older_partitions_have_other_types_and_fewer_columns(tmp_path):
    old = pa.schema([("row", pa.int32()), ("ids", pa.list_(pa.int32()))])
    write_days(tmp_path, [[{"row": 0, "ids": [1, None]}, {"row": 1, "ids": None}]], schema=old)
    folder = tmp_path / "dt=2026-02-02"
    folder.mkdir()
    rows = pa.Table.from_pylist([{"row": 2, "ids": [5], "score": 0.5, "vector": [1.0, 2.0, 3.0]}], SCHEMA)
    pq.write_table(rows.select(["row", "ids", "score", "vector"]), folder / "part-0-0.parquet")
    found = collected(TrainingDataset(output_root=tmp_path))
    assert found["ids"] == [[1], [], [5]] and found["row"] == [0, 1, 2]
    assert same(found["score"], [math.nan, math.nan, 0.5]) and found["vector__valid"] == [False, False, True]
    assert found["vector"][:2] == [[0.0] * 3] * 2


def test_times_of_any_unit_are_microseconds_and_odd_numbers_are_widened(tmp_path):
    moment = dt.datetime(2026, 2, 1, 12, 0, 0, 123000)
    values = {
        "ms": pa.array([moment, None], pa.timestamp("ms")), "ns": pa.array([moment, None], pa.timestamp("ns", "UTC")),
        "u2": pa.array([65535, None], pa.uint16()), "u4": pa.array([2**32 - 1, None], pa.uint32()),
        "price": pa.array([1.25, None]).cast(pa.decimal128(9, 2)),
    }  # fmt: skip
    (tmp_path / f"dt={FIRST}").mkdir()
    pq.write_table(pa.table(values), tmp_path / f"dt={FIRST}/part-0-0.parquet")
    found = collected(TrainingDataset(output_root=tmp_path))
    micros = (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    assert found["ms"] == found["ns"] == [micros, 0] and found["ms__valid"] == [True, False]
    assert found["u2"] == [65535, 0] and found["u4"] == [2**32 - 1, 0] and same(found["price"], [1.25, math.nan])


def test_padding_is_no_id_and_floats_are_padded_with_nan(tmp_path):
    rows = [{"row": 0, "ids": [0, -1], "marks": [0.0], "flags": [True], "vector": [7.0]}]
    write_days(tmp_path, [rows])
    data = TrainingDataset(output_root=tmp_path, pad={"ids": 3, "marks": 2, "flags": 2, "vector": 2, "pair": 1})
    found = collected(data)
    assert found["ids"] == [[0, -1, -1]] and found["ids__lengths"] == [2]
    assert same(found["marks"], [[0.0, math.nan]]) and found["flags"] == [[True, False]]
    assert same(found["vector"], [[7.0, math.nan]]) and found["vector__lengths"] == [1]
    assert same(found["pair"], [[math.nan]]) and found["pair__lengths"] == [0]
    ragged = collected(TrainingDataset(output_root=tmp_path, columns=["vector"], pad={"vector": None}))
    assert ragged == {"vector": [[7.0]]}
