"""What the inspecting commands say of columns of vectors: rows, audits, differences, reports, runs and hints."""

from __future__ import annotations

import json
import math
import random
from fractions import Fraction
from pathlib import Path

import duckdb
import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import DAYS, EMBEDDINGS, ENRICHED, Small, edit, rewrite

from daedalus.audit.audit import audit, audit_lines, differs
from daedalus.audit.vectors import Asked, Means, neighbours, rounded, single
from daedalus.base.errors import DaedalusError
from daedalus.explain.day import day_lines, explain_day, explain_step
from daedalus.explain.diff import diff_day, diff_lines
from daedalus.explain.row import explain_row
from daedalus.explain.row_lines import row_lines
from daedalus.explain.run_history import list_runs, runs_lines
from daedalus.pipelines.training import run_skeleton_stage, run_training_pipeline
from daedalus.report.collect import collect
from daedalus.report.page import render
from daedalus.upkeep.gc import cache_gc
from daedalus.upkeep.status import cache_status
from daedalus.upkeep.verify import cache_verify
from daedalus.workspace.settings import Settings

DAY = str(ENRICHED[-1])
RANGE = f"{ENRICHED[0]}..{ENRICHED[-1]}"
POOL = "data/embeddings/artwork_embedding.lance"


def partition(world: Small, day: str = DAY) -> Path:
    return world.root / f"data/training_enriched/dt={day}/part-0-0.parquet"


def rows(world: Small, day: str = DAY) -> list[dict]:
    return pq.ParquetFile(partition(world, day)).read().to_pylist()


def vectors() -> dict[int, list[float]]:
    """The pool's last vector of each id."""
    table = lance.dataset(POOL).to_table()
    pairs = zip(table["artwork_id"].to_pylist(), table["vector"].to_pylist(), strict=True)
    return {one: vector for one, vector in pairs if one is not None and vector is not None}


def test_explain_row_names_ids_weights_and_what_has_no_vector(enriched):
    known = vectors()
    for row in rows(enriched)[:6]:
        found = explain_row(Settings(), DAY, row["user_id"], row["artwork_id"], "like_artwork_avg_embeds")
        same = (row["event_timestamp"].isoformat(), row["event"])
        of_row = next(one for one in found["rows"] if (one["event_timestamp"], one["event"]) == same)
        told = of_row["vectors"]["like_artwork_avg_embeds"]
        ids, used = row["like_artwork_ids_7d"], [one for one in row["like_artwork_ids_7d"][:5] if one in known]
        assert [one["id"] for one in told["counted"]] == used and told["beyond"] == ids[5:]
        assert told["without_vector"] == [one for one in ids[:5] if one not in known]
        assert all(math.isclose(one["weight"], 1 / len(used), abs_tol=1e-6) for one in told["counted"])
        shipped = row["like_artwork_avg_embeds"]
        assert (told["components"] is None) == (shipped is None) == (not used)
        if shipped:
            assert all(map(lambda a, b: math.isclose(a, b, rel_tol=1e-5), told["components"], shipped))
            assert told["length"] == len(shipped)


def test_explain_row_shows_all_columns_and_refuses_others(enriched):
    row = max(rows(enriched), key=lambda one: len(one["like_artwork_ids_7d"]))
    found = explain_row(Settings(), DAY, row["user_id"], row["artwork_id"])
    assert set(found["rows"][0]["vectors"]) == set(EMBEDDINGS)
    text = "\n".join(row_lines(found))
    assert f"image_embedding: the vector of artwork_id {row['artwork_id']}" in text or "has no vector" in text
    assert "beyond max_items (5)" in text and "the mean of " in text and json.dumps(found)
    with pytest.raises(DaedalusError) as refused:
        explain_row(Settings(), DAY, row["user_id"], row["artwork_id"], "image_embeding")
    assert "image_embedding" in refused.value.hint
    with pytest.raises(DaedalusError) as never:
        explain_row(Settings(), str(DAYS[5]), row["user_id"], row["artwork_id"], "image_embedding")
    assert never.value.hint.startswith("daeda enrich --range ") or "no such row" in never.value.what


