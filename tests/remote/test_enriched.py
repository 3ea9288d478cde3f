"""Enriched partitions in a bucket: what looks at them finds what a local run would have."""

from __future__ import annotations

import pytest
from remote import Remote
from small import DAYS, EMBEDDINGS, edit

from daedalus.audit.audit import audit, differs
from daedalus.explain.day import explain_step
from daedalus.explain.diff import diff_day
from daedalus.explain.row import explain_row
from daedalus.output.load import load
from daedalus.pipelines.training import run_training_pipeline
from daedalus.report.collect import collect
from daedalus.workspace.settings import Settings

DAY = str(DAYS[1])


@pytest.fixture
def remote(cold, bucket, s3_options) -> Remote:
    world = Remote(cold.root, bucket, s3_options)
    world.upload()
    world.configure(s3_options)
    edit(world.runtime, embeddings={"columns": EMBEDDINGS, "output_root": f"{bucket}/enriched"})
    return world


def test_what_looks_at_vectors_works_on_objects(remote, s3_options):
    report = run_training_pipeline(Settings(), DAY)
    assert report.exit_code == 0 and report.stages["enrich"].partitions["written"] == 1
    found = audit(Settings(), DAY, 60, 0)
    assert not differs(found) and found["enriched"]["vectors"] > 0 and found["enriched"]["days"] == [DAY]
    uri = f"{remote.bucket}/enriched"
    row = load(DAY, output_root=uri, object_store=s3_options).to_table().to_pylist()[0]
    told = explain_row(Settings(), DAY, row["user_id"], row["artwork_id"], "image_embedding")
    assert told["rows"][0]["vectors"]["image_embedding"]["has_vector"] == (row["image_embedding"] is not None)
    assert {column["name"] for column in collect(Settings(), DAY)["columns"] if column["kind"] == "vector"} == set(
        EMBEDDINGS
    )
    assert "enriched" in explain_step(Settings(), DAY, "enriched")["script"]
    edit(remote.runtime, embeddings__columns__like_artwork_avg_embeds__max_items=1)
    assert run_training_pipeline(Settings(), DAY).changes
    assert set(diff_day(Settings(), DAY, stage="enrich")["columns"]) == {"like_artwork_avg_embeds"}
