"""Which folders of a feed are its days, by a pattern of their names, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from daedalus.audit.reference import partition_files
from daedalus.base.days import Day
from daedalus.config.load import load_config
from daedalus.config.partition_pattern import PartitionPattern
from daedalus.inputs.listing import FeedFolder
from daedalus.inputs.local_files import LocalNames
from daedalus.inputs.remote_files import RemoteFiles

NAMES = {
    "dt=%Y-%m-%d": {"dt=2026-02-01": True, "dt=2026-2-1": False, "dt=2026-02-30": False, "dt=0026-02-01": False,
                    "DT=2026-02-01": False, "dt=2026-02-01x": False},
    "dt=%Y%m%d": {"dt=20260201": True, "dt=2026021": False, "dt=2026-02-01": False},
    "%Y/%m/%d": {"2026/02/01": True, "2026/2/1": True, "2026/002/01": True, "2026/13/1": False, "2026/2/29": False,
                 "26/2/1": False},
    "y=%Y/m=%m/d=%d": {"y=2026/m=2/d=1": True, "y=2026/m=02/d=001": True, "y=2026/m=/d=1": False},
    "dt=%Y-%m-%d/hour=%H": {"dt=2026-02-01/hour=0": True, "dt=2026-02-01/hour=23": True, "dt=2026-02-01/hour=24": False,
                            "dt=2026-02-01/hour=x": False},
    "d.t=%Y.%m.%d": {"d.t=2026.02.01": True, "dxt=2026.02.01": False},
}  # fmt: skip


@pytest.mark.parametrize("pattern", NAMES)
def test_which_folders_are_days(tmp_path, pattern):
    for name, fits in NAMES[pattern].items():
        found = PartitionPattern(pattern).day(name.split("/"))
        assert found == (Day(2026, 2, 1) if fits else None), name
        folder = tmp_path / name.replace("/", "-") / name
        folder.mkdir(parents=True)
        (folder / "a.parquet").touch()
        there = [*partition_files(tmp_path / name.replace("/", "-"), pattern)]
        assert there == ([(Day(2026, 2, 1), folder / "a.parquet")] if fits else []), name
    assert not PartitionPattern(pattern).problem()


def test_the_folder_of_a_day():
    written = {"dt=%Y-%m-%d/hour=%H": "dt=2026-02-01", "y=%Y/m=%m/d=%d": "y=2026/m=02/d=01"}
    assert {text: PartitionPattern(text).folder_of(Day(2026, 2, 1)) for text in written} == written
    assert PartitionPattern("y=%Y/m-%m.%d/h=%H").wild == ["y=*", "m-*", "h=*"]


def test_what_does_not_fit_is_counted_and_named_once(tmp_path):
    for path in ("y=2026/m=2/d=1/b.parquet", "y=2026/m=02/d=1/a.PARQUET", "y=2026/m=2/d=1/_c.parquet",
                 "y=2026/m=2/x.parquet", "y=2026/m=2/d=1/deep/x.parquet", "y=2026/m=14/d=1/x.parquet",
                 "y=2026/_m=3/x.parquet", "old/x.parquet", "y=2026/m=2/d=40/x.parquet", "_x/x",
                 "y=2026/m=2/.d=1/x"):  # fmt: skip
        place = tmp_path / "feed" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    config = _config(tmp_path, tmp_path / "feed", "y=%Y/m=%m/d=%d")
    folder = FeedFolder(load_config(config), LocalNames())
    assert folder.days == {Day(2026, 2, 1): ["y=2026/m=02/d=1/a.PARQUET", "y=2026/m=2/d=1/b.parquet"]}
    assert folder.notes == [
        "ignored 3 folders of the feed, not named y=YYYY/m=MM/d=DD: old, y=2026/m=14, y=2026/m=2/d=40",
        "ignored 1 folder inside a day's: y=2026/m=2/d=1/deep",
        "ignored 1 file of the feed, not y=YYYY/m=MM/d=DD/*.parquet: y=2026/m=2/x.parquet",
    ]


def test_a_tree_in_a_bucket_is_read_out_of_one_listing(tmp_path):
    names = ["y=2026/m=2/d=1/h=0/a.parquet", "y=2026/m=2/d=1/h=1/a.parquet", "y=2026/m=2/d=10/h=1/a.parquet",
             "y=2026/m=20/d=1/h=0/x.parquet", "y=2026/m=2x", "z"]  # fmt: skip
    files = RemoteFiles({}, None, None, None)  # type: ignore[arg-type]
    files._listings["s3://b/feed/"] = [SimpleNamespace(uri=f"s3://b/feed/{name}") for name in sorted(names)]  # type: ignore[misc]
    config = load_config(_config(tmp_path, "s3://b/feed", "y=%Y/m=%m/d=%d/h=%H"))
    folder = FeedFolder(config, files)
    assert folder.days == {Day(2026, 2, 1): names[:2], Day(2026, 2, 10): names[2:3]}
    assert folder.paths(Day(2026, 2, 10)) == [f"s3://b/feed/{names[2]}"]


def _config(root: Path, feed: object, pattern: str) -> Path:
    for name, text in {"catalog": f"feed: {{path: {feed}, partition: '{pattern}'}}", "training/aggregations": "{}",
                       "training/runtime": "{feed_start: '202602', feed_end: '202602', output_columns: [user_id]}"
                       }.items():  # fmt: skip
        (root / "config/training").mkdir(parents=True, exist_ok=True)
        (root / f"config/{name}.yaml").write_text(text)
    return root / "config"
