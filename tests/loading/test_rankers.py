"""Rankers' data: the rows, labels, features and query groups of plain Python, which both libraries train on."""

from __future__ import annotations

import datetime as dt
import math
import os
import random
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from drawn import config_with, part_of, published
from hypothesis import given, settings
from hypothesis import strategies as st

import daedalus
from daedalus.base.errors import DaedalusError
from daedalus.loading.labels import label_values
from daedalus.loading.published import find_published
from daedalus.loading.query_groups import Wanted, query_groups

EXAMPLES = int(os.environ.get("DAEDA_EXAMPLES", "60"))
DAY = dt.date(2026, 2, 1)
LABELS = {"view": 0, "click": 1, "like": 2}
FEATURES = ["number", "share", "code", "vector", "flag"]
SCHEMA = pa.schema([("user_id", pa.int64()), ("event", pa.string()), ("number", pa.int32()), ("share", pa.float64()),
                    ("code", pa.int32()), ("vector", pa.list_(pa.float32())), ("flag", pa.bool_()),
                    ("list", pa.list_(pa.int64())), ("text", pa.string()), ("visit", pa.string()),
                    ("qid", pa.int64())])  # fmt: skip


def rows(seed: int, many: int) -> list[dict]:
    """Rows in order of user; their sessions are of several users, and some rows have none."""
    chance = random.Random(seed)
    found = []
    for user in sorted(chance.randrange(60) for _ in range(many)):
        qid = chance.choice([None, *range(user // 2, user // 2 + 3)])
        found.append({
            "user_id": user, "event": chance.choice(["view", "click", "like", "other", None]), "qid": qid,
            "visit": None if qid is None else str(qid), "number": chance.choice([None, chance.randrange(100)]),
            "share": chance.choice([None, float("nan"), chance.random()]), "code": chance.choice([None, 0, 1, 5]),
            "vector": chance.choice([None, [chance.random(), chance.random(), -1.0]]), "list": [1] * (user % 3),
            "flag": chance.choice([None, True, False]), "text": "x",
        })  # fmt: skip
    return found


def world(root, many: int = 300) -> list[dict]:
    """An output of two days; what its rows are."""
    days = {DAY: rows(1, many), DAY + dt.timedelta(1): rows(2, many)}
    published(root, {day: pa.Table.from_pylist(found, SCHEMA) for day, found in days.items()})
    return [row for found in days.values() for row in found]


def expected(found: list[dict]) -> tuple[list[int], list[float], list[list[float]]]:
    """Sizes of groups, labels and features, worked out row by row."""
    kept = sorted((row for row in found if row["qid"] is not None and row["event"] in LABELS), key=lambda r: r["qid"])
    sizes = [sum(row["qid"] == qid for row in kept) for qid in sorted({row["qid"] for row in kept})]

    def number(value: object) -> float:
        return math.nan if value is None else float(np.float32(value))

    features = [[number(row["number"]), number(row["share"]), number(row["code"]),
                 *map(number, row["vector"] or [None] * 3), number(row["flag"])] for row in kept]  # fmt: skip
    return sizes, [LABELS[row["event"]] for row in kept], features


def same(found: object, wanted: list) -> bool:
    return np.array_equal(np.asarray(found, float), np.asarray(wanted, float), equal_nan=True)


def test_groups_labels_and_features_are_those_of_plain_python(tmp_path):
    sizes, labels, features = expected(world(tmp_path))
    found = query_groups(find_published(None, output_root=tmp_path / "out"), Wanted("x", FEATURES, (), LABELS, "event"))
    assert found.sizes.tolist() == sizes and found.labels.tolist() == labels and same(found.features, features)
    assert found.names == ["number", "share", "code", "vector_0", "vector_1", "vector_2", "flag"]
    assert found.features.dtype == found.labels.dtype == np.float32 and len(sizes) > 20


def test_lightgbm_gets_them(tmp_path):
    pytest.importorskip("lightgbm", reason="the extra lightgbm is not installed")
    sizes, labels, features = expected(world(tmp_path))
    data = daedalus.lightgbm_dataset(
        output_root=tmp_path / "out", features=FEATURES, labels=LABELS, categorical=["code"]
    )
    assert same(data.data, features) and same(data.get_label(), labels) and data.get_group().tolist() == sizes
    assert data.categorical_feature == ["code"] and data.feature_name[3] == "vector_0"


def test_xgboost_gets_them(tmp_path):
    xgboost = pytest.importorskip("xgboost", reason="the extra xgboost is not installed")
    sizes, labels, features = expected(world(tmp_path))
    data = daedalus.xgboost_dmatrix(
        output_root=tmp_path / "out", features=FEATURES, labels=LABELS, categorical=["code"]
    )
    assert isinstance(data, xgboost.DMatrix) and same(data.get_label(), labels)
    assert np.diff(data.get_uint_info("group_ptr")).tolist() == sizes
    assert data.feature_types == ["q", "q", "c", "q", "q", "q", "q"] and data.num_row() == len(features)
    kept = data.get_data()  # sparse, without NaN
    assert same(kept.toarray(), [[0 if math.isnan(value) else value for value in row] for row in features])


def test_rankers_train_on_a_part_and_are_judged_by_another(tmp_path):
    lightgbm = pytest.importorskip("lightgbm", reason="the extra lightgbm is not installed")
    xgboost = pytest.importorskip("xgboost", reason="the extra xgboost is not installed")
    parts = {"train": 0.7, "test": 0.3}
    options = {"config": config_with(tmp_path, by="session", parts=parts), "features": FEATURES, "labels": LABELS}
    found = world(tmp_path)
    held_out = [row for row in found if part_of(row["visit"], parts, "") == "test"]
    options["output_root"] = tmp_path / "out"
    train, test = (daedalus.lightgbm_dataset(split=name, **options) for name in parts)
    sizes, _, features = expected(held_out)
    assert test.get_group().tolist() == sizes and same(test.data, features)
    told: dict = {}
    ranker = lightgbm.train(
        {"objective": "lambdarank", "metric": "ndcg", "eval_at": [5], "min_data_in_leaf": 2, "verbose": -1}, train, 5,
        valid_sets=[test], valid_names=["test"], callbacks=[lightgbm.record_evaluation(told)],
    )  # fmt: skip
    assert np.isfinite(ranker.predict(np.array(features))).all() and 0 < told["test"]["ndcg@5"][-1] <= 1
    train, test = (daedalus.xgboost_dmatrix(split=name, categorical=["code"], **options) for name in parts)
    told = {}
    ranker = xgboost.train({"objective": "rank:ndcg", "eval_metric": "ndcg@5"}, train, 5, evals=[(test, "test")],
                           evals_result=told, verbose_eval=False)  # fmt: skip
    assert np.isfinite(ranker.predict(test)).all() and 0 < told["test"]["ndcg@5"][-1] <= 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"features": []}, "no features"),
        ({"features": "number"}, "no features"),
        ({"features": ["number", "number"]}, "appears twice"),
        ({"features": ["numbr"]}, "does not have.*did you mean 'number'"),
        ({"features": ["list"]}, "no number.*features.*list, a list<.*int64>.*docs/training.md"),
        ({"features": ["text"]}, "no number.*text, a string"),
        ({"features": ["dt"]}, "no number.*dt, a date32"),
        ({"features": ["ragged"]}, "no vector.*ragged, with 2 and 3 items"),
        ({"features": ["nothing"]}, "without any vector"),
        ({"labels": {}}, "no labels"),
        ({"labels": {"view": "0"}}, "not a number"),
        ({"labels": {"purchase": 1}}, "no row has both a qid and a label.*found: purchase"),
        ({"event": "evnt"}, "does not have.*did you mean 'event'"),
        ({"event": "code"}, "not text"),
        ({"categorical": ["flag"]}, "a category that is no feature.*flag"),
        ({"features": ["share"], "categorical": ["share"]}, "no code.*share, a column of double"),
        ({"features": ["below"], "categorical": ["below"]}, "no code.*below, from -1 to 1"),
    ],
)  # fmt: skip
def test_what_no_ranker_takes_is_refused(tmp_path, asked, said):
    pytest.importorskip("lightgbm", reason="the extra lightgbm is not installed")
    table = pa.Table.from_pylist(rows(1, 50), SCHEMA)
    ragged = pa.array([[0.5, 1.0], [0.5, 1.0, 2.0]] * 25)
    table = table.append_column("ragged", ragged).append_column("below", pa.array([-1, 1] * 25))
    published(tmp_path, {DAY: table.append_column("nothing", pa.nulls(50, pa.list_(pa.float32())))})
    arguments = {"features": ["number"], "labels": LABELS, "output_root": tmp_path / "out", **asked}
    with pytest.raises(DaedalusError, match=f"(?s){said}"):
        daedalus.lightgbm_dataset(**arguments)