def test_an_audit_recomputes_vectors_and_finds_what_is_wrong(enriched):
    found = audit(Settings(), None, 100_000, 1)
    assert not differs(found) and found["not_compared"] == []
    assert found["enriched"]["days"] == [*map(str, ENRICHED)] and found["enriched"]["without_vector"] > 0
    assert found["enriched"]["vectors"] == 3 * sum(len(rows(enriched, str(day))) for day in ENRICHED)
    assert len(found["enriched"]["not_enriched"]) == 11 and max(map(len, audit_lines(found))) <= 80

    def spoil(table: pa.Table) -> pa.Table:
        values = table.to_pydict()
        place = next(i for i, vector in enumerate(values["image_embedding"]) if vector)
        values["image_embedding"][place][3] += 1e-6
        place = next(i for i, vector in enumerate(values["like_artwork_avg_embeds"]) if vector)
        values["like_artwork_avg_embeds"][place] = None
        values["platform_code"][0] = 99
        return pa.table(values, table.schema)

    rewrite(partition(enriched), spoil)
    found = audit(Settings(), DAY, 100_000, 1)
    assert set(found["by_column"]) == {"image_embedding", "like_artwork_avg_embeds", "platform_code"}
    assert any("in component 3" in str(row["expected"]) for row in found["differences"])
    assert any("daeda enrich" in line for line in audit_lines(found))


def test_an_audit_takes_the_last_vector_of_the_pool(enriched):
    """A later row of an id counts, unless its vector is NULL."""
    used = next(row["artwork_id"] for row in rows(enriched) if row["image_embedding"])
    schema = lance.dataset(POOL).schema
    size = schema.field("vector").type.list_size
    more = pa.table({"artwork_id": [used, used], "vector": [[0.5] * size, None]}, schema)
    lance.write_dataset(more, POOL, mode="append")
    assert set(audit(Settings(), DAY, 100_000, 1)["by_column"]) >= {"image_embedding"}
    report = run_training_pipeline(Settings(), RANGE)
    assert report.stages["enrich"].partitions["written"] > 0 and report.stages["skeleton"].partitions["kept"] == 3
    assert not differs(audit(Settings(), DAY, 100_000, 1))
    assert any("enrich" in line and "image_embedding" in line for line in report.changes)
    found = diff_day(Settings(), DAY)
    assert found["stages"]["skeleton"]["problem"]["what"] == "no run replaced this partition"
    change = found["stages"]["enrich"]["columns"]["image_embedding"]
    assert change["rows"] == sum(row["artwork_id"] == used for row in rows(enriched))
    assert change["examples"][0]["new"] == [0.5] * size and found["removed"] == found["added"] == 0


def test_diff_rebuilds_the_earlier_vectors_of_a_run(enriched):
    first = list_runs(Settings(), 1)["runs"][0]["id"]
    edit(enriched.runtime, embeddings__columns__like_artwork_avg_embeds__max_items=1,
         content_filter__drop={"model_type": ["SD_V1_MODEL", "FLUX_MODEL"]})  # fmt: skip
    before = rows(enriched)
    report = run_training_pipeline(Settings(), RANGE)
    assert len(report.changes) == 3 and all("enrich" in line for line in report.changes)
    found = diff_day(Settings(), DAY, first)
    after = rows(enriched)
    for name, stage in found["stages"].items():
        assert (stage["before"], stage["after"]) == (len(before), len(after)), name
    assert set(found["stages"]["enrich"]["columns"]) == {"like_artwork_avg_embeds"}
    lines = diff_lines(found)
    assert f"{DAY} enrich, run {first[:8]}" in "\n".join(lines) and any("in component " in line for line in lines)
    assert set(diff_day(Settings(), DAY, stage="enrich")["stages"]) == {"enrich"}
    with pytest.raises(DaedalusError, match="no such stage"):
        diff_day(Settings(), DAY, stage="compile")
    changed = [row["stage"] for row in list_runs(Settings(), 1)["runs"][0]["changed"]]
    assert sorted(changed) == ["enrich"] * 3 + ["skeleton"] * 3
    assert "6 partitions changed" in "\n".join(runs_lines(list_runs(Settings(), 1)))


