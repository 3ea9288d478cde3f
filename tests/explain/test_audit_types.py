"""An audit is never wrong about a right output: over all types of features, lists, entities and defaults."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from tiny import KEYS, at, feed, project

from daedalus.audit.audit import audit, audit_lines, differs
from daedalus.base.durable import part_files
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings

DAYS = ["2026-02-01", "2026-02-02", "2026-02-03"]
ARTWORKS = [10, 11, 12, 13]
ODD = "a'\"\n\x1b\u202e\\字🙂"
TIMES = [at("2025-01-01 00:00:00.000001"), at("1969-12-31 23:59:59.999999"), None, at("2026-02-01 12:00:00")]


def times(unit: str, zone: str | None = None) -> pa.Array:
    return pa.array(TIMES, pa.timestamp("us")).cast(pa.timestamp(unit), safe=False).cast(pa.timestamp(unit, zone))


# Values of one type, for four artworks; every one of these columns is a feature, and what is plain is also listed.
PLAIN = {
    "i8": pa.array([1, -128, None, 127], pa.int8()),
    "i16": pa.array([1, -2, None, 3], pa.int16()),
    "i32": pa.array([1, -2, None, 3], pa.int32()),
    "i64": pa.array([2**53 + 1, -(2**63), None, 2**63 - 1], pa.int64()),
    "u8": pa.array([1, 255, None, 3], pa.uint8()),
    "u16": pa.array([1, 2**16 - 1, None, 3], pa.uint16()),
    "u32": pa.array([1, 2**32 - 1, None, 3], pa.uint32()),
    "u64": pa.array([1, 2**64 - 1, None, 3], pa.uint64()),
    "f16": pa.array([0.5, -0.0, None, float("nan")], pa.float16()),
    "f32": pa.array([0.1, -0.0, None, float("nan")], pa.float32()),
    "f64": pa.array([0.1, float("inf"), -0.0, float("nan")], pa.float64()),
    "flag": pa.array([True, False, None, True]),
    "text": pa.array(["", ODD, None, "b"]),
    "large_text": pa.array(["", ODD, None, "b"], pa.large_string()),
    "coded": pa.array(["x", "y", None, "x"]).dictionary_encode(),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', '"b"', None, "[]"])),
    "blob": pa.array([b"", b"\x00\xff'", None, b"b"], pa.binary()),
    "day": pa.array([dt.date(2025, 1, 1), dt.date(1969, 12, 31), None, dt.date(9999, 12, 31)], pa.date32()),
    "clock": pa.array([dt.time(1, 2, 3, 4), dt.time(0), None, dt.time(23, 59, 59, 999999)], pa.time64("us")),
    "clock_ms": pa.array([dt.time(1, 2, 3), dt.time(0), None, dt.time(23, 59, 59)], pa.time32("ms")),
    "money": pa.array([Decimal("1.50"), Decimal("-0.01"), None, Decimal("9999999.99")], pa.decimal128(9, 2)),
    "wide_money": pa.array([Decimal("1.5"), Decimal(-10) ** 30, None, Decimal(0)], pa.decimal128(38, 4)),
    "ms": times("ms"),
    "us": times("us"),
    "ns": pa.array([1_500, -2_000, None, 1_999_999_999_999_999_999], pa.timestamp("ns")),
    "zoned": times("us", "Asia/Tokyo"),
    "zoned_ns": pa.array([1_500, -2_000, None, 1_999_999_999_999_999_999], pa.timestamp("ns", "UTC")),
    "nothing": pa.nulls(4),
}
NESTED = {
    "ints": pa.array([[1, 2, 1], [], None, [None, 3]], pa.list_(pa.int32())),
    "large_ints": pa.array([[1, 2], [], None, [None, 3]], pa.large_list(pa.int64())),
    "floats": pa.array([[0.1, float("nan"), -0.0], [], None, [None, 0.0]], pa.list_(pa.float32())),
    "fixed": pa.array([[0.1, 0.2], [1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    "texts": pa.array([["b", ODD], [], None, ["", None]], pa.list_(pa.string())),
    "when": pa.array([TIMES[:2], [], None, TIMES[2:]], pa.list_(pa.timestamp("us"))),
    "when_ns": pa.array([[1_500, 2_000], [], None, [None, -1]], pa.list_(pa.timestamp("ns"))),
    "days": pa.array([[dt.date(2025, 1, 1)], [], None, [None]], pa.list_(pa.date32())),
    "deep": pa.array([[[1], []], [], None, [None, [2, None]]], pa.list_(pa.list_(pa.int64()))),
    "pair": pa.array([{"a": 1, "b": "x"}, {"a": None, "b": ODD}, None, {"a": 3, "b": None}],
                     pa.struct([("a", pa.int64()), ("b", pa.string())])),
    "timed": pa.array([{"t": TIMES[0], "l": [0.5]}, {"t": None, "l": None}, None, {"t": TIMES[3], "l": [float("nan")]}],
                      pa.struct([("t", pa.timestamp("us")), ("l", pa.list_(pa.float64()))])),
}  # fmt: skip
FLATTENED = ["ints", "large_ints", "floats", "fixed", "texts", "when", "when_ns", "days"]
DEFAULTS = [1, 2**40, -0.0, 0.1, True, "", ODD, None, 2**63 - 1]


def lists(column: str, agg: str) -> dict:
    return {"name": f"{agg}_{column}", "events": ["like"], "column": column, "agg": agg, "windows": ["3d"]}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Each type in a view, as it is and in lists, with entities and defaults of every type."""
    days = {}
    for day in DAYS:
        table = feed(*[(user, art, f"{day} {art}:0{user}", "like") for user in (1, 2) for art in ARTWORKS])
        days[day] = (
            table.append_column("feed_session", pa.array(["s1", ODD, None, "s2"] * 2))
            .append_column("current_like_count", pa.array([1, None, 3, -4] * 2, pa.int16()))
            .append_column("country_code", pa.array(["JP", "jp", None, "??"] * 2))
            .append_column("platform_code", pa.array([1, 2, None, 3] * 2, pa.uint8()))
            .append_column("retriever_id", pa.array(["r", None] * 4).dictionary_encode())
            .append_column("member_source", pa.array(["m", ODD] * 4, pa.large_string()))
        )
    stamps = pa.array([at("2026-01-01")] * 4, pa.timestamp("us"))
    view = pa.table({"artwork_id": pa.array(ARTWORKS, pa.uint32()), "updated_at": stamps, **PLAIN, **NESTED})
    aggs = [lists(name, agg) for name in PLAIN for agg in ("list", "distinct")]
    aggs += [lists(name, "flatten_distinct") for name in FLATTENED]
    aggs += [lists(name, "count") for name in NESTED]
    made = [f"{spec['name']}_3d" for spec in aggs]
    defaults = [{"name": f"default_{place}", "default": value} for place, value in enumerate(DEFAULTS)]
    root = project(tmp_path, days, view, aggs, [*PLAIN, *NESTED, *made, *defaults, "by_text", "by_session", "by_count",
                   "by_time", "by_country", "age", "age_of_day"],
                   enrich=[f"art:{name}" for name in (*PLAIN, *NESTED)], platforms={"web": 1},
                   ages={"age": "art:ns", "age_of_day": "art:day"})  # fmt: skip
    catalog = yaml.safe_load((root / "config/catalog.yaml").read_text("utf-8"))
    moments = [at(f"{DAYS[1]} 10:01"), at(f"{DAYS[2]} 11:02")]
    entities = {
        "text": ("member_source", pa.array(["m", ODD]).dictionary_encode()),
        "session": ("feed_session", pa.array(["s1", ODD])),
        "count": ("current_like_count", pa.array([3, -4], pa.int8())),
        "time": ("event_timestamp", pa.array(moments, pa.timestamp("ms", "UTC"))),
        "country": ("country_code", pa.array([392, 0], pa.uint16())),
    }  # fmt: skip
    for name, (entity, keys) in entities.items():
        (root / f"data/{name}").mkdir()
        table = pa.table({entity: keys, "seen": pa.array([dt.date(2026, 1, 1), dt.date(2026, 3, 1)]),
                          f"by_{name}": [1, 2]})  # fmt: skip
        pq.write_table(table, root / f"data/{name}/a.parquet")
        catalog["views"][name] = {"source": f"data/{name}/*.parquet", "entity": entity, "timestamp_field": "seen",
                                  "features": [f"by_{name}"]}  # fmt: skip
    (root / "config/catalog.yaml").write_text(yaml.safe_dump(catalog, sort_keys=False, allow_unicode=True), "utf-8")
    runtime = yaml.safe_load((root / "config/training/runtime.yaml").read_text("utf-8"))
    runtime["feature_refs"] += [f"{name}:by_{name}" for name in entities]
    (root / "config/training/runtime.yaml").write_text(yaml.safe_dump(runtime, sort_keys=False), "utf-8")
    monkeypatch.chdir(root)
    assert run_skeleton_stage(Settings()).days["failed"] == 0
    return root


