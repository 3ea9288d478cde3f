"""`where` of aggregations: only events with some values, in the stage and in tables, compared as by the filter."""

from __future__ import annotations

import datetime as dt
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny import at, feed, project

import daedalus
from daedalus.audit.audit import audit
from daedalus.base.errors import DaedalusError
from daedalus.compile.resolve import compiled
from daedalus.config.aggregation_kinds import KINDS
from daedalus.explain.row import explain_row
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

DAYS = ["2026-02-01", "2026-02-02", "2026-02-03"]
ARTWORKS = [10, 11, 12, 13]
FEATURES = {
    "style": pa.array(["oil", "ink", None, "oil"]),
    "score": pa.array([0.1, math.nan, None, 2.5], pa.float32()),
    "big": pa.array([2**53, 2**53 + 1, None, 1], pa.int64()),
    "tags": pa.array([[1], [2, 3], None, []], pa.list_(pa.int64())),
}
CODES = {  # of the events of each artwork
    "retriever_id": ["r", None, "s", "it's"],
    "platform_code": ["ios", "web", "tv", None],
    "country_code": ["tw", "jp", None, "TW"],
}
WHERES: dict[str, dict[str, list]] = {
    "code": {"platform_code": [1, 3]},
    "country": {"country_code": [158.0]},
    "text": {"retriever_id": ["r", "it's"]},
    "style": {"style": ["oil"]},
    "single": {"score": [0.1, math.nan]},
    "big": {"big": [2**53 + 1, 1e30]},
    "both": {"style": ["oil", "ink"], "score": [2.5, 0.1], "platform_code": [1]},
    "none": {"platform_code": [2**40]},
}


def spec(name: str, agg: str = "list", **more: object) -> dict:
    return {"name": name, "events": ["like"], "column": "artwork_id", "agg": agg, "windows": ["2d"], **more}


def specs() -> list[dict]:
    found = [spec(name, where=where) for name, where in WHERES.items()] + [spec("every")]
    for name in ("code", "country", "text", "none"):
        found.append(spec(f"all_{name}", windows="cumulative", where=WHERES[name]))
    found += [spec(f"of_{agg}", agg, column="big", where=WHERES["both"]) for agg in KINDS if agg != "flatten_distinct"]
    found += [spec("flat", "flatten_distinct", column="tags", where=WHERES["style"])]
    return [*found, spec("others", column="style", where={"style": ["ink"]}, exclude_self=True)]


def columns_of(found: list[dict]) -> list[str]:
    return [one["name"] if one["windows"] == "cumulative" else f"{one['name']}_2d" for one in found]


def written(root: Path, found: list[dict], *, as_of: str = "latest") -> Path:
    days = {}
    for day in DAYS:
        table = feed(*[(user, art, f"{day} {art}:{user}0", event) for user in (1, 2) for art in ARTWORKS
                       for event in ("like", "view")])  # fmt: skip
        for name, values in CODES.items():
            table = table.append_column(name, pa.array([value for value in values for _ in range(2)] * 2))
        days[day] = table
    stamps = pa.array([at(f"{day} 12:00") for day in ("2026-01-01", "2026-02-02", "2026-01-01", "2026-02-03")],
                      pa.timestamp("us"))  # fmt: skip
    view = pa.table({"artwork_id": pa.array(ARTWORKS, pa.int64()), "updated_at": stamps, **FEATURES})
    enrich = [f"art:{name}" for name in FEATURES]
    project(root, days, view, found, columns_of(found), enrich=enrich, platforms={"ios": 1, "web": 3})
    catalog = root / "config/catalog.yaml"
    catalog.write_text(catalog.read_text().replace("entity:", f"as_of: {as_of}\n    entity:"))
    return root


def left() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path("data/training_output").glob("dt=*/*.parquet"))}


def rows_of(day: str) -> list[dict]:
    return pq.read_table(next(iter(Path("data/training_output").glob(f"dt={day}/*.parquet")))).to_pylist()


@pytest.mark.parametrize("as_of", ["latest", "day"])
def test_every_kind_sees_only_events_with_one_of_the_values(tmp_path, monkeypatch, as_of):
    monkeypatch.chdir(written(tmp_path, specs(), as_of=as_of))
    report = run_skeleton_stage(Settings(), None)
    assert not report.failures
    found = audit(Settings(), range=None, rows=100, seed=1)
    assert not found["by_column"] and not found["missing"] and not found["extra"], found["by_column"]
    last = max(rows_of(DAYS[1]), key=lambda row: (row["user_id"] == 1, row["event_timestamp"]))
    assert set(last["every_2d"]) == {10, 11, 12, 13}
    assert set(last["code_2d"]) == {10, 11} and set(last["text_2d"]) == {10, 13} and last["none_2d"] == []
    assert set(last["big_2d"]) == {11} and set(last["single_2d"]) == {10, 11}
    assert {"oil", "ink"} >= set(last["others_2d"]) == {"ink"}


