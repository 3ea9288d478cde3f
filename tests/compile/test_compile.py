"""`daeda compile`: one document that says what a configuration means, and a digest that changes with that alone."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from small import DAYS, edit
from tiny import at, feed, project

from daedalus.base.errors import DaedalusError
from daedalus.cli.main import main
from daedalus.compile.resolve import compiled
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.sql.column_types import type_name
from daedalus.workspace.settings import Settings

DAY = "2026-02-02"
ROWS = feed((1, 10, "2026-02-01 10:00", "like"), (1, 11, f"{DAY} 09:00", "like"), (1, 12, f"{DAY} 10:00", "click"))
VIEW = pa.table({
    "artwork_id": pa.array([10, 11, 12]),
    "updated_at": pa.array([at("2026-01-01")] * 3, pa.timestamp("us")),
    "author_id": pa.array([1, 1, 2]),
    "born": pa.array([at("2026-01-31")] * 3, pa.timestamp("ms")),
    "tags": pa.array([[1, 2], [], None], pa.list_(pa.int32())),
    "price": pa.array([Decimal("1.50"), Decimal("2.00"), None], pa.decimal128(9, 2)),
    "score": pa.array([0.1, 0.2, None], pa.float32()),
    "kind": pa.array(["a", "b", None]),
    "seen": pa.array([dt.date(2026, 1, 1)] * 3),
    "small": pa.array([1, 2, 3], pa.int16()),
})  # fmt: skip
AGGREGATIONS = [
    {"name": "liked", "events": ["like", "love"], "column": "artwork_id", "agg": "distinct", "windows": ["1d", "12h"],
     "exclude_self": True, "max_items": 5},
    {"name": "scores", "events": ["like"], "column": "score", "agg": "list", "windows": ["2d"], "exclude_self": True},
    {"name": "liked_tags", "events": ["like"], "column": "tags", "agg": "flatten_distinct", "windows": ["1d"]},
    {"name": "likes", "events": ["like"], "column": "event", "agg": "count", "windows": "cumulative"},
    {"name": "unused", "events": ["like"], "column": "event", "agg": "count", "windows": ["1d"]},
]  # fmt: skip
MADE = ["author_id", "tags", "price", "score", "kind", "seen", "small", "age", "liked_1d", "liked_12h", "scores_2d",
        "liked_tags_1d", "likes", "mine", "current_like_count", "country_code", {"name": "nothing", "default": None},
        {"name": "image", "default_sql": "CAST(NULL AS FLOAT[])"}, {"name": "five", "default": 5},
        {"name": "words", "default": ["a"]}]  # fmt: skip
RUNTIME = {
    "enrich": ["art:score", "art:tags"],
    "ages": {"age": "art:born"},
    "recent_published": {"column": "mine", "published_at": "art:born", "author": "art:author_id", "window": "7d"},
    "content_filter": {"drop": {"score": [0.5, 7], "kind": ["x", "y"]}},
    "platforms": {"ios": 1, "web": 2},
}
POOL = {"enabled": False, "uri": "data/pool", "table": "vectors"}
EMBEDDINGS = {"columns": {"image": {"of": "artwork_id"}, "mean": {"mean_of": "liked_1d", "max_items": 3}}}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A project with every kind of column, which has never run; the working directory."""
    days = {"2026-02-01": ROWS.slice(0, 1), DAY: ROWS.slice(1)}
    root = project(tmp_path / "w", days, VIEW, AGGREGATIONS, MADE, **RUNTIME)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def pool(world):
    """A table of one vector."""
    import lancedb

    vectors = pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))
    lancedb.connect("data/pool").create_table("vectors", pa.table({"artwork_id": pa.array([10]), "vector": vectors}))


def runtime(world):
    return world / "config/training/runtime.yaml"


def change(world, change) -> None:
    """Edits the aggregations."""
    path = world / "config/training/aggregations.yaml"
    whole = yaml.safe_load(path.read_text())
    change(whole["aggregations"])
    path.write_text(yaml.safe_dump(whole))


def digest() -> str:
    return compiled(Settings())["digest"]