def everything() -> dict:
    return audit(Settings(), None, 1000, 0)


def test_of_a_right_output_of_every_type_none_differ(world):
    found = everything()
    assert found["by_column"] == {} and not differs(found), audit_lines(found)
    assert found["rows"] == 24 and found["not_compared"] == []


def test_whatever_value_is_altered_is_named(world):
    """Each column's last value that is not NULL, one column at a time; the rest is as it was."""
    path = world / f"data/training_output/dt={DAYS[2]}/part-0-0.parquet"
    right = pq.ParquetFile(path).read()
    altered, untouched = [], set()
    for place, name in enumerate(right.column_names):
        if name in (*KEYS, "qid"):
            continue
        column = right[name].combine_chunks()
        other = another(column)
        if other is None:
            untouched.add(name)
            continue
        altered.append(name)
        right = right.set_column(place, right.field(place), other)
    assert untouched == {"nothing", "default_7", "list_nothing_3d", "distinct_nothing_3d"}
    os.unlink(path)
    pq.write_table(right, path)
    found = everything()
    assert sorted(found["by_column"]) == sorted(altered)


def another(column: pa.Array) -> pa.Array | None:
    """The column with one value replaced by another that differs in as little as can be."""
    values = column.to_pylist() if not nanos(column.type) else None
    if values is None:  # pyarrow gives no nanoseconds to Python without pandas
        return shifted(column)
    for place in reversed(range(len(values))):
        if (value := nudged(values[place], column.type)) is not None:
            return pa.array([*values[:place], value, *values[place + 1 :]], column.type)
    return None