def test_a_value_that_no_event_can_have_is_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(written(tmp_path, specs()))
    notes = " ".join(run_skeleton_stage(Settings(), None).input_notes)
    assert "aggregation none: where.platform_code: no INTEGER is 1099511627776, so it matches nothing" in notes
    assert "aggregation big: where.big: no BIGINT is 1e+30" in notes and "where.style" not in notes


def test_warm_equals_cold_after_a_value_and_a_view_are_edited(tmp_path, monkeypatch):
    root = written(tmp_path, [spec("a", where={"style": ["oil"]}), spec("b", where={"platform_code": [1]}),
                              spec("c", windows="cumulative", where={"platform_code": [1]}), spec("d")])  # fmt: skip
    monkeypatch.chdir(root)
    run_skeleton_stage(Settings(), None)
    path = root / "config/training/aggregations.yaml"
    first, known = left(), yaml.safe_load(path.read_text())
    for at_, column, values in ((0, "style", ["ink"]), (1, "platform_code", [3]), (2, "platform_code", [0])):
        known["aggregations"][at_]["where"] = {column: values}
        path.write_text(yaml.safe_dump(known))
        ran = run_skeleton_stage(Settings(), None).steps["computed"]
        assert 0 < ran <= 3 * len(DAYS)  # its events, its windows and the partition
    view = pq.read_table("data/art/a.parquet")
    edited = view.set_column(2, "style", pa.array(["ink", "ink", "ink", None]))
    pq.write_table(edited, "data/art/a.parquet")
    run_skeleton_stage(Settings(), None)
    warm = left()
    shutil.rmtree("data/training_output")
    run_skeleton_stage(Settings(cache_root="cold"), None)
    assert left() == warm != first


def test_the_order_of_values_changes_nothing_that_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(written(tmp_path, [spec("a", where={"style": ["oil", "ink"], "platform_code": [3, 1]})]))
    digest = compiled(Settings())["digest"]
    run_skeleton_stage(Settings(), None)
    path = Path("config/training/aggregations.yaml")
    turned = [spec("a", where={"platform_code": [1, 3, 1], "style": ["ink", "oil"]})]
    path.write_text(yaml.safe_dump({"aggregations": turned}, sort_keys=False))
    assert run_skeleton_stage(Settings(), None).steps["computed"] == 0
    assert compiled(Settings())["digest"] == digest
    path.write_text(yaml.safe_dump({"aggregations": [spec("a", where={"style": ["oil"]})]}))
    told = compiled(Settings())
    assert told["digest"] != digest
    assert "like events with style oil in the" in next(c["meaning"] for c in told["columns"] if c["name"] == "a_2d")
    path.write_text(yaml.safe_dump({"aggregations": [spec("a", where={})]}))
    empty = compiled(Settings())["digest"]
    path.write_text(yaml.safe_dump({"aggregations": [spec("a")]}))
    assert compiled(Settings())["digest"] == empty


def test_explain_row_says_what_an_event_has_instead(tmp_path, monkeypatch):
    monkeypatch.chdir(written(tmp_path, specs()))
    run_skeleton_stage(Settings(), None)
    columns = explain_row(Settings(), DAYS[1], 1, 13)["rows"][0]["columns"]
    row = next(row for row in rows_of(DAYS[1]) if (row["user_id"], row["artwork_id"], row["event"]) == (1, 13, "like"))
    for one in specs():
        if one["agg"] == "list":
            (name,) = columns_of([one])
            assert [event["value"] for event in columns[name]["counted"]] == row[name], name
    whys = {event["why"] for name in ("code_2d", "style_2d") for event in columns[name]["left_out"]}
    assert {"where: platform_code is 0", "where: style is ink", "where: style is None"} <= whys