def test_columns_are_those_of_the_partitions(world):
    columns = compiled(Settings())["columns"]
    assert not (world / "cache").exists() and not (world / "data/training_output").exists()
    run_skeleton_stage(Settings(), DAY)
    part = pq.ParquetFile(world / f"data/training_output/dt={DAY}/part-0-0.parquet")
    assert [(c["name"], c["type"]) for c in columns] == [(f.name, type_name(f.type)) for f in part.schema_arrow]
    rows = part.read()
    assert not [c["name"] for c in columns if not c["nullable"] and rows[c["name"]].null_count]
    assert compiled(Settings())["columns"] == columns


def test_each_kind_of_column_has_its_source_and_a_sentence(world):
    found = {c["name"]: c for c in compiled(Settings())["columns"]}
    sources = {name: one["source"] for name, one in found.items()}
    assert sources["user_id"] == "feed user_id" and sources["author_id"] == "view art:author_id"
    assert sources["age"] == "age art:born" and sources["mine"] == "recent_published"
    assert sources["liked_12h"] == "aggregation liked, 12h" and sources["likes"] == "aggregation likes, cumulative"
    assert sources["nothing"] == sources["five"] == "default" and "qid" not in found
    assert found["liked_12h"]["meaning"] == (
        "The distinct artwork_id of the user's like and love events in the 12 hours strictly before the row, by most "
        "recent occurrence, newest first, without the row's own artwork, at most 5."
    )
    assert found["scores_2d"]["meaning"] == (
        "The score of the user's like events in the 2 days strictly before the row, newest first, repeats kept, "
        "without events of the row's own artwork."
    )
    assert "of all time strictly before the row" in found["likes"]["meaning"]
    assert "distinct members of tags" in found["liked_tags_1d"]["meaning"]
    assert "in the 7 days strictly before the row" in found["mine"]["meaning"]
    assert found["nothing"]["nullable"] and not found["five"]["nullable"] and "Always 5" in found["five"]["meaning"]
    assert not found["country_code"]["nullable"] and found["current_like_count"]["nullable"]
    edit(world / "config/catalog.yaml", views__art__as_of="day")
    edit(runtime(world), animated_model_type=None)
    assert (
        "before the end of the row's day" in {c["name"]: c for c in compiled(Settings())["columns"]}["kind"]["meaning"]
    )


def test_embeddings_take_the_place_of_their_names(world, pool):
    plain = digest()
    edit(runtime(world), embedding_coverage_filter=POOL, embeddings=EMBEDDINGS)
    found = compiled(Settings())
    names = [c["name"] for c in found["columns"]]
    before = [c["name"] for c in found["skeleton_columns"]]
    assert names == [*before, "mean"] and found["digest"] != plain
    image, mean = found["columns"][names.index("image")], found["columns"][-1]
    assert image["source"] == "embedding of artwork_id" and mean["source"] == "mean of liked_1d"
    assert image["type"] == mean["type"] == "FLOAT[]" and image["nullable"]
    assert "first 3 ids of liked_1d" in mean["meaning"] and "float32" in mean["meaning"]
    steps = {one["step"]: one for one in found["steps"]}
    assert steps["vectors:mean"]["upstream"] == ["pool_places", "pool_vectors", "rolling:liked"]
    assert steps["means:mean"]["config"]["embeddings.columns.mean.max_items"] == 3
    edit(runtime(world), embeddings={**EMBEDDINGS, "columns": dict(reversed(EMBEDDINGS["columns"].items()))})
    assert digest() == found["digest"]
    edit(runtime(world), embeddings={**EMBEDDINGS, "dtype": "float16"})
    assert digest() != found["digest"]


def test_qid_comes_last_where_the_feed_has_sessions(world, pool):
    path = world / f"data/feed/dt={DAY}/p.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("feed_session", pa.array(["s"] * len(table))), path)
    edit(runtime(world), embedding_coverage_filter=POOL, embeddings=EMBEDDINGS)
    found = compiled(Settings())
    assert [c["name"] for c in found["columns"]][-2:] == ["mean", "qid"]
    assert found["columns"][-1]["source"] == "qid of feed_session" and found["columns"][-1]["type"] == "BIGINT"


