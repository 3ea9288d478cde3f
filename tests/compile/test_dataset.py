"""`_dataset.json` says what lies beside it, whatever happened to the partitions and whoever made them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from remote import Remote
from small import DAYS, RANGE, Small, edit, nothing_ran, rewrite

import daedalus
from daedalus.base import digest
from daedalus.base.durable import DATASET
from daedalus.base.errors import Interrupted
from daedalus.compile.resolve import compiled
from daedalus.pipelines.run import _keep_dataset
from daedalus.pipelines.training import run_skeleton_stage
from daedalus.stagecache.walk.progress import Progress
from daedalus.workspace.settings import Settings


def noted(world: Small) -> dict:
    return json.loads((world.output / DATASET).read_text())


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check(found: dict, partitions: dict[str, dict[str, bytes]]) -> None:
    """Holds what is noted to the bytes of the parts that lie there, by day and name."""
    assert list(found["partitions"]) == sorted(partitions)
    for day, entry in found["partitions"].items():
        parts = partitions[day]
        assert [part["name"] for part in entry["parts"]] == list(parts)
        rows = [pq.read_metadata(memory(data)).num_rows for data in parts.values()]
        assert entry["parts"] == [
            {"name": name, "rows": count, "bytes": len(data), "digest": sha(data)}
            for (name, data), count in zip(parts.items(), rows, strict=True)
        ]
        assert entry["rows"] == sum(rows) and entry["bytes"] == sum(map(len, parts.values()))
        assert entry["digest"] == sha(b"".join(parts.values()))


def test_what_a_run_wrote_is_read_once_to_be_noted(cold, monkeypatch):
    """Before its partition is in its place: what lies there is read for whoever changed it since."""
    read: list[Path] = []
    sums_of = digest.sums_of
    monkeypatch.setattr(digest, "sums_of", lambda files: read.extend(files) or sums_of(files))

    class Changes(Progress):
        def day_done(self, day, outcomes):
            if day == str(DAYS[3]):  # by a file of as many bytes, as another process would
                part = cold.output / f"dt={day}/part-0-0.parquet"
                other = cold.root / "other"
                other.write_bytes(part.read_bytes())
                os.replace(other, part)

    run_skeleton_stage(Settings(), f"{DAYS[2]}..{DAYS[4]}", progress=Changes())
    there = [path.parent.name for path in read if path.parent.name.startswith("dt=")]
    assert there == [f"dt={DAYS[3]}"] and len(read) == 4
    check(noted(cold), lying(cold.output))


def memory(data: bytes):
    import io

    return io.BytesIO(data)


def lying(output: Path) -> dict[str, dict[str, bytes]]:
    def number(path: Path) -> int:
        return int(path.name.split("-")[1])

    found = {folder.name[3:]: sorted(folder.glob("part-*.parquet"), key=number) for folder in output.glob("dt=*")}
    return {day: {path.name: path.read_bytes() for path in parts} for day, parts in found.items()}


def compiles(found: dict) -> dict[str, str | None]:
    return {day: entry["compile"] for day, entry in found["partitions"].items()}


def test_after_a_run_it_tells_all(warm):
    found, document = noted(warm), compiled(Settings())
    assert list(found) == ["range", "digest", "columns", "partitions"]
    assert found["range"] == [str(DAYS[0]), str(DAYS[-1])] and found["digest"] == document["digest"]
    assert found["columns"] == document["columns"] and set(compiles(found).values()) == {document["digest"]}
    check(found, lying(warm.output))
    assert daedalus.load().count_rows() == sum(entry["rows"] for entry in found["partitions"].values())
    assert pq.ParquetDataset(warm.output / f"dt={DAYS[0]}").read().num_rows > 0


def test_a_run_that_changes_nothing_leaves_it(warm):
    before = os.stat(warm.output / DATASET)
    assert nothing_ran(warm.run())
    edit(warm.runtime, day_workers=2)  # looked up by key
    assert nothing_ran(warm.run())
    after = os.stat(warm.output / DATASET)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_days_that_an_edit_leaves_keep_their_digest(warm):
    before = noted(warm)
    edit(warm.runtime, session_filter__drop_single_like=True, entity_spine_chunk_rows=9)
    warm.run(str(DAYS[3]))
    found = noted(warm)
    check(found, lying(warm.output))
    assert len(found["partitions"][str(DAYS[3])]["parts"]) > 3 and found["digest"] != before["digest"]
    changed = {day for day, entry in found["partitions"].items() if entry != before["partitions"][day]}
    assert changed == {str(DAYS[3])} and found["range"] == before["range"]
    assert compiles(found)[str(DAYS[3])] == found["digest"] and compiles(found)[str(DAYS[4])] == before["digest"]


def test_many_parts_are_joined_by_number(warm):
    edit(warm.runtime, entity_spine_chunk_rows=5)
    warm.run(str(DAYS[2]))
    names = [part["name"] for part in noted(warm)["partitions"][str(DAYS[2])]["parts"]]
    assert len(names) > 11 and names == [f"part-{i}-0.parquet" for i in range(len(names))]
    check(noted(warm), lying(warm.output))


def test_a_corrected_and_a_removed_day(warm):
    before = noted(warm)
    rewrite(warm.feed_file(DAYS[-1]), lambda table: table.slice(0, len(table) // 2))
    shutil.rmtree(warm.feed_file(DAYS[-2]).parent)
    warm.run()
    found = noted(warm)
    check(found, lying(warm.output))
    assert str(DAYS[-2]) not in found["partitions"] and found["digest"] == before["digest"]
    assert found["partitions"][str(DAYS[-1])] != before["partitions"][str(DAYS[-1])]
    assert found["range"] == before["range"]


def test_partitions_that_nobody_noted_are_read_once(warm):
    """A file that is gone or damaged comes back; a partition that this configuration did not give has no digest."""
    edit(warm.runtime, session_filter__drop_single_like=True)
    warm.run(f"{DAYS[0]}..{DAYS[3]}")
    now = noted(warm)
    for spoil in (Path.unlink, lambda path: path.write_text("{"), lambda path: path.write_text('{"partitions": 3}')):
        spoil(warm.output / DATASET)
        warm.run(f"{DAYS[0]}..{DAYS[3]}", force=True)
        found = noted(warm)
        check(found, lying(warm.output))
        assert {day: one == now["digest"] for day, one in compiles(found).items()} == {
            str(day): day <= DAYS[3] for day in DAYS
        }
    assert set(compiles(noted(warm)).values()) == {now["digest"], None}


def test_a_file_that_is_gone_comes_back_although_nothing_runs(warm):
    before = noted(warm)
    (warm.output / DATASET).unlink()
    assert nothing_ran(warm.run()) and noted(warm) == before


def test_a_run_that_died_before_it_could_tell(warm, monkeypatch):
    """Its partitions have the sizes that are noted, and other bytes."""
    part = warm.output / f"dt={DAYS[0]}/part-0-0.parquet"
    before, data = noted(warm), part.read_bytes()

    def die(*_: object) -> None:
        raise Interrupted

    columns = [c["name"] for c in before["columns"][:9]]
    edit(warm.runtime, output_columns=[*columns, {"name": "n", "default": 1}])
    warm.run()
    first = noted(warm)
    edit(warm.runtime, output_columns=[*columns, {"name": "n", "default": 2}])
    monkeypatch.setattr("daedalus.pipelines.run._keep_dataset", die)
    with pytest.raises(Interrupted):
        warm.run()
    assert noted(warm) == first and part.read_bytes() != data
    monkeypatch.setattr("daedalus.pipelines.run._keep_dataset", _keep_dataset)
    warm.run(resume=True)
    found = noted(warm)
    check(found, lying(warm.output))
    assert set(compiles(found).values()) == {found["digest"]} != {first["digest"]}


def test_it_is_nobody_elses_business(warm):
    """Not that of verify, gc or readers; and other people's folders are not told of."""
    (warm.output / "dt=2026-02-20").mkdir()
    (warm.output / "dt=2026-02-20/theirs.parquet").write_bytes(b"x")
    edit(warm.runtime, session_filter__drop_single_like=True)
    warm.run()
    assert "2026-02-20" not in noted(warm)["partitions"]
    assert warm.cli("cache", "verify").returncode == warm.cli("cache", "gc").returncode == 0
    assert (warm.output / DATASET).is_file() and nothing_ran(warm.run())


