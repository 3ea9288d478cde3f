"""Tables of Delta Lake and Iceberg in a bucket: the bytes of the same rows on a disk, and few requests for a rerun."""

from __future__ import annotations

from pathlib import Path

import pytest
from anything import anything
from lake import Lake, delta_feed, delta_view, feed_days
from small import edit

from daedalus.objectstore.object_store import ObjectStore
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings


def upload(folder: Path, store: ObjectStore) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put(str(path.relative_to(folder)), path)


def partitions() -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in Path("data/training_output").glob("dt=*/part-0-0.parquet")}


@pytest.mark.parametrize("format", ["delta", "iceberg"])
def test_a_table_in_a_bucket(tmp_path, monkeypatch, bucket, s3_options, format):
    monkeypatch.chdir(tmp_path)
    world, address = anything(14), f"{bucket}/{format}"
    world.write(tmp_path)
    expected_report = run_skeleton_stage(Settings(cache_root="cache-of-trees"), world.range)
    expected = partitions()
    if format == "delta":
        delta_feed(Path("feed"), Path("lake/feed"), "date")
        delta_view(Path("catalog/Items"), Path("lake/items"))
        upload(Path("lake"), ObjectStore(address, s3_options))
    else:
        named = {"endpoint": "endpoint", "access-key-id": "access_key_id", "secret-access-key": "secret_access_key",
                 "region": "region"}  # fmt: skip
        lake = Lake(tmp_path / "lake", address, **{f"s3.{name}": s3_options[ours] for name, ours in named.items()})
        lake.feed("feed", Path("feed"))
        lake.view("items", Path("catalog/Items"))
    edit(Path("config/catalog.yaml"), feed__path=f"{address}/feed", views__Items__source=f"{address}/items")
    edit(Path("config/training/runtime.yaml"), object_store=s3_options)
    report = run_skeleton_stage(Settings(output_root="out"), world.range)
    assert not report.failures and report.rows == expected_report.rows
    found = {path.parent.name: path.read_bytes() for path in Path("out").glob("dt=*/part-0-0.parquet")}
    assert found == expected and len(list(feed_days(Path("feed")))) == 5
    asked = []
    for kind in ("list", "head", "fetch"):
        plain = getattr(ObjectStore, kind)
        watched = lambda store, key="", *more, plain=plain, kind=kind: asked.append(kind) or plain(store, key, *more)  # noqa: E731
        monkeypatch.setattr(ObjectStore, kind, watched)
    again = run_skeleton_stage(Settings(output_root="out"), world.range)
    assert again.steps["computed"] == again.steps["unchanged"] == 0
    assert set(asked) == {"list"} and len(asked) <= 6
