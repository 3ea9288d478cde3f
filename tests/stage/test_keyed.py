"""`key` and `match`, through the whole of the stage: what every kind sees, what is refused, and what runs again."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tiny import KEYS, at, feed, project

from daedalus.audit.audit import audit
from daedalus.base.errors import DaedalusError
from daedalus.compile.resolve import compiled
from daedalus.config.aggregation_kinds import KINDS
from daedalus.explain.day import explain_day, explain_step
from daedalus.explain.row import explain_row
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.tables.held import HELD
from daedalus.workspace.settings import Settings

DAYS = ["2026-02-01", "2026-02-02", "2026-02-03"]
ARTWORKS = [10, 11, 12, 13]
FEATURES = {
    "author_id": pa.array([1, 2, None, 1], pa.int64()),
    "style": pa.array(["oil", "ink", None, "oil"]),
    "score": pa.array([0.0, math.nan, math.nan, -0.0], pa.float64()),
    "tags": pa.array([[1], [2, 3], None, []], pa.list_(pa.int64())),
}
CODES = {"retriever_id": ["r", None, "s", "r"], "platform_code": [1, 1, 0, None], "current_like_count": [5, 5, 6, None]}
BY: dict[str, dict] = {
    "artwork": {"key": "artwork_id"}, "author": {"key": "author_id"}, "affinity": {"match": "author_id"},
    "text": {"key": "retriever_id"}, "code": {"key": "platform_code", "match": "retriever_id"},
    "score": {"key": "score"}, "both": {"key": "style", "match": "score"}, "likes": {"key": "current_like_count"},
    "user_last": {"key": "artwork_id", "match": "user_id"},
}  # fmt: skip


def spec(name: str, agg: str = "list", **more: object) -> dict:
    return {"name": name, "events": ["like"], "column": "user_id", "agg": agg, "windows": ["2d"], **more}


def specs() -> list[dict]:
    found = [spec(name, **keys) for name, keys in BY.items()]
    found += [spec(f"all_{name}", windows="cumulative", **keys) for name, keys in BY.items()]
    for agg, kind in KINDS.items():
        column = "tags" if kind.flatten else "artwork_id"
        found.append(spec(f"of_{agg}", agg, column=column, key="author_id", windows=["1m", "1d", "5d"]))
        found.append(spec(f"by_{agg}", agg, column=column, key="artwork_id", exclude_self=True))
    return [*found, spec("some", key="artwork_id", where={"style": ["oil"]}, max_items=1)]


def columns_of(found: list[dict]) -> list[str]:
    spans = [(one["name"], [] if one["windows"] == "cumulative" else one["windows"]) for one in found]
    return [name for one, windows in spans for name in ([f"{one}_{window}" for window in windows] or [one])]


def written(root: Path, found: list[dict], *, as_of: str = "latest") -> Path:
    days = {}
    for day in DAYS:
        table = feed(*[(user, art, f"{day} {art}:{(user + art) % 3}0", event) for user in (1, 2, 3) for art in ARTWORKS
                       for event in ("like", "view")])  # fmt: skip
        for name, values in CODES.items():
            table = table.append_column(name, pa.array([value for value in values for _ in range(2)] * 3))
        days[day] = table
    stamps = pa.array([at(f"{day} 12:00") for day in ("2026-01-01", "2026-02-02", "2026-01-01", "2026-02-03")],
                      pa.timestamp("us"))  # fmt: skip
    view = pa.table({"artwork_id": pa.array(ARTWORKS, pa.int64()), "updated_at": stamps, **FEATURES})
    enrich = [f"art:{name}" for name in FEATURES]
    project(root, days, view, found, columns_of(found), enrich=enrich)
    catalog = root / "config/catalog.yaml"
    catalog.write_text(catalog.read_text().replace("entity:", f"as_of: {as_of}\n    entity:"))
    return root


def left() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path("data/training_output").glob("dt=*/*.parquet"))}


def rows_of(day: str) -> list[dict]:
    return pq.read_table(next(iter(Path("data/training_output").glob(f"dt={day}/*.parquet")))).to_pylist()


def configure(found: list[dict]) -> None:
    Path("config/training/aggregations.yaml").write_text(yaml.safe_dump({"aggregations": found}, sort_keys=False))
    path = Path("config/training/runtime.yaml")
    known = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**known, "output_columns": [*KEYS, *columns_of(found)]}, sort_keys=False))


@pytest.mark.parametrize("as_of", ["latest", "day"])
def test_every_kind_sees_the_events_of_its_key(tmp_path, monkeypatch, as_of):
    monkeypatch.chdir(written(tmp_path, specs(), as_of=as_of))
    assert not run_skeleton_stage(Settings(), None).failures
    for rows in (100, 2):  # all users, and few of them
        found = audit(Settings(), range=None, rows=rows, seed=1)
        assert found["rows"] and not found["by_column"] and not found["missing"] and not found["extra"], found
    last = max(rows_of(DAYS[1]), key=lambda row: (row["artwork_id"] == 10, row["event_timestamp"]))
    assert {1, 2, 3} == set(last["artwork_2d"]) and len(last["affinity_2d"]) < len(last["author_2d"])
    nobody = next(row for row in rows_of(DAYS[2]) if row["artwork_id"] == 12)
    assert nobody["author_2d"] == nobody["affinity_2d"] == [] and nobody["of_count_5d"] == 0
    assert nobody["of_max_5d"] is None and nobody["artwork_2d"] and nobody["by_list_2d"] == []


def test_the_same_bytes_where_little_fits_into_memory(tmp_path, monkeypatch):
    names = ("artwork", "both", "all_affinity", "of_top", "by_max", "by_count")
    some = [one for one in specs() if one["name"] in names]
    monkeypatch.chdir(written(tmp_path, some))
    run_skeleton_stage(Settings(), None)
    first = left()
    shutil.rmtree("data/training_output")
    monkeypatch.setattr(HELD, "limit", lambda memory, workers: type(HELD).limit(HELD, 1, 1))
    run_skeleton_stage(Settings(cache_root="cold"), None)
    assert left() == first


def test_what_runs_again(tmp_path, monkeypatch):
    monkeypatch.chdir(written(tmp_path, [spec("plain")]))
    run_skeleton_stage(Settings(), None)
    configure([spec("plain", key="user_id")])  # as if it were not said
    assert run_skeleton_stage(Settings(), None).steps["computed"] == 0
    first = [spec("plain"), spec("by_artwork", "count", key="artwork_id")]
    configure(first)
    assert run_skeleton_stage(Settings(), None).steps["computed"] == 4 * len(
        DAYS
    )  # events, row_keys, rolling, partition
    configure([*first, spec("who", "last", key="artwork_id")])
    assert run_skeleton_stage(Settings(), None).steps["computed"] == 2 * len(DAYS)  # the same events and rows
    configure([*first, spec("who", "last", match="author_id")])
    run_skeleton_stage(Settings(), None)
    view = pq.read_table("data/art/a.parquet")
    pq.write_table(view.set_column(2, "author_id", pa.array([2, 2, 2, 1], pa.int64())), "data/art/a.parquet")
    before = left()
    run_skeleton_stage(Settings(), None)
    assert (warm := left()) != before
    shutil.rmtree("data/training_output")
    run_skeleton_stage(Settings(cache_root="cold"), None)
    assert left() == warm


def test_a_changed_key_is_the_cause(tmp_path, monkeypatch):
    monkeypatch.chdir(written(tmp_path, [spec("a")]))
    run_skeleton_stage(Settings(), None)
    digest = compiled(Settings())["digest"]
    configure([spec("a", key="user_id")])
    assert compiled(Settings())["digest"] == digest
    configure([spec("a", key="artwork_id")])
    (rolling,) = [step for step in explain_day(Settings(), DAYS[2])["steps"] if step["step"].startswith("rolling")]
    assert ("config", "aggregations.a.key") in [(cause["kind"], cause["what"]) for cause in rolling["why"]], rolling
    assert compiled(Settings())["digest"] != digest


def test_what_is_told(tmp_path, monkeypatch):
    import duckdb

    monkeypatch.chdir(written(tmp_path, specs()))
    run_skeleton_stage(Settings(), None)
    told = {column["name"]: column["meaning"] for column in compiled(Settings())["columns"]}
    assert "the like events of the same artwork in the 2 days strictly before the row" in told["artwork_2d"]
    assert "the user's like events with the same author in the" in told["affinity_2d"]
    assert "of the same platform code with the same retriever of all time" in told["all_code"]
    columns = explain_row(Settings(), DAYS[1], 1, 13)["rows"][0]["columns"]
    row = next(row for row in rows_of(DAYS[1]) if (row["user_id"], row["artwork_id"], row["event"]) == (1, 13, "like"))
    for one in specs():
        for name in columns_of([one]) if one["agg"] == "list" else ():
            assert [event["value"] for event in columns[name]["counted"]] == row[name], name
    assert {event["user_id"] for event in columns["artwork_2d"]["counted"]} == {1, 2, 3}
    assert any(event["why"] == "match: author_id is 2" for event in columns["affinity_2d"]["left_out"])
    for step in ("artwork", "all_affinity", "of_sum", "by_top"):  # the SQL that it equals
        script = explain_step(Settings(), DAYS[1], f"rolling:{step}")["script"]
        assert len(duckdb.connect().execute(script).fetchall()) == len(rows_of(DAYS[1]))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"key": "artwrk_id"}, ["aggregations[0].key", "did you mean 'artwork_id'"]),
        ({"match": "authr_id"}, ["aggregations[0].match", "did you mean 'author_id'"]),
        ({"key": "tags"}, ["aggregations[0].key", "tags: BIGINT[]"]),
        ({"match": "tags"}, ["aggregations[0].match", "tags: BIGINT[]"]),
        ({"match": "user_id"}, ["aggregations[0].match", "match and key"]),
        ({"key": "artwork_id", "match": "artwork_id"}, ["aggregations[0].match", "another column"]),
        ({"key": ["artwork_id"]}, ["aggregations[0].key", "str"]),
    ],
)
def test_what_has_no_meaning_is_refused_before_any_work(tmp_path, monkeypatch, more, named):
    root = written(tmp_path, [spec("a", **more)])
    monkeypatch.chdir(root)
    with pytest.raises(DaedalusError) as refused:
        run_skeleton_stage(Settings(), None)
    assert refused.value.exit_code == 2
    for text in named:
        assert text in refused.value.text(), refused.value.text()
    assert not list(root.rglob("dt=*/part*"))