def nanos(kind: pa.DataType) -> bool:
    return kind == pa.timestamp("ns") or (pa.types.is_list(kind) and nanos(kind.value_type))


def shifted(column: pa.Array) -> pa.Array:
    """Times a nanosecond later."""
    flat = pc.add(column.values.cast(pa.int64()), 1).cast(pa.timestamp("ns"))
    return pa.ListArray.from_arrays(column.offsets, flat, column.type, mask=column.is_null())


def nudged(value: object, kind: pa.DataType) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return 1.0 if value != value else -value if value in (0, float("inf")) else value * 1.5
    if isinstance(value, int):
        return value + 1 if value < 0 else value - 1 if value else 1
    if isinstance(value, str | bytes):
        return value + type(value)(b" ") if isinstance(value, bytes) else value + " "
    if isinstance(value, dt.datetime):
        return value + dt.timedelta(microseconds=1)
    if isinstance(value, dt.date):
        return value - dt.timedelta(days=1)
    if isinstance(value, dt.time):
        return value.replace(microsecond=value.microsecond ^ 1)
    if isinstance(value, Decimal):
        return -value or Decimal(1)
    if isinstance(value, list):
        inner = [nudged(member, kind.value_type) for member in value]
        place = next((i for i, member in enumerate(inner) if member is not None), None)
        return None if place is None else [*value[:place], inner[place], *value[place + 1 :]]
    if isinstance(value, dict):
        name = next((n for n in reversed(value) if nudged(value[n], kind.field(n).type) is not None), None)
        return value and name and {**value, name: nudged(value[name], kind.field(name).type)}
    return None


def test_files_of_one_view_may_differ_in_type(world):
    """Whole numbers beside others, dates beside times: lists of the wider type, without a value twice."""
    stamps = pa.array([at("2026-01-02")] * 2, pa.timestamp("ms"))
    table = pa.table({"artwork_id": pa.array([12, 13], pa.int8()), "updated_at": stamps,
                      "i32": pa.array([1.0, 0.5], pa.float64()), "i8": pa.array([300, 1], pa.int16()),
                      "day": pa.array([at("2025-01-01"), None], pa.timestamp("ns")),
                      "ints": pa.array([[1.0, 0.25], None], pa.list_(pa.float64()))})  # fmt: skip
    pq.write_table(table, world / "data/art/b.parquet")
    assert run_skeleton_stage(Settings()).days["failed"] == 0
    found = everything()
    assert not differs(found), audit_lines(found)


def test_what_others_hide_beside_files_is_none_of_them(world):
    """macOS leaves `._NAME` beside files on network drives: in the feed and in partitions."""
    import daedalus
    from daedalus.cli.main import main

    day = world / f"data/training_output/dt={DAYS[1]}"
    for folder in (day, world / f"data/feed/dt={DAYS[1]}"):
        (folder / "._part-0-0.parquet").write_bytes(b"\0\5\x16\7" + b"\0" * 100)
    assert part_files(day) == [day / "part-0-0.parquet"]
    assert not differs(everything())
    assert daedalus.load().count_rows() == 24
    for command in ("report", "skeleton"):
        with pytest.raises(SystemExit) as done:
            main([command, "--json"])
        assert done.value.code == 0
    report = run_skeleton_stage(Settings())
    assert report.steps["computed"] == report.steps["unchanged"] == report.steps["failed"] == 0
    assert (day / "._part-0-0.parquet").exists()


def test_what_lies_in_an_output_under_other_names_is_nobodys_partition(world):
    import daedalus

    for folder in ("feed", "training_output"):
        os.mkdir(world / f"data/{folder}/dt=2026-02-30")
        pq.write_table(pa.table({"note": ["x"]}), world / f"data/{folder}/dt=2026-02-30/part-0-0.parquet")
    pq.write_table(pa.table({"note": ["x"]}), world / f"data/training_output/dt={DAYS[1]}/notes.parquet")
    assert not differs(everything())
    assert daedalus.load().count_rows() == 24
    report = run_skeleton_stage(Settings())
    assert report.steps["computed"] == report.steps["unchanged"] == report.steps["failed"] == 0
