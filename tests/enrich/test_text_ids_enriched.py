"""The enrich stage of ids that are text: the vectors and means that the same ids have as whole numbers."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from enrich_tiny import DAYS, RANGE, tiny_world
from enrich_worlds import EnrichWorld, enrich_worlds
from hypothesis import given, settings
from small import answered, edit, rewrite
from test_enrich_worlds import EXAMPLES, THOROUGH, as_rows, parts, run
from texts import Texts, artwork_name, with_texts

from daedalus.audit.audit import audit, differs
from daedalus.compile.resolve import compiled
from daedalus.explain.diff import diff_day
from daedalus.explain.row import explain_row
from daedalus.loading.load import load
from daedalus.pipelines.on_dask import _job
from daedalus.report.collect import collect
from daedalus.report.page import render
from daedalus.upkeep.status import cache_status
from daedalus.upkeep.verify import cache_verify
from daedalus.workspace.graph import build_graph
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened

SAME = Texts(artwork_name, artwork_name)  # a user's id may be that of a vector, too


def of_ids(made: EnrichWorld) -> EnrichWorld:
    """The world, where embeddings are of columns that are text in the other."""
    aggregations = made.world.aggregations
    for one in aggregations:
        if one["agg"] in ("sum", "mean", "std") and one["column"] in ("artwork_id", "author_id"):
            one["agg"] = "max"
        one.pop("where", None)
        if one["agg"] == "flatten_distinct":
            one |= {"agg": "distinct", "column": "artwork_id"}
        elif one["column"] not in ("artwork_id", "author_id"):
            one["column"] = "author_id" if one["windows"] != "cumulative" else "artwork_id"
            one["agg"] = "list" if one["agg"] in ("sum", "mean", "std") else one["agg"]
    made.embeddings.columns = {
        name: {"of": "artwork_id"} if entry.get("of") == "model_id" else entry
        for name, entry in made.embeddings.columns.items()
    }
    return made


@given(enrich_worlds())
@settings(THOROUGH, max_examples=max(EXAMPLES // 4, 3))
def test_text_ids_have_the_vectors_of_the_numbers(made):
    of_ids(made)
    with tempfile.TemporaryDirectory() as folder:
        plain, texts = Path(folder) / "plain", Path(folder) / "texts"
        made.build(plain)
        with_texts(plain, texts, SAME)
        expected, found = run(plain, made), run(texts, made)
        assert not found.stages["skeleton"].failures
        assert [(f.day, f.step, of_texts(f.error)) for f in expected.failures] == [
            (f.day, f.step, of_texts(f.error)) for f in found.failures
        ]
        vectors = list(made.embeddings.columns)
        wanted, got = parts(plain / "enriched"), parts(texts / "enriched")
        assert wanted.keys() == got.keys()
        for day in wanted:
            assert {name: t.num_rows for name, t in wanted[day].items()} == {n: t.num_rows for n, t in got[day].items()}
            for name in wanted[day]:
                for column in vectors:
                    one, other = (as_rows(side[day][name].select([column])) for side in (wanted, got))
                    assert list(map(repr, one)) == list(map(repr, other))
        again = run(texts, made)
        ran = [again.steps["computed"], again.steps["unchanged"], again.partitions["written"]]
        assert ran == [0, 0, 0] or again.failures


def of_texts(error: str) -> str:
    """An error whose ids are numbers."""
    return re.sub(r"'a0*(\d+)'", r"\1", error).replace("/texts/", "/plain/")


def as_uuid(number: int) -> str:
    """In the order of the numbers."""
    return str(uuid.UUID(int=number))


@pytest.fixture(params=["text", "uuids"])
def tiny(request, tmp_path, monkeypatch):
    """The tiny world with ids that are text or parquet's UUIDs, as the working directory."""
    named, uuids = (as_uuid, True) if request.param == "uuids" else (artwork_name, False)
    plain = tmp_path / "plain"
    plain.mkdir()
    monkeypatch.chdir(plain)
    world = tiny_world(plain)
    with_texts(plain, tmp_path / "texts", Texts(named, named, uuids))
    monkeypatch.chdir(tmp_path / "texts")
    return world


def test_commands_take_ids_that_are_text(tiny):
    report = tiny.run()
    assert not report.failures
    day, parts = str(DAYS[-1]), sorted(Path("enriched", f"dt={DAYS[-1]}").iterdir())
    row = next(row for part in parts for row in pq.ParquetFile(part).read().to_pylist() if len(row["likes_1d"]) > 1)
    found = json.loads(answered("explain", "row", day, "--user", row["user_id"], "--artwork", row["artwork_id"],
                                "--json").stdout)  # fmt: skip
    (told,) = (one for one in found["rows"] if (one["event_timestamp"], one["event"])
               == (row["event_timestamp"].isoformat(), row["event"]))  # fmt: skip
    assert [one["value"] for one in told["columns"]["likes_1d"]["counted"]] == row["likes_1d"]
    assert told["vectors"]["image"]["id"] == row["artwork_id"]
    assert told["vectors"]["image"]["has_vector"] == (row["image"] is not None)
    assert told["vectors"]["like_mean"]["components"] == pytest.approx(row["like_mean"])
    for column in ("like_mean", "author_mean"):
        explain_row(Settings(), day, row["user_id"], row["artwork_id"], column)
    audited = audit(Settings(), None, 1000, 0)
    assert audited["rows"] and audited["enriched"]["vectors"] and not differs(audited)
    types = {column["name"]: column["type"] for column in compiled(Settings())["columns"]}
    assert types["author_id"] in ("VARCHAR", "UUID") and types["likes_1d"] == "VARCHAR[]"
    assert {one["state"] for one in cache_status(Settings())["days"]} == {"fresh"}
    assert cache_verify(Settings())["corrupt"] == []
    again = tiny.run()
    assert again.steps["computed"] == again.steps["unchanged"] == 0
    assert load(RANGE, stage="enrich").schema.field("user_id").type == pa.string()
    rewrite(Path(f"feed/dt={day}/p.parquet"), lambda table: pa.concat_tables([table.slice(3), table.slice(5, 1)]))
    assert not tiny.run().failures
    changed = diff_day(Settings(), day)
    assert changed["removed"] and not any("note" in one for one in changed["columns"].values())
    assert "user_id" in render(collect(Settings()))


@pytest.mark.parametrize("tiny", ["text"], indirect=True)
def test_workers_and_other_machines_take_them_too(tiny, bucket, store_options):
    runtime = Path("config/training/runtime.yaml")
    edit(runtime, cache_remote=f"{bucket}/cache", object_store=store_options)
    assert not tiny.run().failures
    shutil.rmtree("cache")
    other = tiny.ran(output_root="other", enriched_root="other_enriched")
    assert {name.partition("@")[0] for name in other.computed} == {"qids"}  # of an output of its own
    with opened(Settings()) as workspace:
        graph = build_graph(workspace, DAYS, reconcile=False)
        job = _job(workspace, graph, "run", {}, None)
    assert job.config.feed_types == {"user_id": "VARCHAR", "artwork_id": "VARCHAR"}  # what Dask's workers are given