@pytest.mark.parametrize(
    ("where", "more", "named"),
    [
        ({"platfrm_code": [1]}, {}, ["aggregations[0].where.platfrm_code", "did you mean 'platform_code'"]),
        ({"platfrm_code": [1]}, {"windows": "cumulative"}, ["where.platfrm_code", "did you mean 'platform_code'"]),
        ({"platform_code": []}, {}, ["aggregations[0].where.platform_code", "without values"]),
        ({"tags": [1]}, {}, ["aggregations[0].where.tags", "lists, structs or maps", "tags: BIGINT[]"]),
        ({"style": [1]}, {}, ["aggregations[0].where.style", "another type", "style: VARCHAR"]),
        ({"platform_code": ["ios"]}, {}, ["where.platform_code", "platform_code: INTEGER"]),
        ({"event_timestamp": [1]}, {}, ["where.event_timestamp", "event_timestamp: TIMESTAMP"]),
        ({"style": "oil"}, {}, ["aggregations[0].where", "array"]),
    ],
)
def test_what_has_no_meaning_is_refused_before_any_work(tmp_path, monkeypatch, where, more, named):
    root = written(tmp_path, [spec("a", where=where, **more)])
    monkeypatch.chdir(root)
    with pytest.raises(DaedalusError) as refused:
        run_skeleton_stage(Settings(), None)
    assert refused.value.exit_code == 2
    for text in named:
        assert text in refused.value.text(), refused.value.text()
    assert not list(root.rglob("dt=*/part*"))


HOURS = [dt.datetime(2026, 5, 1, hour) for hour in range(4)]
COLUMNS = {
    "n": (pa.int64(), [0, 2**53, 2**53 + 1, None], [0, 0.0, 2**53, float(2**53), 0.5, 2**70]),
    "tiny": (pa.uint8(), [0, 255, 3, None], [255, -1, 3.0]),
    "single": (pa.float32(), [0.1, math.nan, -0.0, None], [0.1, math.nan, 0, 0.0, 1e300]),
    "text": (pa.string(), ["a", "it's", "", None], ["a", "it's", "", "b"]),
    "code": (pa.dictionary(pa.int32(), pa.string()), ["a", "it's", "", None], ["a", "", "b"]),
    "truth": (pa.bool_(), [True, False, True, None], [True, False]),
}


def matches(name: str, value: object, wanted: list) -> bool:
    """Whether a value is one of those wanted, in plain Python."""
    single = name == "single"
    near = [pa.scalar(float(one), pa.float32()).as_py() if single and abs(one) < 1e30 else one for one in wanted]
    value = pa.scalar(value, pa.float32()).as_py() if single else value
    return value is not None and any(one == value or (one != one and value != value) for one in near)


choices = st.sampled_from(sorted(COLUMNS)).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(st.sampled_from(COLUMNS[name][2]), min_size=1, max_size=3))
)


@given(st.lists(choices, max_size=2), st.lists(st.integers(0, 3), min_size=len(COLUMNS) * 4, max_size=len(COLUMNS) * 4))
@example([("single", [0.1, math.nan])], [0, 1, 2, 3] * len(COLUMNS))
@settings(max_examples=12, deadline=None)
def test_both_engines_equal_plain_python(chosen, drawn):
    where = dict(chosen)
    made = {
        name: [values[drawn[4 * i + j]] for j in range(4)] for i, (name, (_, values, _)) in enumerate(COLUMNS.items())
    }
    times = pa.array(HOURS, pa.timestamp("us"))
    events = pa.table({"user_id": [1] * 4, "artwork_id": [5, 6, 7, 8], "event_timestamp": times, "event": ["like"] * 4,
                       **{name: pa.array(made[name], kind) for name, (kind, _, _) in COLUMNS.items()}})  # fmt: skip
    spine = pa.table({"user_id": [1], "artwork_id": [9], "event_timestamp": pa.array([dt.datetime(2026, 5, 2)])})
    want = [5 + i for i in range(4) if all(matches(name, made[name][i], where[name]) for name in where)]
    for agg, value in (("list", want[::-1]), ("count", len(want)), ("sum", sum(want))):
        one = {**spec("x", agg, where=where), "windows": "cumulative"}
        for engine in ("duckdb", "polars"):
            assert daedalus.aggregate_pit_table(spine, events, [one], engine=engine)["x"][0].as_py() == value


def test_what_tables_refuse():
    spine = pa.table({"user_id": [1], "artwork_id": [5], "event_timestamp": pa.array([5], pa.timestamp("us"))})
    events = spine.append_column("event", pa.array(["like"])).append_column("tags", pa.array([[1]]))
    for where, named in (({"evnt": ["like"]}, "did you mean 'event'"), ({"event": []}, "without values"),
                         ({"event": [1]}, "event: VARCHAR"), ({"tags": [1]}, "lists, structs or maps")):  # fmt: skip
        with pytest.raises(DaedalusError, match=named):
            daedalus.aggregate_pit_table(spine, events, [spec("x", where=where)])