def test_steps_tell_their_keys_and_inputs(world):
    steps = {one["step"]: one for one in compiled(Settings())["steps"]}
    assert steps["spine"]["inputs"] == ["feed"] and steps["view:art"]["inputs"] == ["view art"]
    assert steps["view:art"]["config"]["views.art.timestamp_field"] == "updated_at"
    assert steps["content"]["config"]["content_filter.drop.kind"] == ["x", "y"]
    assert steps["rolling:liked"]["config"]["aggregations.liked.max_items"] == 5
    assert "rolling:unused" not in steps and "history:like.event" in steps["rolling:likes"]["upstream"]
    assert steps["chunk"]["config"]["entity_spine_chunk_rows"] == 500_000
    run = run_skeleton_stage(Settings(), DAY, plan=True)
    named = {row["step"].partition("@")[0] for row in run.plan}
    assert named - steps.keys() == set() and len(named) > 8


SAME = {
    "key order": lambda w: runtime(w).write_text(
        yaml.safe_dump(dict(reversed(yaml.safe_load(runtime(w).read_text()).items())), sort_keys=False)),
    "a comment": lambda w: runtime(w).write_text("# words\n" + runtime(w).read_text()),
    "a duration's spelling": lambda w: edit(runtime(w), recent_published__window="168h"),
    "order of events": lambda w: change(w, lambda found: found[0].update(events=["love", "like", "like"])),
    "order of windows": lambda w: change(w, lambda found: found[0].update(windows=["12h", "1d"])),
    "order of aggregations": lambda w: change(w, lambda found: found.reverse()),
    "what nothing ships": lambda w: change(w, lambda found: found.pop()),
    "order of a filter": lambda w: edit(
        runtime(w), content_filter__drop={"kind": ["y", "x", "y"], "score": [7.0, 0.5]}),
    "a value that no row can have": lambda w: edit(runtime(w), content_filter__drop__small=[70_000]),
    "feature_refs": lambda w: edit(runtime(w), feature_refs=["art:kind", "art:score"]),
    "order of enrich": lambda w: edit(runtime(w), enrich=["art:tags", "art:score"]),
    "order of features": lambda w: edit(w / "config/catalog.yaml", views__art__features=VIEW.column_names[:1:-1]),
    "lateness in its other form": lambda w: edit(runtime(w), spine__lateness_days={"before": 0, "after": 0}),
    "a default that is written": lambda w: edit(runtime(w), spine__deduplicate=True),
    "a constant's SQL": lambda w: edit(runtime(w), output_columns=[
        {"name": "five", "default_sql": "2 + 3"} if one == {"name": "five", "default": 5} else one
        for one in yaml.safe_load(runtime(w).read_text())["output_columns"]]),
    "threads and workers": lambda w: edit(runtime(w), compute={"duckdb_config": {"threads": 2}}, day_workers=3),
    "roots": lambda w: edit(runtime(w), output_root="data/elsewhere", cache_root="other"),
    "range": lambda w: edit(runtime(w), feed_start=DAY),
    "a path": lambda w: (shutil.move(w / "data/art", w / "data/moved"),
                         edit(w / "config/catalog.yaml", views__art__source="data/moved/*.parquet")),
    "a code that is 0 anyway": lambda w: edit(runtime(w), platforms={"ios": 1, "tv": 0, "web": 2}),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_the_digest_is_the_same(world, what):
    before = digest()
    SAME[what](world)
    assert digest() == before


OTHER = {
    "a window": lambda w: edit(runtime(w), recent_published__window="8d"),
    "an unshipped window": lambda w: change(w, lambda found: found[0]["windows"].append("2d")),
    "an event": lambda w: change(w, lambda found: found[0]["events"].pop()),
    "max_items": lambda w: change(w, lambda found: found[0].update(max_items=6)),
    "exclude_self": lambda w: change(w, lambda found: found[0].pop("exclude_self")),
    "agg": lambda w: change(w, lambda found: found[0].update(agg="list")),
    "a filter's value": lambda w: edit(runtime(w), content_filter__drop__kind=["x"]),
    "order of columns": lambda w: edit(runtime(w), output_columns=[*MADE, "event", "artwork_id"]),
    "a default": lambda w: edit(runtime(w), output_columns=["user_id", *MADE[:-2], {"name": "five", "default": 6}]),
    "a default's type": lambda w: edit(runtime(w), output_columns=[
        "user_id", *MADE[:-2], {"name": "five", "default_sql": "CAST(5 AS BIGINT)"}]),
    "rows of a part": lambda w: edit(runtime(w), entity_spine_chunk_rows=7),
    "deduplicate": lambda w: edit(runtime(w), spine__deduplicate=False),
    "lateness": lambda w: edit(runtime(w), spine__lateness_days=1),
    "lookback": lambda w: edit(runtime(w), spine__lookback_days=4),
    "as_of": lambda w: edit(w / "config/catalog.yaml", views__art__as_of="day"),
    "session filter": lambda w: edit(runtime(w), session_filter={"drop_view_only": True}),
    "platforms": lambda w: edit(runtime(w), platforms={"ios": 1, "web": 3}),
    "an age's source": lambda w: edit(runtime(w), ages={"age": "art:seen"}),
    "a feature's type": lambda w: pq.write_table(
        VIEW.set_column(9, "small", VIEW["small"].cast("int64")), w / "data/art/a.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHER)
def test_the_digest_is_another(world, what):
    before = digest()
    OTHER[what](world)
    assert digest() != before


def test_the_command_prints_and_writes_the_document(warm, capsys):
    document = warm.json("compile", "--out", "compiled.json")
    assert {"schema": 1, **json.loads((warm.root / "compiled.json").read_text())} == document
    assert document["range"] == ["2026-02-01", "2026-02-28"] and "duckdb" in document["engines"]
    assert document["paths"]["feed.path"] == "data/feed" and document["columns"][-1]["name"] == "qid"
    main_ends(["compile"], 0)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"digest      {document['digest']}" and max(map(len, shown)) <= 80
    assert any(line.startswith("  like_artwork_ids_7d ") and "BIGINT[], never NULL" in line for line in shown)
    assert json.loads(warm.cli("config", "check", "--json").stdout)["digest"] == document["digest"]


def main_ends(arguments: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code


REFUSED = {
    "an unknown key": (lambda w: edit(w.runtime, no_such=1), "no_such"),
    "a view that is gone": (lambda w: shutil.rmtree(w.root / "data/catalog/artwork_tack"), "artwork_tack"),
    "a column that does not exist": (lambda w: edit(w.runtime, output_columns=["nobody"]), "nobody"),
    "a default that is no constant": (
        lambda w: edit(w.runtime, output_columns=["user_id", {"name": "x", "default_sql": "now()"}]), "not a constant"),
    "a pool that is gone": (lambda w: shutil.rmtree(w.root / "data/embeddings"), "pool"),
    "an id column that is none": (
        lambda w: edit(w.runtime, embedding_coverage_filter__id_column="vector"), "id_column"),
    "a range without rows": (lambda w: edit(w.runtime, feed_start="203001", feed_end="203002"), "no day of the range"),
    "a value of another type": (lambda w: edit(w.runtime, content_filter__drop={"width": ["x"]}), "content_filter"),
    "a feed of bad files": (
        lambda w: [path.write_bytes(b"PAR1") for path in w.root.glob("data/feed/*/*.parquet")], "no feed file"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_as_a_run_is(cold, what, capsys):
    spoil, said = REFUSED[what]
    spoil(cold)
    before = sorted(os.listdir(cold.root))
    main_ends(["compile", "--out", "compiled.json", "--json"], 2)
    printed = capsys.readouterr()
    assert said in printed.err and "error" in json.loads(printed.out)
    assert sorted(os.listdir(cold.root)) == before
    with pytest.raises(DaedalusError) as refused:
        cold.run(None)
    assert refused.value.text().splitlines()[0] in printed.err


@pytest.mark.parametrize("out", ["config", "nowhere/x.json", "link.json", ""])
def test_a_file_that_cannot_be_written_is_refused_first(warm, out, capsys):
    (warm.root / "link.json").symlink_to("target.json")
    main_ends(["compile", "--out", out], 2)
    assert "--out" in capsys.readouterr().err and not (warm.root / "target.json").exists()


def test_a_file_is_replaced_whole(warm, monkeypatch):
    out = warm.root / "compiled.json"
    out.write_text("before")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "full")))
    main_ends(["compile", "--out", "compiled.json"], 2)
    assert out.read_text() == "before" and not list(warm.root.glob(".daeda-*"))


def test_only_as_much_of_the_feed_is_looked_at_as_must_be(cold):
    """Files whose pages are damaged, and later days of any kind, do not matter: no row is read."""
    before = digest()
    from small import damage_pages

    for day in DAYS[1:]:
        damage_pages(cold.feed_file(day))
    cold.feed_file(DAYS[-1]).write_bytes(b"PAR1")
    for path in cold.root.glob("data/catalog/*/*.parquet"):
        damage_pages(path)
    assert digest() == before
