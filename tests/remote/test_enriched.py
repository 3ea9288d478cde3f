"""Enriched partitions in a bucket: what looks at them finds what a local run would have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from enrich_tiny import DAYS as TINY_DAYS
from enrich_tiny import VIEWED, Stopping, TinyWorld
from remote import Remote
from small import DAYS, EMBEDDINGS, edit

from daedalus.audit.audit import audit, differs
from daedalus.base.errors import Interrupted
from daedalus.explain.day import explain_step
from daedalus.explain.diff import diff_day
from daedalus.explain.row import explain_row
from daedalus.loading.load import load
from daedalus.objectstore.object_store import ObjectStore
from daedalus.pipelines.training import run_training_pipeline
from daedalus.report.collect import collect
from daedalus.workspace.settings import Settings

DAY = str(DAYS[1])


@pytest.fixture
def remote(cold, bucket, store_options) -> Remote:
    world = Remote(cold.root, bucket, store_options)
    world.upload()
    world.configure(store_options)
    edit(world.runtime, embeddings={"columns": EMBEDDINGS, "output_root": f"{bucket}/enriched"})
    return world


def test_what_looks_at_vectors_works_on_objects(remote, store_options):
    report = run_training_pipeline(Settings(), DAY)
    assert report.exit_code == 0 and report.stages["enrich"].partitions["written"] == 1
    found = audit(Settings(), DAY, 60, 0)
    assert not differs(found) and found["enriched"]["vectors"] > 0 and found["enriched"]["days"] == [DAY]
    uri = f"{remote.bucket}/enriched"
    row = load(DAY, output_root=uri, object_store=store_options).to_table().to_pylist()[0]
    told = explain_row(Settings(), DAY, row["user_id"], row["artwork_id"], "image_embedding")
    assert told["rows"][0]["vectors"]["image_embedding"]["has_vector"] == (row["image_embedding"] is not None)
    assert {column["name"] for column in collect(Settings(), DAY)["columns"] if column["kind"] == "vector"} == set(
        EMBEDDINGS
    )
    assert "enriched" in explain_step(Settings(), DAY, "enriched")["script"]
    edit(remote.runtime, embeddings__columns__like_artwork_avg_embeds__max_items=1)
    assert run_training_pipeline(Settings(), DAY).changes
    assert set(diff_day(Settings(), DAY, stage="enrich")["columns"]) == {"like_artwork_avg_embeds"}


class Places(TinyWorld):
    """A world of which some outputs, or its pool, are in a bucket; without cache and outputs."""

    def __init__(self, root: Path, bucket: str, options: dict[str, str], there: set[str]) -> None:
        super().__init__(root)
        self.store, self.there = ObjectStore(bucket, options), there
        edit(self.runtime, object_store=options)
        if "skeleton" in there:
            edit(self.runtime, output_root=f"{bucket}/skeleton")
        if "enriched" in there:
            self.embeddings(output_root=f"{bucket}/enriched")
        if "pool" in there:
            edit(self.runtime, embedding_coverage_filter__uri=f"{bucket}/pool")
        self.upload_pool()

    def upload_pool(self) -> None:
        pool = self.root / "data/pool"
        for path in pool.rglob("*") if "pool" in self.there else ():
            if path.is_file():
                self.store.put(f"pool/{path.relative_to(pool)}", path)

    def manifest(self, stage: str, day: object) -> dict:
        return json.loads(self.store.get(f"{stage}/dt={day}/manifest.json")[0])

    def published(self) -> dict[str, bytes]:
        """Partitions of both stages as readers see them, wherever they are."""
        found = {}
        for stage in ("skeleton", "enriched"):
            for day in TINY_DAYS:
                folder = f"{stage}/dt={day}"
                if stage not in self.there:
                    parts = sorted((self.root / "data" / folder).glob("*"))
                    found |= {f"{folder}/{path.name}": path.read_bytes() for path in parts}
                    continue
                for part in self.manifest(stage, day)["parts"]:
                    name = part["key"].rpartition("/")[2]
                    found[f"{folder}/{name}"] = self.store.get(f"{folder}/{part['key']}")[0]
        return found


@pytest.mark.parametrize(
    "there",
    [{"enriched"}, {"skeleton", "pool"}, {"skeleton", "enriched", "pool"}],
    ids=lambda there: "+".join(sorted(there)),
)
def test_wherever_outputs_and_pool_are_the_bytes_are_those_of_a_local_run(
    tiny_enriched_template, bucket, store_options, tmp_path, monkeypatch, there
):
    root = Path(shutil.copytree(tiny_enriched_template, tmp_path / "world"))
    monkeypatch.chdir(root)
    local = {path.partition("/data/")[2]: data for path, data in TinyWorld(root).bytes().items() if "/dt=" in path}
    for made in ("cache", "data/skeleton", "data/enriched"):
        shutil.rmtree(root / made)
    world = Places(root, bucket, store_options, there)
    assert len(world.ran().names) == 63 and world.published() == local
    assert not world.ran().names
    for stage in there - {"pool"}:  # a part that somebody deleted
        world.store.delete([f"{stage}/dt={TINY_DAYS[1]}/{world.manifest(stage, TINY_DAYS[1])['parts'][0]['key']}"])
    steps = {"skeleton": "chunk", "enriched": "enriched"}
    assert sorted(world.ran().names) == sorted(f"{steps[stage]}@{TINY_DAYS[1]}" for stage in there - {"pool"})
    assert world.published() == local
    world.pool.append([(VIEWED, [1.0, 2.0, 3.0])])
    world.upload_pool()
    used = {name for name in world.ran().steps() if "@" in name}
    assert used == {f"vectors:image@{TINY_DAYS[2]}", f"enriched@{TINY_DAYS[2]}"}
    (root / f"data/feed/dt={TINY_DAYS[2]}").rename(root / "away")
    assert world.run().stages["enrich"].partitions["removed"] == 1 and not world.ran().names


@pytest.mark.parametrize("there", [{"skeleton", "enriched"}, {"skeleton"}, {"enriched"}], ids=sorted)
def test_the_two_of_a_day_are_old_or_new_together(
    tiny_enriched_template, bucket, store_options, tmp_path, monkeypatch, there
):
    """Ctrl-C when all skeleton partitions are made, and not all enriched ones."""
    root = Path(shutil.copytree(tiny_enriched_template, tmp_path / "world"))
    monkeypatch.chdir(root)
    edit(TinyWorld(root).runtime, entity_spine_chunk_rows=5)
    TinyWorld(root).ran()
    expected = {path.partition("/data/")[2]: data for path, data in TinyWorld(root).bytes().items() if "/dt=" in path}
    edit(TinyWorld(root).runtime, entity_spine_chunk_rows=17)
    for made in ("cache", "data/skeleton", "data/enriched"):
        shutil.rmtree(root / made)
    world = Places(root, bucket, store_options, there)
    world.ran()
    edit(world.runtime, entity_spine_chunk_rows=5)
    with pytest.raises(Interrupted):
        world.run(progress=Stopping(KeyboardInterrupt, "chunk", 3))
    left = world.published()
    assert left != expected and {name.partition("/")[2] for name in left if name.startswith("skeleton/")} == {
        name.partition("/")[2] for name in left if name.startswith("enriched/")
    }
    resumed = Stopping(KeyboardInterrupt, "no step", 1)
    report = world.run(None, resume=True, progress=resumed)
    assert not report.failures and world.published() == expected
    why = [cause for day in TINY_DAYS for cause in resumed.why.get(f"chunk@{day}", ())]
    assert why and all(cause.kind != "missing" for cause in why)
    assert report.changes and not any("rewritten" in line for line in report.changes)
    assert not world.ran().names