def test_day_by_day_is_the_same(cold, warm_template):
    for day in DAYS[:4]:
        cold.run(str(day))
    cold.run(RANGE)
    assert noted(cold) == json.loads((warm_template / "data/training_output" / DATASET).read_text())


@pytest.fixture
def remote(cold, bucket, store_options) -> Remote:
    world = Remote(cold.root, bucket, store_options)
    world.upload()
    world.configure(store_options)
    return world


def objects(world: Remote) -> tuple[dict, dict[str, dict[str, bytes]]]:
    """(what is noted, the parts that readers see, by day and name)."""
    found: dict[str, dict[str, bytes]] = {}
    for path, data in world.published().items():
        if path.startswith("dt="):
            found.setdefault(path[3:13], {})[path.rpartition("/")[2]] = data
    return json.loads(world.store.get(f"out/{DATASET}")[0]), found


def test_on_an_object_store(remote, warm_template):
    span = f"{DAYS[0]}..{DAYS[3]}"
    remote.run(span)
    found, parts = objects(remote)
    check(found, parts)
    local = json.loads((warm_template / "data/training_output" / DATASET).read_text())
    assert found["digest"] == local["digest"] and found["columns"] == local["columns"]
    assert found["partitions"] == {day: local["partitions"][day] for day in parts}
    edit(remote.runtime, session_filter__drop_single_like=True)
    shutil.rmtree(remote.root / "cache")  # another machine
    remote.run(str(DAYS[1]))
    edited, parts = objects(remote)
    check(edited, parts)
    assert set(compiles(edited).values()) == {found["digest"], edited["digest"]}
    assert daedalus.load(output_root=remote.output_uri).count_rows() == sum(
        entry["rows"] for entry in edited["partitions"].values()
    )


def test_manifests_of_older_versions_are_summed_by_their_parts(remote):
    remote.run(f"{DAYS[0]}..{DAYS[1]}")
    before, _ = objects(remote)
    key = f"dt={DAYS[0]}/manifest.json"
    from daedalus.objectstore.part_list import read_json, write_json

    value, _ = read_json(remote.store, f"out/{key}")
    del value["sha256"]
    remote.store.put(f"out/{key}", write_json(value))
    remote.store.delete([f"out/{DATASET}"])
    assert nothing_ran(remote.run(f"{DAYS[0]}..{DAYS[1]}"))
    assert objects(remote)[0] == before
