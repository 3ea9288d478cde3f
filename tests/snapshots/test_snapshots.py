"""Snapshots of a local output: no run changes or loses a byte of one, and making one makes no run read anything."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from enrich_tiny import BEFORE, DAYS, RANGE
from small import answered, edit, nothing_ran
from snapshot_world import blocks, data_of, files_of, left_over, names_in, published, said

from daedalus import load
from daedalus.base import digest
from daedalus.base.durable import end_swap, part_files, swap_folder
from daedalus.base.errors import DaedalusError
from daedalus.compile.dataset import noted_sum
from daedalus.output.part_file import PartitionSum
from daedalus.output.partitions import Partitions
from daedalus.snapshots import linking
from daedalus.snapshots.commands import create_snapshot, remove_snapshot
from daedalus.workspace.settings import Settings
from daedalus.workspace.workspace import opened


@pytest.fixture
def world(tiny_enriched):
    tiny_enriched.run()  # the copy's files have been looked at
    return tiny_enriched


def table(found) -> pa.Table:
    if isinstance(found, ds.Dataset):
        return found.to_table()
    return found.collect().to_arrow() if hasattr(found, "collect") else found.to_arrow_table()


def test_a_snapshot_is_the_output_without_a_second_copy(world):
    before, size = published(world.output), blocks(world.output)
    found = said("create", "v1")
    assert data_of(world.output, "v1") == before and len(before) > len(DAYS)
    for name in before:
        one, other = (world.output / name).stat(), (world.output / "_snapshots/v1" / name).stat()
        assert one.st_ino == other.st_ino and not one.st_mode & 0o222
    made = [world.output / "_snapshots", *(world.output / "_snapshots").rglob("*")]
    own = [path for path in made if path.is_dir() or path.suffix == ".json"]
    assert len(own) == len(DAYS) + 4 and not left_over(world.output)
    assert blocks(world.output) == size + sum(
        path.stat().st_blocks * 512 for path in own
    )  # folders and two small files
    assert found["rows"] == load().count_rows() and found["bytes"] == sum(map(len, before.values()))
    assert [*found["days"]] == [str(day) for day in DAYS] and found["only_here_bytes"] == 0


def test_it_is_described_as_the_output_is(world):
    found = said("create", "one", "--range", str(DAYS[1]))
    whole = json.loads((world.output / "_dataset.json").read_bytes())
    own = (world.output / "_snapshots/one/_dataset.json").read_bytes()
    assert json.loads(own) == {
        **whole, "range": [str(DAYS[1])] * 2, "partitions": {str(DAYS[1]): whole["partitions"][str(DAYS[1])]},
    }  # fmt: skip
    assert found["dataset"] == hashlib.sha256(own).hexdigest() and found["compile"] == whole["digest"]
    assert said("create", "all")["dataset"] != found["dataset"]
    assert [one["name"] for one in said("list")["snapshots"]] in (["one", "all"], ["all", "one"])


def test_nothing_is_read_or_run_for_one(world, monkeypatch):
    read: list[str] = []

    def watch() -> None:
        for name in ("of_file", "sums_of"):
            plain = getattr(digest, name)

            def watched(what, plain=plain):
                read.extend(map(str, what if isinstance(what, list | tuple) else [what]))
                return plain(what)

            monkeypatch.setattr(digest, name, watched)

    for stage in ("skeleton", "enrich"):  # of the copy nobody knows what it holds: it is read, once
        said("create", f"first-{stage}", "--stage", stage)
    watch()
    for stage in ("skeleton", "enrich"):
        said("create", stage, "--stage", stage)
    said("create", "again")
    assert {Path(path).name for path in read} == {"qid_map.parquet"}  # whose digest nobody has
    read.clear()
    assert nothing_ran(world.run()) and not read
    said("diff", "again")
    said("remove", "again")
    assert nothing_ran(world.run()) and not read
    edit(world.runtime, day_workers=2)  # no day is fresh, all is looked up by key
    assert nothing_ran(world.run()) and not read
    late = world.root / f"data/feed/dt={DAYS[-1]}/p.parquet"
    pq.write_table(pq.ParquetFile(late).read().slice(1), late)
    assert world.run().stages["skeleton"].partitions["written"] == 1
    first = {f"dt={day}" for day in DAYS[:-1]}
    assert not [path for path in read if first & {*Path(path).parts}]


def test_in_another_cache_it_is_hashed_once_and_no_more(world):
    said("create", "v1")
    other = {"cache_root": "cache2"}
    world.run(**other)
    assert nothing_ran(world.run(**other)) and nothing_ran(world.run())


def forced(world):
    assert answered("run", "--force", "-r", RANGE).returncode == 0


def edited(world):
    edit(world.runtime, content_filter={"drop": {"kind": ["kept"]}})
    world.entries(author_mean={"mean_of": "authors_2d", "max_items": 1})
    world.run()


def adopted(world):
    for root in (world.output, world.enriched):
        (root / f"dt={DAYS[0]}" / "mine.txt").write_text("mine")
    edit(world.runtime, entity_spine_chunk_rows=5)
    assert answered("skeleton", "--adopt").returncode == answered("enrich", "--adopt").returncode == 0


def emptied(world):
    for day in [*BEFORE, *DAYS]:
        shutil.rmtree(world.root / f"data/feed/dt={day}")
    keep = world.root / "data/feed/dt=2026-03-01"
    keep.mkdir()
    pq.write_table(pa.table({"user_id": [1], "artwork_id": [1], "event_timestamp": pa.array([0], pa.timestamp("us")),
                             "event": ["like"]}), keep / "p.parquet")  # fmt: skip
    assert answered("run", "--allow-empty", "-r", RANGE).returncode == 0
    assert not [*world.output.glob("dt=*")] and not [*world.enriched.glob("dt=*")]


def collected(world):
    assert answered("cache", "gc", "--max-bytes", "0").returncode == 0
    shutil.rmtree(world.root / "cache")


def deleted(world):
    for root in (world.output, world.enriched):
        for path in root.glob("dt=*"):
            shutil.rmtree(path)
    (world.output / "qid_map.parquet").unlink()
    world.run()


@pytest.mark.parametrize("change", [forced, edited, adopted, emptied, collected, deleted])
def test_no_run_changes_or_loses_a_byte_of_one(world, change):
    rows = load().to_table(), load(stage="enrich").to_table()
    said("create", "s")
    said("create", "e", "--stage", "enrich")
    before = files_of(world.output, "s"), files_of(world.enriched, "e")
    change(world)
    assert (files_of(world.output, "s"), files_of(world.enriched, "e")) == before
    assert (load(snapshot="s").to_table(), load(snapshot="e").to_table()) == rows
    done = answered("cache", "verify", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["snapshots"] == {"checked": 2, "damaged": {}}


def test_runs_give_the_bytes_that_they_give_without_one(world, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(world.root, other)
    said("create", "v1")
    edited(world)
    with_one = world.bytes()
    os.chdir(other)
    type(world)(other).run()
    edited(type(world)(other))
    without = type(world)(other).bytes()
    assert {p.replace(str(world.root), ""): d for p, d in with_one.items() if "_snapshots" not in p} == {
        p.replace(str(other), ""): d for p, d in without.items()
    }


@pytest.mark.parametrize("to", ["pyarrow", "polars", "duckdb"])
def test_load_reads_what_a_snapshot_holds(world, to):
    before, enriched = table(load(to=to)), table(load(stage="enrich", to=to))
    said("create", "old.1")
    said("create", "with-vectors", "--stage", "enrich")
    emptied(world)
    assert table(load(snapshot="old.1", to=to)).equals(before)
    assert table(load(snapshot="with-vectors", to=to)).equals(enriched)
    day = table(load(str(DAYS[1]), ["event", "dt"], snapshot="old.1", to=to))
    assert day.column_names == ["event", "dt"] and {*day["dt"].to_pylist()} == {DAYS[1]}
    assert table(load(snapshot="old.1", output_root=world.output, to=to)).equals(before)
    assert table(load(output_root=world.output / "_snapshots/old.1", to=to)).equals(before)


def test_readers_of_the_output_do_not_see_it_twice(world):
    rows = load().count_rows()
    said("create", "v1")
    assert load().count_rows() == rows
    shutil.move(world.output / "qid_map.parquet", world.root)
    assert ds.dataset(world.output, partitioning="hive").count_rows() == rows
    assert duckdb.sql(f"FROM read_parquet('{world.output}/dt=*/*.parquet')").count("*").fetchall() == [(rows,)]


def test_what_removing_frees_is_what_nothing_else_holds(world):
    said("create", "one")
    said("create", "two", "--range", str(DAYS[0]))
    first = sum(path.stat().st_size for path in world.output.glob(f"dt={DAYS[0]}/*"))
    whole = sum(path.stat().st_size for path in world.output.glob("dt=*/*"))
    edited(world)
    assert said("show", "one")["only_here_bytes"] == whole - first and said("show", "two")["only_here_bytes"] == 0
    files, size = files_of(world.output, "two"), blocks(world.output)
    assert said("remove", "one")["freed_bytes"] == whole - first
    assert files_of(world.output, "two") == files and blocks(world.output) < size - (whole - first)
    assert said("show", "two")["only_here_bytes"] == first and names_in(world.output) == ["two"]
    assert not left_over(world.output)
    said("create", "one")  # the name is free again


REFUSED = {
    "create first1": "there is a snapshot of that name",
    "create first1 --stage enrich": "there is a snapshot of that name",
    "create v2 --range 2025-01": "there is no partition in 2025-01-01..2025-01-31",
    "create v2 --range nonsense": "a range that cannot be read",
    "create v2 --stage both": "there is no such stage",
    **{f"create {name}": "no name for a snapshot" for name in (".v", "a/b", "..", "x" * 101, "é")},
    **dict.fromkeys(["show first", "remove frist1", "diff First1", "diff first1 firs1"], "there is no such snapshot"),
}
REFUSED_BY_LOAD = {
    "no such snapshot": {"snapshot": "v"},
    "no name for a snapshot": {"snapshot": "../first1"},
    "no day of the range": {"snapshot": "first1", "range": "2025-01"},
    "a column that the output does not have": {"snapshot": "first1", "columns": ["nope"]},
}


def test_refusals(world):
    said("create", "first1")
    before = {path for path in world.root.rglob("*") if "cache" not in path.parts}
    for command, what in REFUSED.items():
        error = said(*command.split(), code=2)["error"]
        assert error["what"] == what, command
        assert what != "there is no such snapshot" or error["hint"] == "did you mean 'first1'?"
    assert {path for path in world.root.rglob("*") if "cache" not in path.parts} == before
    for what, arguments in REFUSED_BY_LOAD.items():
        with pytest.raises(DaedalusError, match=what):
            load(**arguments)
    (world.output / "_dataset.json").unlink()
    assert said("create", "v2", code=2)["error"]["what"] == "there is no _dataset.json to take along"
    edit(world.runtime, embeddings=None)
    assert said("create", "v2", "--stage", "enrich", code=2)["error"]["what"] == "the configuration has no embeddings"


def test_a_file_system_without_hard_links_is_refused(world, monkeypatch):
    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    error = said("create", "v1", code=2)["error"]
    assert error["what"] == "a part cannot be linked" and "Operation not permitted" in error["found"]
    assert names_in(world.output) == [] and not left_over(world.output)


def test_what_is_no_partition_of_ours_is_not_kept(world):
    folder = world.output / f"dt={DAYS[0]}"
    said("create", "v1", "--range", str(DAYS[1]))
    for part in folder.iterdir():
        part.unlink()
    (folder / "notes.txt").write_text("mine")
    assert said("create", "v2", "--range", str(DAYS[0]), code=2)["error"]["what"].startswith("there is no partition in")
    (folder / "part-0-0.parquet").symlink_to(world.output / f"dt={DAYS[1]}/part-0-0.parquet")
    error = said("create", "v2", code=2)["error"]
    assert error["what"] == "a part cannot be linked" and error["found"] == "it is a symbolic link"
    assert names_in(world.output) == ["v1"] and not left_over(world.output)


def test_verify_names_what_is_damaged(world):
    said("create", "v1")
    said("create", "v2")
    edited(world)
    part = world.output / f"_snapshots/v1/dt={DAYS[0]}/part-0-0.parquet"
    data = part.read_bytes()
    part.unlink()  # of v1 alone
    part.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    (world.output / f"_snapshots/v1/dt={DAYS[1]}/part-0-0.parquet").unlink()
    record = world.output / "_snapshots/v2/_snapshot.json"
    record.chmod(0o644)
    record.write_bytes(record.read_bytes().replace(b'"form": 1', b'"form": 2'))
    done = answered("cache", "verify", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["snapshots"] == {"checked": 2, "damaged": {
        "v1": [f"data/skeleton/_snapshots/v1/dt={day}/part-0-0.parquet" for day in DAYS[:2]],
        "v2": ["data/skeleton/_snapshots/v2/_snapshot.json"],
    }}  # fmt: skip
    assert "daeda snapshot remove v1" in answered("cache", "verify").stdout
    with pytest.raises(DaedalusError, match="the record of a snapshot cannot be read"):
        load(snapshot="v2")
    assert answered("snapshot", "remove", "v2").returncode == 0
    assert [one["name"] for one in said("list")["snapshots"]] == ["v1"]


def other_partition(home: Partitions, day, name: str = "part-0-0.parquet") -> bytes:
    """Swaps another partition in; returns the bytes of its one part."""
    staged = home.scratch.path()
    staged.mkdir()
    pq.write_table(pa.table({"user_id": [day.day], "event": [name]}), staged / name)
    data = (staged / name).read_bytes()
    home.keep(f"chunk@{day}", staged)
    return data


@pytest.mark.parametrize("place", range(6))
def test_beside_a_run_each_day_is_whole_and_all_are_of_one_moment(world, monkeypatch, place):
    """At the n-th link a run replaces the first day, later the last: the snapshot has both."""
    new: dict[str, bytes] = {}
    plain, count = linking._link, iter(range(1000))  # of links
    home: list[Partitions] = []
    opened = Partitions.days

    def watched(self):
        home.append(self)
        return opened(self)

    def linked(*arguments, **options):
        plain(*arguments, **options)
        if next(count) == place:
            for day in (DAYS[0], DAYS[-1]):
                new[f"dt={day}/part-0-0.parquet"] = other_partition(home[0], day)

    monkeypatch.setattr(Partitions, "days", watched)
    monkeypatch.setattr(linking, "_link", linked)
    middle = {name: data for name, data in published(world.output).items() if str(DAYS[1]) in name}
    found = said("create", "v1")
    data = data_of(world.output, "v1")
    assert {name: one for name, one in data.items() if name.startswith("dt=")} == {**middle, **new} and len(new) == 2
    entries = json.loads((world.output / "_snapshots/v1/_dataset.json").read_bytes())["partitions"]
    for day in (DAYS[0], DAYS[-1]):
        own = hashlib.sha256(new[f"dt={day}/part-0-0.parquet"]).hexdigest()
        assert (
            found["days"][str(day)]["digest"] == entries[str(day)]["digest"] == own and entries[str(day)]["rows"] == 1
        )
    assert json.loads(answered("cache", "verify", "--json").stdout)["snapshots"]["damaged"] == {}


@pytest.mark.parametrize("place", [0, 2])
def test_a_partition_swapped_in_beside_one_is_seen_later(world, monkeypatch, place):
    """One of the same sizes, before the links: `_dataset.json` is not made younger than what it does not describe."""
    said("create", "v0")
    folder, swapped = world.output / f"dt={DAYS[place]}", world.root / "swapped"
    shutil.copytree(folder, swapped)
    first = swapped / "part-0-0.parquet"
    first.chmod(0o644)
    first.write_bytes(first.read_bytes().replace(b"daedalus", b"DAEDALUS"))
    plain = linking.Linking.link

    def link(self) -> bool:
        if swapped.exists():
            end_swap(folder, swap_folder(swapped, folder, world.root / "old"))
            time.sleep(0.05)  # so that the links are younger
        return plain(self)

    monkeypatch.setattr(linking.Linking, "link", link)
    said("create", "v1", "--range", f"{DAYS[0]}..{DAYS[1]}")
    described = world.output / "_dataset.json"
    noted, since = json.loads(described.read_bytes())["partitions"], described.stat().st_mtime_ns
    with opened(Settings()) as workspace:
        home = workspace.partitions
        found = home.summed(str(DAYS[place]), noted_sum(noted[str(DAYS[place])]), since)
        assert found == PartitionSum.of(part_files(folder)) != noted_sum(noted[str(DAYS[place])])
    one = said("show", "v1")["days"].get(str(DAYS[place]))
    assert one is None or one["digest"] == found.digest


def test_from_python(world):
    found = create_snapshot(Settings(), "v1", RANGE)
    assert found["where"] == "data/skeleton/_snapshots/v1"
    assert load(snapshot="v1").count_rows() == found["rows"]
    with pytest.raises(DaedalusError, match="there is a snapshot of that name"):
        create_snapshot(Settings(), "v1")
    assert remove_snapshot(Settings(), "v1") == {"name": "v1", "freed_bytes": 0}