def test_an_output_without_sessions_is_refused(tmp_path):
    pytest.importorskip("xgboost", reason="the extra xgboost is not installed")
    published(tmp_path, {DAY: pa.table({"event": ["like"], "number": [1]})})
    with pytest.raises(DaedalusError, match=r"no query groups.*xgboost_dmatrix.*no qid"):
        daedalus.xgboost_dmatrix(output_root=tmp_path / "out", features=["number"], labels=LABELS)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(st.none() | st.sampled_from(["view", "like", "", "other"])),
    st.dictionaries(st.sampled_from(["view", "like", ""]), st.floats(-100, 100, width=32), min_size=1),
)
def test_labels_are_those_of_the_mapping(events, gains):
    wanted = [gains.get(event, math.nan) for event in events]
    array = pa.array(events, pa.string())
    for same_events in (array, pa.chunked_array([array[:3], array[3:]]), array.dictionary_encode()):
        values, keep = label_values(same_events, gains)
        assert values.dtype == np.float32 and keep.tolist() == [event in gains for event in events]
        assert same(values, wanted)


def test_labels_of_numbered_texts_whatever_the_type_of_numbers():
    names = [str(number) for number in range(128)]  # as many as 8 bits with a sign number
    for kind, other in product((pa.int8(), pa.uint8(), pa.uint64()), (None, 1)):
        events = pa.DictionaryArray.from_arrays(pa.array([127, other, 0], kind), [*names[:-1], "like"])
        values, keep = label_values(events, {"like": 2, "0": 1})
        assert same(values, [2, math.nan, 1]) and keep.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ({}, "no labels.*an empty mapping"), (["like"], "no labels.*list"), ({1: 2}, "not text.*found: 1"),
        ({"like": None}, "not a number.*labels\\['like'\\]"), ({"like": float("inf")}, "not a number"),
    ],
)  # fmt: skip
def test_labels_that_are_none_are_refused(gains, said):
    with pytest.raises(DaedalusError, match=said):
        label_values(pa.array(["like"]), gains)