def test_an_earlier_partition_that_gc_took_is_said_to_be_gone(enriched):
    edit(enriched.runtime, embeddings__columns__like_artwork_avg_embeds__max_items=1)
    run_training_pipeline(Settings(), RANGE)
    assert cache_gc(Settings())["removed"] >= 6
    with pytest.raises(DaedalusError, match=r"the cache has no trace|no longer in the cache"):
        diff_day(Settings(), DAY, stage="enrich")
    assert run_training_pipeline(Settings(), RANGE).steps["computed"] == 0


def test_the_report_has_columns_of_vectors_and_reads_a_partition_once(enriched):
    found = collect(Settings(), RANGE)
    columns = {column["name"]: column for column in found["columns"] if column["kind"] == "vector"}
    assert set(columns) == set(EMBEDDINGS) and columns["image_embedding"]["source"] == "vector of artwork_id"
    known = [row["image_embedding"] for row in rows(enriched)]
    shipped = [vector for vector in known if vector]
    measures = {name: series[-1] for name, series in columns["image_embedding"]["measures"].items()}
    norms = [math.sqrt(sum(value * value for value in vector)) for vector in shipped]
    assert measures["length"] == len(shipped[0]) and measures["odd"] == 0
    assert math.isclose(measures["nulls"], known.count(None) / len(known), rel_tol=1e-5)
    assert math.isclose(measures["norm"], sum(norms) / len(norms), rel_tol=1e-5)
    assert math.isclose(measures["low"], min(map(min, shipped)), rel_tol=1e-5)
    assert {"enriched", "means:like_artwork_avg_embeds"} <= {step["step"] for step in found["steps"]}
    assert {"pool_vectors", "fragment:0"} <= {row["step"] for row in found["of_no_day"]}
    page = render(found)
    assert "mean norm" in page and "data/training_enriched" in page
    assert found["reading"] == {"read": 6, "known": 0} and collect(Settings(), RANGE)["reading"]["known"] == 6


def test_the_next_command_is_that_of_the_stages(enriched):
    status = cache_status(Settings())
    assert status["run"] == "daeda enrich" and {row["state"] for row in status["days"]} == {"fresh"}
    assert {"fragment", "pool_vectors", "vectors", "means", "enriched"} <= set(status["steps"])
    assert Settings(output_root="out").run(Settings().applied()) == "daeda skeleton --output-root out"
    never = day_lines(explain_day(Settings(cache_root="cold"), DAY))
    assert never[-1] == f"never computed: daeda enrich --cache-root cold --range {DAY}"
    enriched.feed_file(ENRICHED[0]).write_bytes(b"no parquet")
    report = run_training_pipeline(Settings(cache_root="cold"), str(ENRICHED[0]), model="dssm")
    text = str(report)
    assert report.exit_code == 1 and f"daeda pipeline train dssm --cache-root cold --range {ENRICHED[0]}" in text
    assert (
        run_skeleton_stage(Settings(cache_root="cold"), str(ENRICHED[0])).command == "daeda skeleton --cache-root cold"
    )


def test_steps_of_enrich_can_be_made_again_and_explained(enriched):
    found = cache_verify(Settings(), 1000)
    assert found["differing"] == [] and found["corrupt"] == [] and found["recomputed"] > 50
    for step in ("fragment:0", "pool_vectors", "vectors:image_embedding", "means:like_artwork_avg_embeds", "enriched"):
        script = explain_step(Settings(), DAY, step)["script"]
        assert len(script) < 3000 and (".parquet" in script or POOL in script), script[:300]
    exec(script, {})  # the last writes what is published
    assert (enriched.root / "enriched/part-0-0.parquet").read_bytes() == partition(enriched).read_bytes()
    ids = duckdb.sql(explain_step(Settings(), DAY, "vectors:like_artwork_avg_embeds")["script"].partition(";")[0])
    used = {one for row in rows(enriched) for one in row["like_artwork_ids_7d"][:5]}
    assert used <= {row[0] for row in ids.fetchall()}


