"""Tables of Delta Lake and Iceberg in a bucket: the bytes of the same rows on a disk, and few requests for a rerun."""

from __future__ import annotations

from pathlib import Path

import pytest
from anything import anything
from lake import Lake, delta_feed, delta_view, feed_days
from small import edit

from daedalus.base.errors import DaedalusError
from daedalus.inputs.lake import iceberg
from daedalus.inputs.lake.table import Place
from daedalus.objectstore.object_store import ObjectStore
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.workspace.settings import Settings


def upload(folder: Path, store: ObjectStore) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put(str(path.relative_to(folder)), path)


def by_others(address: str, options: dict[str, str]) -> str:
    """An address as Spark writes it into the metadata of a table."""
    scheme, _, rest = address.partition("://")
    bucket, _, path = rest.partition("/")
    account = f"{options.get('account_name')}.dfs.core.windows.net"
    return {"s3": f"s3a://{rest}", "gs": address, "az": f"abfss://{bucket}@{account}/{path}"}[scheme]


def test_an_iceberg_table_in_another_account_is_refused():
    location = "abfss://c@theirs.dfs.core.windows.net/t/data/f.parquet"
    place = Place("az://c/t", None, "feed.path", None, {"account_name": "ours"})  # type: ignore[arg-type]
    with pytest.raises(DaedalusError, match="another storage account") as refused:
        iceberg._path(place, location)
    assert refused.value.expected == "the account ours"
    assert iceberg._path(place, location.replace("theirs", "ours")) == "az://c/t/data/f.parquet"


def partitions() -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in Path("data/training_output").glob("dt=*/part-0-0.parquet")}


@pytest.mark.every_cloud
@pytest.mark.parametrize("format", ["delta", "iceberg"])
def test_a_table_in_a_bucket(tmp_path, monkeypatch, bucket, store_options, format):
    monkeypatch.chdir(tmp_path)
    world, address = anything(14), f"{bucket}/{format}"
    world.write(tmp_path)
    expected_report = run_skeleton_stage(Settings(cache_root="cache-of-trees"), world.range)
    expected = partitions()
    if format == "delta":
        delta_feed(Path("feed"), Path("lake/feed"), "date")
        delta_view(Path("catalog/Items"), Path("lake/items"))
        upload(Path("lake"), ObjectStore(address, store_options))
    else:
        lake = Lake(tmp_path / "lake", by_others(address, store_options), store_options)
        lake.feed("feed", Path("feed"))
        lake.view("items", Path("catalog/Items"))
    edit(Path("config/catalog.yaml"), feed__path=f"{address}/feed", views__Items__source=f"{address}/items")
    edit(Path("config/training/runtime.yaml"), object_store=store_options)
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