def test_lineage_and_lines_tell_of_both_stages(enriched):
    edit(enriched.runtime, embeddings__columns__like_artwork_avg_embeds__max_items=1)
    done = enriched.cli("enrich", "--range", DAY, "--progress", "plain", "--openlineage", "events.json")
    assert done.returncode == 0 and f"; {len(rows(enriched))} rows, " in done.stderr, done.stderr
    told = [json.loads(line) for line in (enriched.root / "events.json").read_text().splitlines()]
    jobs = [(event["job"]["name"], event["eventType"]) for event in told]
    assert jobs == [("skeleton", "START"), ("enrich", "START"), ("enrich.day", "START"), ("enrich.day", "COMPLETE"),
                    ("skeleton", "COMPLETE"), ("enrich", "COMPLETE")]  # fmt: skip
    day = told[3]
    assert [one["name"] for one in day["inputs"]] == [f"data/training_output/dt={DAY}", POOL.removesuffix(".lance")]
    [written] = day["outputs"]
    assert written["name"] == f"data/training_enriched/dt={DAY}"
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == len(rows(enriched))
    assert day["run"]["facets"]["parent"]["run"]["runId"] == told[1]["run"]["runId"]


def test_the_audit_rounds_as_numpy_does():
    chance = random.Random(7)
    for _ in range(5_000):
        value = chance.choice([-1, 1]) * chance.random() * 2.0 ** chance.randint(-160, 130)
        with np.errstate(over="ignore"):
            assert single(Fraction(value)) == rounded(value, "f") == float(np.float32(value))
            assert rounded(value, "e") == float(np.float16(value))
    for value in (0.0, 1.0, -1.0, 2.0**-149, 3.4028234663852886e38):
        below, above = neighbours(value)
        with np.errstate(over="ignore"):
            assert [below, above] == [
                float(np.nextafter(np.float32(value), np.float32(to))) for to in (-np.inf, np.inf)
            ]
    assert single(Fraction(2) ** 128) == math.inf and single(-(Fraction(2) ** 128)) == -math.inf
    assert single(Fraction(1) + Fraction(1, 2**24)) == 1.0  # a tie, to even
    assert single(Fraction(1) + Fraction(1, 2**24) + Fraction(1, 2**90)) == 1.0 + 2.0**-23


def test_the_audit_allows_one_unit_and_no_more():
    nan, inf, tiny = math.nan, math.inf, 2.0**-24
    known = {1: [1.0, 0.0, nan, inf, 3e38], 2: [2.0, -0.0, 1.0, 1.0, 3e38], 3: [1.0, -0.0, 1.0, -inf, 1.0]}
    means = Means(known, "f")

    def wrong(ids: list[int], found: list[float] | None, exact: bool = False) -> bool:
        return bool([*means.check(Asked(DAY, {}, "c", ids, exact, found))])

    big = rounded(3e38, "f")
    right = [1.5, 0.0, nan, inf, big]
    assert not wrong([1, 2], right) and not wrong([2, 1, 9], right) and not wrong([9], None)
    assert not wrong([1, 2], [1.5 + 2 * tiny, *right[1:]]) and wrong([1, 2], [1.5 + 4 * tiny, *right[1:]])
    assert wrong([1, 2], [*right[:2], 1.0, *right[3:]]) and wrong([1, 2], right[:4]) and wrong([1, 2], None)
    assert wrong([9], right) and wrong([1, 1, 2], right) and not wrong([1, 1, 2], [rounded(4 / 3, "f"), *right[1:]])
    assert not wrong([1, 3], [1.0, 0.0, nan, nan, rounded(1.5e38, "f")])
    assert not wrong([3], [1.0, -0.0, 1.0, -inf, 1.0], True) and wrong([3], [1.0, 0.0, 1.0, -inf, 1.0], True)
